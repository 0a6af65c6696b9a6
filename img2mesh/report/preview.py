"""The picture artists see first: the input beside four views of the mesh, textured and as clay."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from img2mesh.artifacts import View
from img2mesh.core.arrays import F32, U8
from img2mesh.report.fidelity import shrunk
from img2mesh.report.rendering import CLAY, SHADED, composite
from img2mesh.report.studio import GROUND, Studio

_CELL, _MARGIN, _GAP, _CAPTION = 288, 40, 20, 26  # pixels: five cells make 1600
_AZIMUTHS = (35.0, 90.0, 180.0, 270.0)
_CAPTIONS = ("35° · front right", "90° · right", "180° · back", "270° · left")
_INK, _TITLE_SIZE = (112, 112, 108), 14
_FILL = 0.82  # as in the studio


def draw_preview(studio: Studio, given: View, *, caption: str) -> U8:
    """The preview picture.

    Args:
        studio: the asset.
        given: the input photo, or the first view where there is none.
        caption: what the given picture is.

    Returns:
        (h, w, 3) uint8 sRGB: upper row the given picture and four textured views, lower row the
        texture atlas and the same four sights of the bare shape.
    """
    columns, row = 1 + len(_AZIMUTHS), _CELL + _CAPTION
    width = 2 * _MARGIN + columns * _CELL + (columns - 1) * _GAP
    height = 2 * _MARGIN + 2 * row + _GAP - _CAPTION // 2
    canvas = np.empty((height, width, 3), np.float32)
    canvas[:] = GROUND

    def place(picture: F32, column: int, line: int) -> None:
        x, y = _MARGIN + column * (_CELL + _GAP), _MARGIN + line * (row + _GAP)
        canvas[y : y + _CELL, x : x + _CELL] = picture

    place(framed(given, _CELL), 0, 0)
    place(_atlas(studio, _CELL), 0, 1)
    for column, camera in enumerate(studio.cameras(_AZIMUTHS, _CELL), start=1):
        textured, clay = studio.photograph(camera, (SHADED, CLAY))
        place(textured, column, 0)
        place(clay, column, 1)
    picture = np.rint(np.clip(canvas, 0, 1) * 255).astype(np.uint8)
    captions = [(caption, 0, 0), ("texture", 0, 1)]
    captions += [(text, column, 0) for column, text in enumerate(_CAPTIONS, start=1)]
    captions += [("shape", column, 1) for column in range(1, columns)]
    return lettered(picture, captions, row)


def framed(given: View, size: int) -> F32:
    """The object of a picture, cropped and scaled to fill a square like the studio's views."""
    import cv2

    rows, columns = np.nonzero(given.alpha > 0.5)
    if not len(rows):
        rows, columns = np.nonzero(np.ones_like(given.alpha))
    top, bottom, left, right = rows.min(), rows.max() + 1, columns.min(), columns.max() + 1
    side = max(bottom - top, right - left) / _FILL
    # Averaged down first where the crop is much larger than the cell, then one exact warp.
    rgb, alpha, ratio = given.rgb, given.alpha, 1.0
    if side > 1.5 * size:
        largest = max(round(max(alpha.shape) * size / side), 1)
        rgb, alpha = shrunk(rgb, alpha, largest)
        ratio = alpha.shape[0] / given.alpha.shape[0]
    zoom = size / (side * ratio)
    shift_x = size / 2 - zoom * ratio * (left + right) / 2
    shift_y = size / 2 - zoom * ratio * (top + bottom) / 2
    # OpenCV counts from pixel centres: half a pixel more on either side of the map.
    half = (zoom - 1) / 2
    warp = np.array([[zoom, 0, shift_x + half], [0, zoom, shift_y + half]])
    stacked = np.concatenate([rgb * alpha[..., None], alpha[..., None]], axis=2)
    moved: NDArray[Any] = cv2.warpAffine(stacked, warp, (size, size), flags=cv2.INTER_LINEAR)
    cover = np.clip(moved[..., 3:], 0, 1)
    straight = np.clip(moved[..., :3] / np.maximum(cover, 1e-4), 0, 1)
    return composite(straight.astype(np.float32), cover[..., 0].astype(np.float32), GROUND)


def _atlas(studio: Studio, size: int) -> F32:
    """The texture on the ground colour, texels outside every chart left out."""
    asset = studio.stage.asset
    inner = round(size * _FILL)
    rgb, alpha = shrunk(
        (asset.texture / np.float32(255)).astype(np.float32),
        (asset.coverage > 0).astype(np.float32),
        inner,
    )
    height, width = alpha.shape
    out = np.empty((size, size, 3), np.float32)
    out[:] = GROUND
    y, x = (size - height) // 2, (size - width) // 2
    out[y : y + height, x : x + width] = composite(rgb, alpha, GROUND)
    return out


def lettered(picture: U8, captions: list[tuple[str, int, int]], row: int) -> U8:
    """A picture with captions (text, column, line) under cells that are ``row`` pixels apart."""
    from PIL import Image, ImageDraw, ImageFont

    image = Image.fromarray(picture)
    draw = ImageDraw.Draw(image)
    font = ImageFont.load_default(_TITLE_SIZE)  # bundled with Pillow: no system font needed
    for text, column, line in captions:
        x = _MARGIN + column * (_CELL + _GAP) + _CELL // 2
        y = _MARGIN + line * (row + _GAP) + _CELL + _CAPTION // 2
        draw.text((x, y), text, fill=_INK, font=font, anchor="mm")
    return np.asarray(image)
