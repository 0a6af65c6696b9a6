"""The command as a user runs it, in this process: its libraries are loaded once."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from img2mesh import cli
from tests.conftest import Command


@pytest.fixture
def command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Command:
    """Exit code, stdout and stderr of a command line; its cache is the test's own."""
    monkeypatch.setenv("IMG2MESH_CACHE", str(tmp_path / "cache"))

    def call(*arguments: str) -> subprocess.CompletedProcess[str]:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main(list(arguments))
        said = capsys.readouterr()
        assert "Traceback" not in said.err
        return subprocess.CompletedProcess(
            arguments, int(ended.value.code or 0), said.out, said.err
        )

    return call
