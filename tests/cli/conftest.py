"""The command as a user runs it, in this process: its libraries are loaded once."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.conftest import Command


@pytest.fixture
def command(tmp_path: Path, in_process: Command, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Exit code, stdout and stderr of a command line; its cache is the test's own."""
    monkeypatch.setenv("IMG2MESH_CACHE", str(tmp_path / "cache"))

    def call(*arguments: str) -> subprocess.CompletedProcess[str]:
        done = in_process(*arguments)
        assert "Traceback" not in done.stderr
        return done

    return call
