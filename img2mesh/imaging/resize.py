"""Pictures brought to fewer pixels."""

from __future__ import annotations

from typing import Literal

import numpy as np

from img2mesh.core.arrays import F32


def shrink_rgba(rgb: F32, alpha: F32, *, width: int, height: int) -> tuple[F32, F32]:
    """A straight-alpha picture averaged over areas, colours weighted by alpha.

    Averaging straight colours would mix in what lies behind the object.

    Args:
        rgb: (h, w, 3) float32 in [0, 1].
        alpha: (h, w) float32 in [0, 1].
        width, height: of the result, in pixels.

    Returns:
        rgb (height, width, 3) and alpha (height, width) float32 in [0, 1].
    """
    bands = np.concatenate([rgb * alpha[..., None], alpha[..., None]], axis=2)
    small = shrink(bands, width=width, height=height)
    share = np.clip(small[..., 3], 0, 1)
    colour = np.clip(small[..., :3] / np.maximum(share, 1e-6)[..., None], 0, 1)
    return colour.astype(np.float32), share.astype(np.float32)


def shrink(bands: F32, *, width: int, height: int) -> F32:
    """Every band of (h, w, c) float32 averaged over areas to (height, width, c)."""
    return resample(bands, width=width, height=height, how="area")


def resample(
    bands: F32,
    *,
    width: int,
    height: int,
    how: Literal["area", "bicubic"],
    box: tuple[float, float, float, float] | None = None,
) -> F32:
    """Every band of (h, w, c) float32 at another size, (height, width, c).

    Args:
        bands: the picture.
        width, height: of the result, in pixels.
        how: the filter.
        box: left, top, right, bottom of the part to show, in pixels; all of it by default.
    """
    from PIL import Image

    filters = {"area": Image.Resampling.BOX, "bicubic": Image.Resampling.BICUBIC}
    planes = [
        Image.fromarray(np.ascontiguousarray(b, np.float32)) for b in np.moveaxis(bands, 2, 0)
    ]
    return np.stack(
        [np.asarray(p.resize((width, height), filters[how], box=box)) for p in planes], axis=2
    )


def fitted_size(width: int, height: int, longest: int) -> tuple[int, int]:
    """(width, height) scaled down so that the longer side is at most ``longest`` pixels."""
    side = max(width, height)
    if side <= longest:
        return width, height
    return max(round(width * longest / side), 1), max(round(height * longest / side), 1)
