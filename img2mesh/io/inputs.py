"""What people name besides files: addresses, pipes, and masks that lie beside their photo."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from img2mesh.errors import InputError

_ADDRESS = re.compile(r"(https?|s?ftps?|s3|gs|file|blob):/|data:\w+/|www\.\w+\.", re.IGNORECASE)
#: Forms a mask beside a photo may have, the lossless first.
_MASKS = (".png", ".webp", ".tif", ".tiff", ".bmp", ".gif", ".jpg", ".jpeg", ".PNG", ".JPG")


def refuse_address(name: str) -> None:
    """Say so where a name is an address: nothing is fetched but by ``models fetch``.

    Raises:
        InputError: it is one, shown whole.
    """
    if _ADDRESS.match(name) and not Path(name).exists():
        whole = re.sub(r"^(\w+):/(?!/)", r"\1://", name)  # a path keeps one slash of two
        shown = whole if len(whole) <= 200 else f"{whole[:200]}..."
        raise InputError(f"addresses are not fetched: download {shown} and name the file")


def mask_beside(photo: Path) -> Path | None:
    """``chair.mask.png`` beside ``chair.jpg``, if it is there."""
    if photo.stem.lower().endswith(".mask"):
        return None
    found = (photo.with_name(f"{photo.stem}.mask{suffix}") for suffix in _MASKS)
    try:
        return next((path for path in found if path.is_file()), None)
    except (OSError, ValueError):  # a name too long to have anything beside it
        return None


def without_masks(photos: Iterable[Path]) -> list[Path]:
    """The photos among them: a mask whose photo is among them too is none."""
    photos = list(photos)
    named = {(path.parent, path.stem) for path in photos}
    return [
        path
        for path in photos
        if not path.stem.lower().endswith(".mask") or (path.parent, path.stem[:-5]) not in named
    ]
