"""What nobody foresaw is one sentence, and the traceback lies in a file that it names."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from img2mesh import segmentation
from img2mesh.jobs import delivery
from tests.conftest import Command


def log_in(text: str) -> str:
    found = re.search(r"the traceback is in (\S+)", text)
    assert found, text
    return Path(found[1]).read_text(encoding="utf-8")


@pytest.mark.parametrize("error", [ZeroDivisionError("by zero"), MemoryError(), ImportError("so")])
def test_a_stage_that_breaks(
    error: Exception,
    toy: Path,
    tmp_path: Path,
    command: Command,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def breaks(*given: Any, **settings: Any) -> None:
        raise error

    flags = ("run", str(toy), "--until", "cutout", "-o", str(tmp_path / "out"))
    with monkeypatch.context() as patch:
        patch.setattr(segmentation, "cut_out", breaks)
        done = command(*flags)
    assert done.returncode == 1
    assert f"stage cutout failed: {type(error).__name__}" in done.stderr
    assert type(error).__name__ in log_in(done.stderr) and "breaks" in log_in(done.stderr)
    assert command(*flags).returncode == 0
    assert not (tmp_path / "out" / "toy" / "failure.log").exists()


def test_a_door_that_breaks(
    toy: Path, tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(delivery, "place", lambda *given: {}["nothing"])
    done = command("run", str(toy), "--until", "cutout", "-o", str(tmp_path / "out"))
    assert done.returncode == 1 and "this should not have happened: KeyError" in done.stderr
    assert "KeyError" in log_in(done.stderr)


def test_mistakes_of_the_user_leave_no_log(tmp_path: Path, command: Command) -> None:
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"no picture")
    done = command("run", str(bad), "-o", str(tmp_path / "out"))
    assert done.returncode == 2 and "traceback" not in done.stderr
    assert not (tmp_path / "out").exists()
