"""Bilinear look-ups in pictures."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from img2mesh.core.arrays import F32


def bilinear(picture: F32, uv: NDArray[np.floating]) -> F32:
    """Values of a picture between its pixels' centres.

    Args:
        picture: (h, w) or (h, w, c) float32.
        uv: (..., 2) pixel coordinates, u to the right and v downwards, the centre of the first
            pixel at (.5, .5); beyond the outermost centres their values go on.

    Returns:
        (...) or (..., c) float32.
    """
    from scipy.ndimage import map_coordinates

    at = [uv[..., 1] - 0.5, uv[..., 0] - 0.5]
    planes = [picture] if picture.ndim == 2 else np.moveaxis(picture, -1, 0)
    found = [map_coordinates(p, at, order=1, mode="nearest", output=np.float32) for p in planes]
    return np.stack(found, axis=-1) if picture.ndim == 3 else found[0]


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
    return upper + fy * (c + fx * (d - c) - upper)


def texels_at(picture: F32, uv: NDArray[np.floating], *, repeat: bool = False) -> F32:
    """Bilinear texels at pixel coordinates, in single precision.

    :func:`bilinear` computes in double precision and so differs in the last bits, which baked
    textures keep.

    Args:
        picture: (h, w) or (h, w, c), pixel centres at .5.
        uv: (..., 2) x and y, (0, 0) the top left corner.
        repeat: beyond the border the picture goes on with its other side, else with its border.

    Returns:
        (...) or (..., c) float32.
    """
    height, width = picture.shape[:2]
    x, y = uv[..., 0] - 0.5, uv[..., 1] - 0.5
    if not repeat:
        x, y = np.clip(x, 0, width - 1), np.clip(y, 0, height - 1)
    left, top = np.floor(x).astype(np.int64), np.floor(y).astype(np.int64)
    if not repeat:  # the last pixel is the far end of the last pair
        left, top = np.minimum(left, max(width - 2, 0)), np.minimum(top, max(height - 2, 0))
    fx, fy = (x - left).astype(np.float32), (y - top).astype(np.float32)
    right, bottom = (left + 1) % width, (top + 1) % height
    left, top = left % width, top % height
    if picture.ndim == 3:
        fx, fy = fx[..., None], fy[..., None]
    flat = picture.reshape(height * width, *picture.shape[2:])
    upper = flat[top * width + left] * (1 - fx) + flat[top * width + right] * fx
    lower = flat[bottom * width + left] * (1 - fx) + flat[bottom * width + right] * fx
    return upper * (1 - fy) + lower * fy
