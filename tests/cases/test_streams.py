"""stdout and stderr closed, full, or of another code page: the work is done and told as it can."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Literal

import pytest
from PIL import Image

from img2mesh import cli
from img2mesh.artifacts import Photo
from img2mesh.cli import streams
from img2mesh.core.silence import muted
from img2mesh.errors import InputError
from tests.conftest import ROOT, Command

Capture = pytest.CaptureFixture[str]


def stages(shell: str = "", **environment: str) -> subprocess.CompletedProcess[bytes]:
    """``img2mesh stages`` in a process of its own: streams are the system's there."""
    return subprocess.run(
        ["sh", "-c", f"exec {sys.executable} -m img2mesh stages {shell}"],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        check=False,
    )


@pytest.mark.parametrize("encoding", ["cp1252", "ascii"])
def test_a_code_page_without_arrows(encoding: str) -> None:
    done = stages(PYTHONIOENCODING=encoding)
    assert done.returncode == 0 and b"Traceback" not in done.stderr
    assert b"<-" in done.stdout


@pytest.mark.parametrize("shell", [">&-", ">&- 2>&-"])
def test_closed_streams(shell: str) -> None:
    done = stages(shell)
    assert done.returncode == 0 and b"Traceback" not in done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_stdout_is_one_sentence() -> None:
    done = stages("> /dev/full")
    assert done.returncode == 1 and b"Traceback" not in done.stderr
    assert b"stdout cannot be written" in done.stderr and b"Exception ignored" not in done.stderr


def test_a_reader_that_leaves_is_no_error() -> None:
    done = stages("| head -n 1")
    assert done.returncode == 0 and not done.stderr


class Gone(io.StringIO):
    """A stream whose reader has left."""

    def write(self, text: str) -> int:
        raise BrokenPipeError(32, "Broken pipe")


@pytest.mark.parametrize("gone", ["stdout", "stderr"])
def test_a_run_survives_its_readers(
    gone: str, toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, gone, Gone())
    monkeypatch.setenv("IMG2MESH_CACHE", str(tmp_path / "cache"))
    with pytest.raises(SystemExit) as ended:
        cli.main(["run", str(toy), "--until", "cutout", "-o", str(tmp_path / "out")])
    assert not ended.value.code and (tmp_path / "out" / "toy" / "run.json").exists()


def test_json_has_escapes_where_the_stream_lacks_letters(
    toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photo = tmp_path / "stühl-椅子.png"
    shutil.copy(toy, photo)
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
    monkeypatch.setenv("IMG2MESH_CACHE", str(tmp_path / "cache"))
    with pytest.raises(SystemExit) as ended:
        cli.main(
            ["run", str(photo), "--until", "cutout", "-o", str(tmp_path / "out"), "--json", "-q"]
        )
    assert not ended.value.code
    assert json.loads(raw.getvalue().decode("ascii"))["name"] == "stühl-椅子"


def test_what_stands_in_for_a_letter() -> None:
    assert streams.json_text({}) == "{}"
    assert "a → b ✓ é 椅 \udce9".encode("cp1252", "img2mesh") == b"a -> b + \xe9 ? \\xe9"
    assert "…".encode("ascii", "img2mesh") == b"..."


def test_the_command_says_errors_on_a_closed_stdout(
    tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    done = command("run", str(tmp_path / "none.png"), "--json")
    assert done.returncode == 2 and "there is no file" in done.stderr


def test_a_run_with_stdout_closed(
    toy: Path, tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    done = command("run", str(toy), "--until", "cutout", "-o", str(tmp_path / "out"))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "toy" / "run.json").exists()


CHATTER = """
import ctypes, os, sys
from img2mesh import cli, segmentation
usual = segmentation.cut_out
def talking(*given, **more):
    print("Python talks")
    os.write(1, b"C talks\\n")
    if os.name == "posix":
        ctypes.CDLL(None).puts(b"C talks late")
    return usual(*given, **more)
segmentation.cut_out = talking
cli.main(["run", *sys.argv[1:], "--no-cache", "--until", "cutout", "--json"])
"""


def test_json_is_one_object_whatever_libraries_print(toy: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", CHATTER, str(toy), "-o", str(tmp_path / "out")],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["name"] == "toy"
    assert "Python talks" in done.stderr and "C talks" in done.stderr


@pytest.mark.parametrize("descriptor", [1, 2])
def test_muted_is_silent_for_its_time_alone(descriptor: Literal[1, 2], capfd: Capture) -> None:
    os.write(descriptor, b"before ")
    with muted(descriptor), muted(descriptor):
        os.write(descriptor, b"meanwhile ")
    os.write(descriptor, b"after")
    assert capfd.readouterr()[descriptor - 1] == "before after"


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg"])
def test_a_damaged_tiff_is_one_sentence_and_libtiff_silent(
    compression: str, toy: Path, tmp_path: Path, capfd: Capture
) -> None:
    photo = tmp_path / "damaged.tif"
    Image.open(toy).convert("RGB").save(photo, compression=compression)
    data = bytearray(photo.read_bytes())
    data[200 : len(data) // 2] = bytes(len(data) // 2 - 200)
    photo.write_bytes(data)
    with pytest.raises(InputError, match="is damaged"):
        Photo.open(photo)
    assert capfd.readouterr() == ("", "")
