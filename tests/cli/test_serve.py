"""``img2mesh serve`` as a process: what it prints, when it refuses, how it ends, a real photo."""

from __future__ import annotations

import io
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from img2mesh.web import addresses
from tests.conftest import ROOT, Command, tiny_flags
from tests.web.conftest import Server, version_of


@contextmanager
def serving(
    *arguments: str, root: Path, descriptors: int | None = None
) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The command, running, and the first line it printed; with so many descriptors at most."""

    def prepare() -> None:
        # A shell without job control starts what it puts in the background deaf to Ctrl-C.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        if descriptors is not None:
            resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, descriptors))

    process = subprocess.Popen(
        [sys.executable, "-m", "img2mesh", "serve", "-o", str(root), "--port", "0", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "IMG2MESH_CACHE": str(root / "cache")},
        preexec_fn=prepare,
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
        error = version_of(server.ended(broken))["error"]
        assert error.startswith("'broken.png' is not a picture") and str(tmp_path) not in error
        whole = server.ended(key)
        card = version_of(whole)
        assert card["state"] == "done", card
        assert whole["outline"]["method"] == "alpha" and whole["outline"]["polygons"]
        assert card["drawn_by"].startswith("geometric: weight-free")
        assert {"mesh.glb", "preview.png", "report.html", "run.json"} <= set(card["files"])
        for name, facts in card["files"].items():
            body = server.api("GET", f"/jobs/{key}/v1/{name}").body
            assert len(body) == facts["size"] and body == (root / "toy" / name).read_bytes()
        for stage, grey in (("views", False), ("surface", True)):
            shown = server.api("GET", f"/jobs/{key}/sofar/{stage}").body
            colours = np.asarray(Image.open(io.BytesIO(shown))).astype(int)
            assert colours.std() > 5 and bool(np.ptp(colours, axis=2).max() < 24) is grey
        # The same photo again: the same folder, every stage from the cache.
        again = server.upload("toy.png", toy.read_bytes())
        card = version_of(server.ended(again))
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
    with addresses.listen("127.0.0.1", 0) as listener:
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


def test_others_get_in_with_the_token_and_those_who_say_nothing_keep_nobody_out(
    tmp_path: Path,
) -> None:
    with serving("--host", "0.0.0.0", "--json", "--allow-host", "nas.lan", root=tmp_path,
                 descriptors=256) as (process, line):  # fmt: skip
        told = json.loads(line)
        assert told["address"].startswith("http://localhost:") and told["token"]
        assert all(address.endswith(f"/?t={told['token']}") for address in told["addresses"])
        port = int(told["address"].split(":")[2].split("/")[0])
        half = [socket.create_connection(("127.0.0.1", port)) for _ in range(300)]
        for one in half:
            one.sendall(b"GET / HTTP/1.1\r\nHost: ")
        assert Server(port, tmp_path).get("/").status == 401
        known = Server(port, tmp_path, {"Authorization": f"Bearer {told['token']}"})
        assert known.get("/", Host="nas.lan").status == 200
        for one in half:
            one.close()
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=60)
    assert "others on the network" in said and "interrupted" in said
    assert len(said) < 10_000 and "Traceback" not in said
