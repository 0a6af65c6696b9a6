"""Temporary folders that carry their process in their name, so that those of the dead are swept."""

from __future__ import annotations

import os
import re
import shutil
import socket
import tempfile
from pathlib import Path

from img2mesh.core import system

_HOST = re.sub(r"[^A-Za-z0-9]", "", socket.gethostname())[:32] or "host"


def temporary(prefix: str, folder: Path | None = None) -> tempfile.TemporaryDirectory[str]:
    """A temporary folder of this process; what killed processes left of its kind is swept before.

    Args:
        prefix: how its name begins.
        folder: where it lies; the system's place if not given.
    """
    sweep(prefix, folder)
    return tempfile.TemporaryDirectory(prefix=f"{prefix}{_HOST}-{os.getpid()}-", dir=folder)


def sweep(prefix: str, folder: Path | None = None) -> None:
    """Delete temporary folders of this kind whose process, on this host, is no more."""
    root = Path(tempfile.gettempdir()) if folder is None else folder
    dead = re.compile(re.escape(f"{prefix}{_HOST}-") + r"(\d{1,10})-\w+")
    try:
        names = [path.name for path in root.iterdir()]
    except OSError:
        return
    for name in names:
        found = dead.fullmatch(name)
        if found and not _runs(int(found[1])):
            shutil.rmtree(root / name, ignore_errors=True)


def _runs(process: int) -> bool:
    return system.began(process) is not None
