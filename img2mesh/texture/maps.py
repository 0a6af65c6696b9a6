"""Values of texels as a picture whose charts continue into the space between them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from img2mesh.core.arrays import U8
from img2mesh.imaging.fill import from_nearest
from img2mesh.texture.raster import Texels


def padded(
    texels: Texels,
    values: NDArray[Any],
    resolution: int,
    known: NDArray[np.bool_] | None = None,
) -> U8:
    """A picture (r, r, c) uint8 of texel values (k, c), every other texel like the nearest one.

    The space between charts is filled so that filtering and mip levels never reach a foreign value.
    Values that are not ``known`` (k,) count as space.
    """
    flat = np.zeros((resolution * resolution, values.shape[1]), np.uint8)
    flat[texels.index] = values
    empty = np.ones(resolution * resolution, bool)
    empty[texels.index] = False if known is None or not known.any() else ~known
    picture: U8 = flat.reshape(resolution, resolution, -1)
    return from_nearest(picture, ~empty.reshape(resolution, resolution))
