"""``img2mesh serve`` as a process: what it prints, when it refuses, how it ends, a real photo."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from img2mesh.web import server
from tests.conftest import ROOT, Command, tiny_flags
from tests.web.conftest import Server


@contextmanager
def serving(*arguments: str, root: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The command, running, and the first line it printed."""
    process = subprocess.Popen(
        [sys.executable, "-m", "img2mesh", "serve", "-o", str(root), "--port", "0", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "IMG2MESH_CACHE": str(root / "cache")},
        # A shell without job control starts what it puts in the background deaf to Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    try:
        assert process.stdout is not None
        yield process, process.stdout.readline().strip()
    finally:
        process.kill()
        process.communicate()


@pytest.mark.slow
def test_a_real_photo_then_ctrl_c(toy: Path, tmp_path: Path) -> None:
    root = tmp_path / "outputs"
    flags = tiny_flags(cache=tmp_path / "cache", out=root)
    with serving(*flags, root=root) as (process, address):
        assert address.startswith("http://127.0.0.1:")
        server = Server(int(address.rstrip("/").rpartition(":")[2]), root)
        broken = server.upload("broken.png", b"this is no picture")
        key = server.upload("toy.png", toy.read_bytes())
        error = server.ended(broken)["error"]
        assert error.startswith("'broken.png' is not a picture") and str(tmp_path) not in error
        card = server.ended(key)
        assert card["state"] == "done", card
        assert card["drawn_by"].startswith("geometric: weight-free")
        assert {"mesh.glb", "preview.png", "report.html", "run.json"} <= set(card["files"])
        for name, size in card["files"].items():
            body = server.get(f"/jobs/{key}/files/{name}").body
            assert len(body) == size and body == (root / "toy" / name).read_bytes()
        # The same photo again: the same folder, every stage from the cache.
        again = server.upload("toy.png", toy.read_bytes())
        card = server.ended(again)
        assert card["folder"] == str(root / "toy") and all(card["report"]["cached"].values())
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
        assert process.returncode == 130 and "interrupted" in said and "Traceback" not in said
    record = json.loads((root / "toy" / "run.json").read_text())
    assert Path(record["input"]["path"]).read_bytes() == toy.read_bytes()


def test_a_worker_does_not_outlive_its_server(tmp_path: Path) -> None:
    with serving("--json", root=tmp_path) as (process, line):
        port = int(json.loads(line)["address"].rstrip("/").rpartition(":")[2])
        server = Server(port, tmp_path)
        server.until(server.upload("a.png", b"no picture"), lambda c: c["state"] == "failed")
        children = _children(process.pid)
        assert children
        process.kill()
        end = time.monotonic() + 60
        while any(Path(f"/proc/{pid}").exists() for pid in children):
            assert time.monotonic() < end
            time.sleep(0.05)


def _children(pid: int) -> list[int]:
    import psutil

    return [child.pid for child in psutil.Process(pid).children()]


def test_a_taken_port_is_one_sentence_and_code_2(command: Command, tmp_path: Path) -> None:
    with server.listen("127.0.0.1", 0) as listener:
        port = str(listener.getsockname()[1])
        done = command("serve", "--port", port, "-o", str(tmp_path / "out"))
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.count("\n") == 1 and f"port {port}" in done.stderr


def test_bad_settings_are_refused_before_anything_listens(command: Command, tmp_path: Path) -> None:
    done = command("serve", "--set", "views.colour=red", "-o", str(tmp_path / "out"))
    assert done.returncode == 2 and "colour" in done.stderr
    (tmp_path / "file").touch()
    done = command("serve", "--port", "0", "-o", str(tmp_path / "file"))
    assert done.returncode == 2 and "choose another -o" in done.stderr


def test_a_missing_extra_prints_the_pip_line(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    done = command("serve", "-o", str(tmp_path / "out"))
    assert done.returncode == 2
    assert "needs uvicorn" in done.stderr and "pip install 'img2mesh[web]'" in done.stderr


def test_letting_others_in_is_said(tmp_path: Path) -> None:
    with serving("--host", "0.0.0.0", root=tmp_path) as (process, address):
        assert address.startswith("http://localhost:")
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
        assert process.returncode == 130
    assert "everybody who reaches" in said
