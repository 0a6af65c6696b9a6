"""SIGTERM and SIGHUP end a run as Ctrl-C does: one sentence, and nothing left behind."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from img2mesh import segmentation
from img2mesh.errors import Img2MeshError
from tests.conftest import Command


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
@pytest.mark.parametrize(("name", "code"), [("SIGTERM", 143), ("SIGHUP", 129), ("SIGINT", 130)])
def test_a_signal_ends_with_a_sentence(
    name: str,
    code: int,
    toy: Path,
    tmp_path: Path,
    command: Command,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    number = getattr(signal, name)
    # Whoever runs the tests may ignore it, as nohup does; a shell's commands do not.
    usual = signal.default_int_handler if name == "SIGINT" else signal.SIG_DFL
    outside = signal.signal(number, usual)

    def ended(*given: Any, **settings: Any) -> None:
        assert list((tmp_path / "temporary").iterdir())
        os.kill(os.getpid(), number)

    monkeypatch.setattr(segmentation, "cut_out", ended)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    try:
        done = command("run", str(toy), "--no-cache", "-o", str(tmp_path / "out"))
        after = signal.getsignal(number)
    finally:
        signal.signal(number, outside)
    assert done.returncode == code
    assert done.stderr.splitlines()[-1] == (
        "img2mesh: interrupted; nothing is kept without a cache"
    )
    assert not list((tmp_path / "temporary").iterdir())
    assert after == usual


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_an_interrupt_that_a_library_swallows_is_one_still(
    toy: Path, tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ended(*given: Any, **settings: Any) -> None:
        try:
            os.kill(os.getpid(), signal.SIGINT)
        except KeyboardInterrupt:
            raise ImportError("initialization failed") from None

    monkeypatch.setattr(segmentation, "cut_out", ended)
    outside = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        done = command("run", str(toy), "-o", str(tmp_path / "out"))
    finally:
        signal.signal(signal.SIGINT, outside)
    assert done.returncode == 130 and "interrupted" in done.stderr
    assert "failed" not in done.stderr.replace("initialization failed", "")


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_what_the_caller_ignores_stays_ignored(
    toy: Path, tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def goes_on(*given: Any, **settings: Any) -> None:
        os.kill(os.getpid(), signal.SIGHUP)
        raise Img2MeshError("went on")

    monkeypatch.setattr(segmentation, "cut_out", goes_on)
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        done = command("run", str(toy), "-o", str(tmp_path / "out"))
    finally:
        signal.signal(signal.SIGHUP, before)
    assert done.returncode == 1 and "went on" in done.stderr
