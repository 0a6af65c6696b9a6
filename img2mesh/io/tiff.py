"""TIFF's own ways: previews before the picture, raw files of cameras, 12 bits stored in 16."""

from __future__ import annotations

import contextlib
import io
from typing import Any

import numpy as np
from PIL import Image

from img2mesh.core.silence import muted
from img2mesh.errors import InputError

_SUB_IFDS, _PHOTOMETRIC, _BITS, _DNG, _WHITE = 330, 262, 258, 50706, 281
#: Photometric interpretations that are pictures: grey, RGB, palette, CMYK, YCbCr, Lab.
_PICTURES = (0, 1, 2, 3, 5, 6, 8)
_MOST_PAGES = 100
#: A raw file's preview of fewer pixels along its longest side is no picture of an object.
_LEAST_PREVIEW = 512
#: A file is taken into memory for its hidden pages up to this size.
_MOST_BYTES = 256 << 20
#: What cameras and scanners with 12 bits leave in files of 16.
TWELVE_BITS = 4095


def largest_page(image: Image.Image, file: io.BufferedReader, name: str) -> Image.Image:
    """The page with most pixels, hidden ones included; Pillow opens the first.

    Args:
        image: as Pillow opened it.
        file: what it was opened from.
        name: for messages.

    Returns:
        the picture at its largest page, and a note in ``info["page"]`` if it is not the first.

    Raises:
        InputError: a raw file whose previews are too small.
    """
    tags = tags_of(image)
    raw, hidden = _DNG in tags, tags.get(_SUB_IFDS, ())
    pages = [(_area(image), 0)]
    with contextlib.suppress(Exception):  # a chain that is cut short ends there
        for k in range(1, _MOST_PAGES):
            image.seek(k)
            if tags_of(image).get(_PHOTOMETRIC, 1) in _PICTURES:
                pages.append((_area(image), k))
    area, best = max(pages, key=lambda one: (one[0], -one[1]))
    image.seek(best)
    found = image
    if hidden and file.seek(0, io.SEEK_END) <= _MOST_BYTES:
        for page in _hidden(file, hidden if isinstance(hidden, tuple) else (hidden,)):
            if _area(page) > area:
                found, area = page, _area(page)
    if raw and max(found.size) < _LEAST_PREVIEW:
        raise InputError(
            f"{name} is a raw file of a camera (DNG) with a preview of {found.width}x"
            f"{found.height} pixels: develop it to JPEG or TIFF"
        )
    if found is not image or best:
        which = "a preview inside the raw file" if raw else "the largest page"
        found.info["page"] = f"the TIFF holds several pictures; {which} is used"
    return found


def tags_of(image: Image.Image) -> Any:
    """A TIFF's tags by number."""
    return getattr(image, "tag_v2", {})


def _area(image: Image.Image) -> int:
    return image.width * image.height


def _hidden(file: io.BufferedReader, offsets: tuple[int, ...]) -> list[Image.Image]:
    """Pages that no other page leads to: the same file, its header pointing at them."""
    file.seek(0)
    data = file.read()
    order = "<" if data[:2] == b"II" else ">"
    if int(np.frombuffer(data[2:4], f"{order}u2")[0]) != 42:  # BigTIFF
        return []
    found: list[Image.Image] = []
    for offset in offsets[:_MOST_PAGES]:
        with contextlib.suppress(Exception):  # one that is damaged or of an unknown kind is none
            start = np.array([offset], f"{order}u4").tobytes()
            page = Image.open(io.BytesIO(data[:4] + start + data[8:]), formats=["TIFF"])
            if tags_of(page).get(_PHOTOMETRIC) in _PICTURES:
                found.append(page)
    return found


def twelve_bits(image: Image.Image, file: io.BufferedReader) -> Image.Image:
    """A colour picture of 16 bits that uses 12 of them, at full brightness; any other as it is.

    Pillow keeps the upper 8 of 16 bits, of which such a picture has four.
    """
    tags = tags_of(image)
    bits = tuple(tags.get(_BITS, ()))
    if image.mode != "RGB" or bits != (16, 16, 16) or "page" in image.info:
        return image
    if int(np.asarray(image).max()) > TWELVE_BITS >> 8:
        return image
    import cv2

    file.seek(0)
    flags = cv2.IMREAD_UNCHANGED | cv2.IMREAD_IGNORE_ORIENTATION
    with muted(2):  # libtiff has words for every tag it does not know
        values = cv2.imdecode(np.frombuffer(file.read(), np.uint8), flags)
    if values is None or values.dtype != np.uint16 or values.shape != (*image.size[::-1], 3):
        return image
    eight = np.rint(values[..., ::-1].astype(np.float32) * (255 / TWELVE_BITS)).clip(0, 255)
    bright = Image.fromarray(eight.astype(np.uint8))
    bright.info |= image.info | {"white": TWELVE_BITS}
    bright.format = image.format
    return bright


def white_of(image: Image.Image, top: float) -> float:
    """The value of 16-bit grey that is white: what the file says, 12 bits' if none is larger."""
    said = tags_of(image).get(_WHITE)
    said = said[0] if isinstance(said, tuple) and said else said
    if isinstance(said, int) and 255 < said < 65535 and top <= said:
        return float(said)
    return float(TWELVE_BITS) if 255 < top <= TWELVE_BITS else 65535.0
