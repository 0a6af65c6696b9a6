"""Six views on one sheet, and views without alpha: tiling, and matting against a plain backdrop."""

from __future__ import annotations

from math import gcd
from typing import Any

import numpy as np
from numpy.typing import NDArray

from img2mesh.artifacts import F32
from img2mesh.errors import InputError

ROWS, COLUMNS = 3, 2
_MOST_TILES = 16  # above, the greatest common divisor of the sides says nothing about views

#: Colour distances below are in 8-bit levels, the largest of the three channels' differences.
_EXACT_TOLERANCE = 0.5  # a rendered backdrop is one single value
_NOISY_TOLERANCE = (6.0, 20.0)  # networks' and JPEG's backdrops: bounds on 4 + 4 sigma
_SMOOTHING = (
    1.0  # pixels: averages a noisy backdrop's grain away, or tolerance would eat the object
)
_BORDER_SHARE = 0.6  # of the border pixels must show the backdrop; the object may touch the rest
_RIM = (1.5, 2.5)  # pixels inside the outline that may be mixed: antialiased, or also blurred
_CLIPPED_HOLE = 0.003  # of the picture: holes below this on white may as well be highlights
_TELLING = 12.0  # the object's colour must differ this much from the backdrop to measure alpha


def tile(tiles: NDArray[Any]) -> NDArray[Any]:
    """Six pictures (6, h, w, c) to one sheet (3 h, 2 w, c), row by row."""
    count, height, width, channels = tiles.shape
    if count != ROWS * COLUMNS:
        raise InputError(f"a sheet holds {ROWS * COLUMNS} views, got {count}")
    grid = tiles.reshape(ROWS, COLUMNS, height, width, channels)
    return grid.transpose(0, 2, 1, 3, 4).reshape(ROWS * height, COLUMNS * width, channels)


def untile(sheet: NDArray[Any]) -> NDArray[Any]:
    """One sheet (3 s, 2 s, c) to six square pictures (6, s, s, c), row by row.

    Raises:
        InputError: the sheet is not three rows of two squares.
    """
    height, width, channels = sheet.shape
    if width % COLUMNS or height % ROWS or width // COLUMNS != height // ROWS:
        raise InputError(
            f"a six-view sheet has 3 rows of 2 square views, such as 640x960 pixels; "
            f"this picture has {width}x{height}{_layout(width, height)}"
        )
    size = width // COLUMNS
    grid = sheet.reshape(ROWS, size, COLUMNS, size, channels)
    return grid.transpose(0, 2, 1, 3, 4).reshape(ROWS * COLUMNS, size, size, channels)


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


def matte(rgb: F32, *, lossy: bool = False) -> tuple[F32, F32]:
    """Separate an object from a plain backdrop.

    The backdrop's colour is the median of the picture's border. Whatever has that colour *and*
    is connected to the border is backdrop, so that parts of the object which happen to share the
    colour stay. Holes seen through the object (a mug's handle) are backdrop too if they have the
    backdrop's colour all over, with no shading, and a clear edge: a surface is hardly ever so flat.
    On a clipped (white or black) backdrop, where small highlights and pupils are just as flat, only
    large holes count.

    In the rim, alpha solves the compositing equation ``I = a F + (1 - a) B`` in the least-squares
    sense, F being the colour just inside, and the colour becomes F.

    Args:
        rgb: (h, w, 3) in [0, 1], opaque.
        lossy: the file was JPEG or WebP; its backdrop rings around the object.

    Returns:
        The object's colour (h, w, 3), continued outwards, and alpha (h, w).

    Raises:
        InputError: the border has no common colour.
    """
    from scipy import ndimage

    levels = rgb.astype(np.float64) * 255
    backdrop = np.median(_border(levels), axis=0)
    exact = not lossy and float(np.median(np.abs(_border(levels) - backdrop).max(axis=1))) == 0.0
    seen = levels if exact else ndimage.gaussian_filter(levels, (_SMOOTHING, _SMOOTHING, 0))
    spread = np.abs(_border(seen) - backdrop).max(axis=1)
    noise = 1.4826 * float(np.median(spread))
    low, high = _NOISY_TOLERANCE
    tolerance = _EXACT_TOLERANCE if exact else float(np.clip(4 + 4 * noise, low, high))
    if (spread <= tolerance).mean() < _BORDER_SHARE:
        raise InputError(
            "the picture has neither transparency nor a plain background: give RGBA pictures, "
            "or views on one uniform colour"
        )

    distance = np.abs(seen - backdrop).max(axis=2)
    outside = _reached_from_border(distance <= tolerance)
    clipped = bool((backdrop > 252).all() or (backdrop < 3).all())
    outside |= _flat_holes(
        seen,
        distance,
        ~outside,
        backdrop,
        tolerance,
        smallest=_CLIPPED_HOLE * distance.size if clipped else 4 if exact else 24,
        # A smoothed edge rises over a few pixels; shading by a level or two a pixel.
        reach=1 if exact else 5,
        edge=4.0 if exact else 30.0 if clipped else 1.5 * tolerance,
    )
    if not exact:
        outside |= _specks(~outside)
    if outside.all():
        return rgb.copy(), np.zeros(rgb.shape[:2], np.float32)

    inset = ndimage.distance_transform_edt(~outside) if outside.any() else np.inf
    rim = ~outside & (inset < (_RIM[0] if exact else _RIM[1]))
    # Thin parts have no inside; there the pixel that differs most from the backdrop is the purest.
    purest = distance >= ndimage.maximum_filter(np.where(outside, 0, distance), size=3)
    core = ~outside & (~rim | purest)
    foreground = _nearest(levels, core)
    mixed, full = levels - backdrop, foreground - backdrop
    share = (mixed * full).sum(axis=2) / np.maximum((full * full).sum(axis=2), 1e-9)
    telling = np.abs(full).max(axis=2) > max(_TELLING, 2 * tolerance)
    soft = np.where(telling, np.clip(share, 0, 1), 1.0)
    alpha = np.where(outside, 0.0, np.where(rim & ~core, soft, 1.0)).astype(np.float32)
    colour = np.where((rim | outside)[..., None], foreground, levels) / 255
    return np.clip(colour, 0, 1).astype(np.float32), alpha


def spread_colour(rgb: F32, alpha: F32) -> F32:
    """Continue the object's colour outwards, so that blurs and look-ups never mix the backdrop in.

    Every pixel with alpha 0 takes the colour of the nearest pixel with alpha; (h, w, 3) float32.
    """
    covered = alpha > 0
    if covered.all() or not covered.any():
        return rgb.copy()
    return np.where(covered[..., None], rgb, _nearest(rgb, covered)).astype(np.float32)


def _nearest(values: NDArray[Any], known: NDArray[np.bool_]) -> NDArray[Any]:
    """Each pixel's value from the nearest known pixel."""
    from scipy import ndimage

    index = ndimage.distance_transform_edt(~known, return_distances=False, return_indices=True)
    return values[tuple(index)]


def _border(values: NDArray[Any]) -> NDArray[Any]:
    """The picture's outermost pixels, (n, c)."""
    return np.concatenate([values[0], values[-1], values[1:-1, 0], values[1:-1, -1]])


def _reached_from_border(like: NDArray[np.bool_]) -> NDArray[np.bool_]:
    from scipy import ndimage

    labels, count = ndimage.label(like)
    reached = np.zeros(count + 1, bool)
    for edge in (labels[0], labels[-1], labels[:, 0], labels[:, -1]):
        reached[edge] = True
    reached[0] = False
    return reached[labels]


def _flat_holes(
    levels: NDArray[np.float64],
    distance: NDArray[np.float64],
    body: NDArray[np.bool_],
    backdrop: NDArray[np.float64],
    tolerance: float,
    *,
    smallest: float,
    reach: int,
    edge: float,
) -> NDArray[np.bool_]:
    """Enclosed regions that show the backdrop: its colour all over, and a clear edge around.

    At least ``smallest`` pixels, and around them, within ``reach`` pixels, a median distance from
    the backdrop of more than ``edge`` levels. A band of the body whose shading just passes through
    the backdrop's colour has no such edge.
    """
    from scipy import ndimage

    labels, count = ndimage.label(body & (distance <= tolerance))
    if not count:
        return np.zeros(body.shape, bool)
    names = np.arange(1, count + 1)
    area = np.bincount(labels.ravel(), minlength=count + 1)[1:]
    off = np.zeros(count)
    for channel in range(3):
        mean = ndimage.mean(levels[..., channel], labels, names)
        off = np.maximum(off, np.abs(mean - backdrop[channel]))
    around = ndimage.grey_dilation(labels, size=(3, 3)) * (labels == 0)
    contrast = ndimage.median(ndimage.maximum_filter(distance, size=reach), around, names)
    hole = (off <= 0.25 * tolerance) & (area >= smallest)
    hole &= contrast > edge
    return np.concatenate([[False], hole])[labels]


def _specks(body: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Connected pieces of the body below 0.1 % of the largest: noise of the backdrop."""
    from scipy import ndimage

    labels, count = ndimage.label(body, structure=np.ones((3, 3)))
    if count < 2:
        return np.zeros(body.shape, bool)
    area = np.bincount(labels.ravel())
    small = area < max(3.0, 1e-3 * area[1:].max())
    small[0] = False
    return small[labels]
