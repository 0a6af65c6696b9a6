"""Pixels without a value of their own take the nearest one that has."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from img2mesh.core.arrays import F32, Mask

Scalar = TypeVar("Scalar", bound=np.generic)


def from_nearest(values: NDArray[Scalar], known: Mask) -> NDArray[Scalar]:
    """Values (h, w, ...), each from the nearest known pixel; a copy where none is known.

    Args:
        values: (h, w, ...) of any type.
        known: (h, w) pixels whose values count; they keep them.
    """
    from scipy.ndimage import distance_transform_edt

    if known.all() or not known.any():
        return values.copy()
    row, column = distance_transform_edt(~known, return_distances=False, return_indices=True)
    return values[row, column]


def continue_colours(rgb: F32, alpha: F32, *, above: float, blur_px: float = 0.0) -> F32:
    """The object's colours continued past its outline, so that no blur or look-up mixes others in.

    Args:
        rgb: (h, w, 3) float32.
        alpha: (h, w) float32.
        above: pixels of more alpha keep their colour; where there are none, the most opaque do.
        blur_px: sigma of a blur afterwards.
    """
    from scipy.ndimage import gaussian_filter

    known = alpha > above
    filled = from_nearest(rgb, known if known.any() else alpha >= alpha.max())
    if blur_px > 0:
        filled = gaussian_filter(filled, (blur_px, blur_px, 0))
    return np.ascontiguousarray(filled, np.float32)
