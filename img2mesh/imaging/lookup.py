"""Bilinear look-ups in pictures."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from img2mesh.core.arrays import F32


def texture_at(texture: NDArray[Any], uv: F32) -> F32:
    """Bilinear texture colours.

    Args:
        texture: (h, w, c), texel centres at .5.
        uv: (n, 2), (0, 0) the top left of the picture; clamped at the border.

    Returns:
        (n, c) float32 in the texture's own range.
    """
    height, width = texture.shape[:2]
    x = np.clip(uv[:, 0] * np.float32(width) - np.float32(0.5), 0, width - 1)
    y = np.clip(uv[:, 1] * np.float32(height) - np.float32(0.5), 0, height - 1)
    x0, y0 = x.astype(np.int32), y.astype(np.int32)
    fx, fy = (x - x0)[:, None], (y - y0)[:, None]
    right = np.minimum(x0 + 1, width - 1)
    flat = texture.reshape(height * width, -1)
    top, bottom = y0 * width, np.minimum(y0 + 1, height - 1) * width
    a, b = flat[top + x0].astype(np.float32), flat[top + right].astype(np.float32)
    c, d = flat[bottom + x0].astype(np.float32), flat[bottom + right].astype(np.float32)
    upper = a + fx * (b - a)
    result: F32 = upper + fy * (c + fx * (d - c) - upper)
    return result
