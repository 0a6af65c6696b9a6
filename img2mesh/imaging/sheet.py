"""Views on one sheet: tiling and untiling."""

from __future__ import annotations

from math import gcd, isqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from img2mesh.errors import InputError

ROWS, COLUMNS = 3, 2
# Above, the greatest common divisor of the sides says nothing about views.
_MOST_TILES, _MOST_SEEN = 16, 32


def tile(tiles: NDArray[Any]) -> NDArray[Any]:
    """Pictures (n, h, w, c) to one sheet two wide, row by row; six to (3 h, 2 w, c).

    An odd number leaves the last place empty (0).
    """
    count, height, width, channels = tiles.shape
    blank = np.zeros((-count % COLUMNS, height, width, channels), tiles.dtype)
    grid = np.concatenate([tiles, blank]).reshape(-1, COLUMNS, height, width, channels)
    return grid.transpose(0, 2, 1, 3, 4).reshape(-1, COLUMNS * width, channels)


def untile(sheet: NDArray[Any]) -> NDArray[Any]:
    """One sheet (3 s, 2 s, c) to six square pictures (6, s, s, c), row by row.

    Raises:
        InputError: the sheet is not three rows of two squares.
    """
    height, width = sheet.shape[:2]
    if width % COLUMNS or height % ROWS or width // COLUMNS != height // ROWS:
        raise InputError(
            f"a six-view sheet has 3 rows of 2 square views, such as 640x960 pixels; "
            f"this picture has {width}x{height}{_layout(width, height)}"
        )
    return cut(sheet, ROWS, COLUMNS)


def cut(sheet: NDArray[Any], rows: int, columns: int) -> NDArray[Any]:
    """One sheet (rows s, columns s, c) to square pictures (rows columns, s, s, c), row by row."""
    size, channels = sheet.shape[0] // rows, sheet.shape[2]
    grid = sheet.reshape(rows, size, columns, size, channels)
    return grid.transpose(0, 2, 1, 3, 4).reshape(rows * columns, size, size, channels)


def squares(sheet: NDArray[Any], count: int) -> NDArray[Any] | None:
    """One sheet (h, w, c) to its ``count`` square pictures, row by row; None if it has others."""
    height, width = sheet.shape[:2]
    size = isqrt(height * width // count)
    if not size or height % size or width % size or height * width != count * size * size:
        return None
    return cut(sheet, height // size, width // size)


def seems(width: int, height: int) -> str:
    """How many square views a picture seems to hold; nothing where that cannot be told."""
    side = gcd(width, height)
    columns, rows = width // side, height // side
    if columns * rows == 1 or columns * rows > _MOST_SEEN or min(width, height) < 64:
        return ""
    return f" ({columns * rows} views, it seems, {columns} wide and {rows} high)"


def _layout(width: int, height: int) -> str:
    """What a picture of another shape seems to hold, if that can be told, and what to do."""
    side = gcd(width, height)
    columns, rows = width // side, height // side
    if columns * rows == 1:
        return ": one square picture; if it is a photo, use img2mesh run"
    if columns * rows == ROWS * COLUMNS:
        return f" ({rows} x {columns} views, it seems): put its views into 3 rows of 2"
    if columns * rows <= _MOST_TILES and min(width, height) >= 64:
        return (
            f" ({columns * rows} views, it seems): give six views, or single pictures in a folder "
            "with a transforms.json"
        )
    return ": resize or crop it so that six square views fill it"
