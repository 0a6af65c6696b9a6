"""The picture artists see first: the input beside four views of the mesh, textured and as clay."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from img2mesh.artifacts import View
from img2mesh.core.arrays import F32, U8
from img2mesh.imaging.colour import over
from img2mesh.report.fidelity import shrunk
from img2mesh.report.preview_scene import GROUND, PreviewScene
from img2mesh.report.rendering import CLAY, SHADED

CELL, _MARGIN, _GAP, _CAPTION = 288, 40, 20, 26  # pixels: five cells make 1600
_AZIMUTHS = (35.0, 90.0, 180.0, 270.0)
_CAPTIONS = ("35° · front right", "90° · right", "180° · back", "270° · left")
_INK, _TITLE_SIZE = (112, 112, 108), 14
_FILL = 0.82  # as in the preview scene


def draw_preview(scene: PreviewScene, given: View, *, caption: str) -> U8:
    """The preview picture.

    Args:
        scene: the asset.
        given: the input photo, or the first view where there is none.
        caption: what the given picture is.

    Returns:
        (h, w, 3) uint8 sRGB: upper row the given picture and four textured views, lower row the
        texture atlas and the same four sights of the bare shape.
    """
    columns = [[(framed(given, CELL), caption), (_atlas(scene), "texture")]]
    for text, camera in zip(_CAPTIONS, scene.cameras(_AZIMUTHS, CELL), strict=True):
        textured, clay = scene.render_on_ground(camera, (SHADED, CLAY))
        columns.append([(textured, text), (clay, "shape")])
    return contact_sheet(columns)


def beside_photo(photo: U8, preview: U8, height: int) -> U8:
    """A strip for lists: the photo first, then the first three sights of a preview.

    Args:
        photo: (h, w, 3 or 4) uint8 sRGB.
        preview: :func:`draw_preview`'s picture.
        height: of the strip in pixels.

    Returns:
        (height, w, 3) uint8 sRGB.
    """
    from PIL import Image, ImageOps

    first, step = _MARGIN + CELL + _GAP // 2, CELL + _GAP
    sights = Image.fromarray(preview[:, first : first + 3 * step])
    sights = sights.resize((round(sights.width * height / sights.height), height))
    small = ImageOps.contain(Image.fromarray(photo), (height, height), Image.Resampling.LANCZOS)
    ground = np.rint(np.array(GROUND) * 255).astype(np.uint8)
    strip = Image.new("RGB", (height + sights.width, height), tuple(ground.tolist()))
    small = small.convert("RGBA")
    strip.paste(small, ((height - small.width) // 2, (height - small.height) // 2), small)
    strip.paste(sights, (height, 0))
    return np.asarray(strip)


def contact_sheet(columns: list[list[tuple[F32, str]]]) -> U8:
    """Columns of two cells (CELL, CELL, 3), each with its caption below, on the ground colour."""
    from PIL import Image, ImageDraw, ImageFont

    step, row = CELL + _GAP, CELL + _CAPTION + _GAP
    width = 2 * _MARGIN + len(columns) * step - _GAP
    canvas = np.empty((2 * _MARGIN + 2 * row - _GAP - _CAPTION // 2, width, 3), np.float32)
    canvas[:] = GROUND
    corners = [
        (_MARGIN + number * step, _MARGIN + line * row, *cell)
        for number, column in enumerate(columns)
        for line, cell in enumerate(column)
    ]
    for x, y, picture, _ in corners:
        canvas[y : y + CELL, x : x + CELL] = picture
    image = Image.fromarray(np.rint(np.clip(canvas, 0, 1) * 255).astype(np.uint8))
    draw = ImageDraw.Draw(image)
    font = ImageFont.load_default(_TITLE_SIZE)  # bundled with Pillow: no system font needed
    for x, y, _, text in corners:
        place = x + CELL // 2, y + CELL + _CAPTION // 2
        draw.text(place, text, fill=_INK, font=font, anchor="mm")
    return np.asarray(image)


def framed(given: View, size: int) -> F32:
    """The object of a picture, cropped and scaled to fill a square like the scene's views."""
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
    return over(straight.astype(np.float32), cover[..., 0].astype(np.float32), GROUND)


def _atlas(scene: PreviewScene) -> F32:
    """The texture on the ground colour, texels outside every chart left out."""
    asset = scene.renderer.asset
    rgb, alpha = shrunk(
        (asset.texture / np.float32(255)).astype(np.float32),
        (asset.coverage > 0).astype(np.float32),
        round(CELL * _FILL),
    )
    height, width = alpha.shape
    out = np.empty((CELL, CELL, 3), np.float32)
    out[:] = GROUND
    y, x = (CELL - height) // 2, (CELL - width) // 2
    out[y : y + height, x : x + width] = over(rgb, alpha, GROUND)
    return out
