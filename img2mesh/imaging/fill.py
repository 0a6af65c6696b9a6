"""Pixels without a value take the nearest one that has."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Scalar = TypeVar("Scalar", bound=np.generic)


def from_nearest(values: NDArray[Scalar], known: NDArray[np.bool_]) -> NDArray[Scalar]:
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
