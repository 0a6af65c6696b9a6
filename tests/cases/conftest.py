"""The cases call the command as tests of the command do."""

from __future__ import annotations

from tests.cli.conftest import command

__all__ = ["command"]
