"""A photo on its way in: its name made harmless, its bytes on disk as a whole or not at all."""

from __future__ import annotations

import unicodedata
from collections.abc import AsyncIterator
from pathlib import Path

from img2mesh.errors import InputError
from img2mesh.io.photos import EXPECTED, SUFFIXES

#: Bytes of a photo at most; phones' largest are a third of it.
LIMIT = 64 << 20
_LONGEST = 56  # characters of a name, up to four bytes each; a file system takes 255 bytes
_KEPT = " .()+-_"


class TooLargeError(InputError):
    """The upload is larger than what is taken."""


class NotAPhotoError(InputError):
    """What came is of no kind that is taken."""


def too_large(name: str, limit: int) -> TooLargeError:
    """The error for an upload of more than ``limit`` bytes."""
    return TooLargeError(f"{name} is larger than the {_size(limit)} taken here: save it smaller")


def _size(count: int) -> str:
    return f"{count >> 20} MiB" if count >= 1 << 20 else f"{count >> 10} KiB"


def safe_name(given: str) -> str:
    """What a photo is called on disk: the last part of the name, with nothing that means anything.

    Raises:
        NotAPhotoError: its suffix is none of a picture's.
    """
    last = unicodedata.normalize("NFC", given).replace("\\", "/").rpartition("/")[2]
    stem, dot, suffix = last.rpartition(".")
    if not dot or f".{suffix.lower()}" not in SUFFIXES:
        shown = last[:_LONGEST] or "a file without a name"
        raise NotAPhotoError(f"{shown!r} is not a photo: expected {EXPECTED}")
    return f"{safe_text(stem) or 'photo'}.{suffix.lower()}"


def safe_text(given: str) -> str:
    """A name's harmless part: letters, marks, digits and pictographs of every script stay."""
    # A leading dot would hide the folder.
    kept = (
        c if (u := unicodedata.category(c))[0] in "LMN" or u == "So" or c in _KEPT else "_"
        for c in given
    )
    return "".join(kept).strip(" .")[:_LONGEST].strip(" .")


async def save(chunks: AsyncIterator[bytes], target: Path, *, limit: int) -> None:
    """Write what comes beside the target and rename it when it is all there.

    Raises:
        TooLargeError: more than ``limit`` bytes came; nothing is left of them.
        NotAPhotoError: nothing came.
    """
    fresh = not target.parent.exists()
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.part")
    size = 0
    try:
        with part.open("wb") as file:
            async for chunk in chunks:
                size += len(chunk)
                if size > limit:
                    raise too_large(target.name, limit)
                file.write(chunk)
        if not size:
            raise NotAPhotoError(f"{target.name} is empty (0 bytes): expected {EXPECTED}")
        part.replace(target)
    except BaseException:
        part.unlink(missing_ok=True)
        if fresh:
            target.parent.rmdir()
        raise
