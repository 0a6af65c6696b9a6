"""The frame in which generators of the Zero-1-to-3 kind expect an object: on white, with room."""

from __future__ import annotations

import numpy as np
from PIL import Image

from img2mesh.core.arrays import F32

#: Longest side of the object over the frame in published examples: 200 of 256 pixels.
FRAMING = 200 / 256


def square_around(alpha: F32, ratio: float = FRAMING) -> tuple[float, float, float]:
    """Left, top and side in pixels of the square in which an object's longest side is ``ratio``.

    Args:
        alpha: (h, w) with some pixel above 0.5.
        ratio: the object's longest side over the square's.
    """
    rows, columns = np.flatnonzero((alpha > 0.5).any(1)), np.flatnonzero((alpha > 0.5).any(0))
    top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
    side = max(bottom - top, right - left) / ratio
    return float((left + right - side) / 2), float((top + bottom - side) / 2), float(side)


def framed(rgb: F32, alpha: F32, size: int, *, ratio: float = FRAMING) -> Image.Image:
    """(size, size) RGB: the object on white, its longest side ``ratio`` of the frame.

    Args:
        rgb: (h, w, 3) float32 in [0, 1], straight colours.
        alpha: (h, w) float32 with some pixel above 0.5.
        size: side of the result, pixels.
        ratio: the object's longest side over ``size``.
    """
    x, y, side = square_around(alpha, ratio)
    white = rgb * alpha[..., None] + (1 - alpha[..., None])
    height, width = alpha.shape
    margin = int(np.ceil(max(0, -x, -y, x + side - width, y + side - height))) + 1
    padded = np.pad(white, ((margin, margin), (margin, margin), (0, 0)), constant_values=1.0)
    picture = Image.fromarray(np.rint(padded * 255).astype(np.uint8))
    box = (x + margin, y + margin, x + margin + side, y + margin + side)
    how = Image.Resampling.BOX if side > size else Image.Resampling.BICUBIC
    return picture.resize((size, size), how, box=box)
