"""sRGB as numbers, and colours over one another."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from img2mesh.core.arrays import F32


def srgb_to_linear(encoded: NDArray[Any]) -> F32:
    """IEC 61966-2-1 decoding of values in [0, 1]."""
    e = np.asarray(encoded, np.float32)
    return np.where(e <= 0.04045, e / 12.92, ((e + 0.055) / 1.055) ** 2.4).astype(np.float32)


def linear_to_srgb(linear: NDArray[Any]) -> F32:
    """IEC 61966-2-1 encoding; values are clipped to [0, 1]."""
    x = np.clip(linear, 0, 1)
    return np.where(x <= 0.0031308, x * 12.92, 1.055 * np.power(x, 1 / 2.4) - 0.055).astype(
        np.float32
    )


def over(rgb: F32, alpha: F32, background: ArrayLike) -> F32:
    """Straight-alpha (h, w, 3) over a colour (3,) or picture, blended as encoded."""
    behind = np.asarray(background, np.float32)
    return behind + alpha[..., None] * (rgb - behind)
