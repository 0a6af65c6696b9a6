"""Depth maps as the picture the depth ControlNet was trained on."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from img2mesh.artifacts import DepthSet
from img2mesh.errors import InputError
from img2mesh.imaging.sheet import COLUMNS, ROWS, tile


def normalised_depth(depth: NDArray[np.floating]) -> NDArray[np.float64]:
    """z-depth -> [0, 1] over the object, near 0 and far 1; NaN stays NaN.

    ``(z - zmin) / (zmax - zmin + 1e-9)`` over foreground alone: what the depth ControlNet's
    authors used (zero123plus issue 40). Linear in z-depth, not in disparity.

    Args:
        depth: (h, w) world units, NaN = background.
    """
    seen = np.isfinite(depth)
    out = np.full(depth.shape, np.nan)
    if seen.any():
        near, far = float(depth[seen].min()), float(depth[seen].max())
        out[seen] = (depth[seen].astype(np.float64) - near) / (far - near + 1e-9)
    return out


def depth_picture(depths: DepthSet, size: int, *, together: bool = False) -> Image.Image:
    """The control picture of six depth maps: RGBA, transparent where there is no object.

    The three channels are equal; transparency becomes grey 127 when the model reads it.

    Args:
        depths: six square maps; other sizes than ``size`` are resampled to the nearest value,
            since depth must not be mixed across edges.
        size: pixels of one view.
        together: one near and far for all six maps instead of one each. How the published
            network was trained is not stated; each on its own is what its authors' helper does.

    Raises:
        InputError: not six square maps, or one without any object.
    """
    maps = depths.depth
    if len(maps) != ROWS * COLUMNS or maps.shape[1] != maps.shape[2]:
        raise InputError(
            f"depth control needs six square depth maps, got {len(maps)} of "
            f"{maps.shape[2]}x{maps.shape[1]}"
        )
    empty = [k for k, m in enumerate(maps) if not np.isfinite(m).any()]
    if empty:
        raise InputError(f"depth map {empty[0]} shows no object; the coarse shape is out of view")
    if maps.shape[1] != size:
        index = ((np.arange(size) + 0.5) * maps.shape[1] / size).astype(int)
        maps = maps[:, index][:, :, index]
    flat = normalised_depth(maps) if together else np.stack([normalised_depth(m) for m in maps])
    seen = np.isfinite(flat)
    grey = np.rint(np.where(seen, flat, 0.0) * 255).astype(np.uint8)
    rgba = np.stack([grey, grey, grey, np.where(seen, 255, 0).astype(np.uint8)], axis=-1)
    return Image.fromarray(tile(rgba))
