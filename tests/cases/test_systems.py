"""What Windows and macOS lack is hidden here, and the main path works without it."""

from __future__ import annotations

import ast
import os
import signal
import sys
from pathlib import Path

import pytest

from img2mesh.core import system
from tests.conftest import ROOT, Command

#: Modules of POSIX alone.
POSIX = {"resource", "fcntl", "pwd", "grp", "termios", "tty", "pty", "syslog"}
#: Names of ``os`` and ``signal`` that Windows lacks.
ABSENT = {
    "os": {"sched_getaffinity", "sysconf", "getuid", "geteuid", "fork", "killpg", "setsid", "uname",
           "getpgid", "mkfifo", "nice", "getloadavg", "fchmod", "statvfs"},
    "signal": {"SIGHUP", "SIGKILL", "SIGALRM", "SIGUSR1", "SIGUSR2", "setitimer", "pthread_kill"},
}  # fmt: skip


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A system that has neither POSIX's modules nor its names."""
    import psutil  # noqa: F401 (Linux's own form of it needs them)

    for name in POSIX:
        monkeypatch.setitem(sys.modules, name, None)
    for module, names in ((os, ABSENT["os"]), (signal, ABSENT["signal"])):
        for name in names:
            monkeypatch.delattr(module, name, raising=False)


@pytest.mark.usefixtures("elsewhere")
def test_the_main_path_without_posix(toy: Path, tmp_path: Path, command: Command) -> None:
    done = command("run", str(toy), "--until", "cutout", "-o", str(tmp_path / "out"))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "toy" / "report.json").exists()
    assert command("plan", str(toy)).returncode == 0


@pytest.mark.usefixtures("elsewhere")
def test_what_a_system_tells_of_itself() -> None:
    assert system.cores() >= 1
    assert system.peak_memory() > 10**7
    assert system.total_memory() > 10**8


def test_no_module_imports_what_posix_alone_has() -> None:
    """At a module's top such an import would end the package; ``system`` asks for it in a try."""
    wrong = []
    for path in sorted((ROOT / "img2mesh").rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in tree.body:
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [str(node.module)] if isinstance(node, ast.ImportFrom) else []
            wrong += [f"{path.name}: import {name}" for name in names if name in POSIX]
        if path.name == "system.py":
            continue
        for node in ast.walk(tree):
            if (
                isinstance(node, ast.Attribute)
                and isinstance(node.value, ast.Name)
                and node.attr in ABSENT.get(node.value.id, ())
            ):
                wrong.append(f"{path.name}:{node.lineno} {node.value.id}.{node.attr}")
    assert not wrong, "\n".join(wrong)


def test_processes_are_known_without_psutil(monkeypatch: pytest.MonkeyPatch) -> None:
    """psutil imports what this system may lack; a run must start all the same."""
    here = system.began(os.getpid())
    assert here and system.began(2**22 + 1) is None
    monkeypatch.setitem(sys.modules, "psutil", None)
    if Path("/proc/self").exists():
        assert system.began(os.getpid()) is not None
    assert system.began(2**22 + 1) is None
