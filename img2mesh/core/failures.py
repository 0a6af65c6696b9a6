"""A log file for what nobody foresaw: the user gets a sentence, the traceback a place."""

from __future__ import annotations

import platform
import tempfile
import traceback
from pathlib import Path

NAME = "failure.log"


def write_log(error: BaseException, folder: Path | None = None) -> Path | None:
    """Write an exception's traceback to ``folder/failure.log``, or to a temporary file.

    Returns:
        Where it lies; None if it could not be written, which is no reason to fail once more.
    """
    try:
        if folder is None:
            folder = Path(tempfile.mkdtemp(prefix="img2mesh-failure-"))
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / NAME
        where = f"Python {platform.python_version()}, {platform.platform()}\n"
        text = where + "".join(traceback.format_exception(error))
        path.write_text(text, encoding="utf-8", errors="backslashreplace")
    except OSError:
        return None
    return path


def told(sentence: str, log: Path | None) -> str:
    """The sentence, and where the traceback lies."""
    return sentence if log is None else f"{sentence}; the traceback is in {log}"
