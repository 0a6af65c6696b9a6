"""Files written all or nothing, and JSON that is the same bytes for the same value."""

from __future__ import annotations

import contextlib
import json
import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside ``path`` that takes its place when the block ends well.

    Leaving the block by an exception removes the temporary file and keeps the old one.
    """
    # The suffix stays last because some writers choose the format by it.
    temporary = path.with_name(f".{zlib.crc32(path.name.encode()):08x}-{os.getpid()}{path.suffix}")
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: Path, value: object) -> None:
    """JSON with sorted keys and a newline at the end, so that equal values are equal bytes."""
    text = json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    # Bytes of a name that are no UTF-8 are surrogates in Python: their escape is JSON's own.
    path.write_bytes(text.encode("utf-8", "backslashreplace"))


def read_json(path: Path) -> Any:
    """The value :func:`write_json` wrote."""
    return json.loads(path.read_text(encoding="utf-8"))
