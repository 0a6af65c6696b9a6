"""Triangle meshes as arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def same_position(vertices: NDArray[np.float32]) -> NDArray[np.int32]:
    """Index (n,) equal for vertices (n, 3) of bit-identical position, in first-seen order."""
    rows = np.ascontiguousarray(vertices + np.float32(0), np.float32)  # -0 becomes 0
    keys = rows.view([("", np.float32)] * 3).reshape(-1)
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    rank = np.empty(len(first), np.int32)
    rank[np.argsort(first, kind="stable")] = np.arange(len(first), dtype=np.int32)
    return rank[inverse.reshape(-1)]


def unit_normals(normals: NDArray[Any]) -> NDArray[np.float32]:
    """Normals (n, 3) as they are where they are unit vectors, mended where they are not.

    glTF demands unit length; a vertex of only degenerate faces has no normal and gets +y.
    """
    length = np.linalg.norm(normals.astype(np.float64), axis=1)
    wrong = ~(np.abs(length - 1) < 1e-3)  # the validator accepts 0.00674; also catches NaN
    if not wrong.any():
        return np.ascontiguousarray(normals, np.float32)
    mended = np.array(normals, np.float32)
    usable = wrong & np.isfinite(length) & (length > 1e-12)
    mended[usable] = normals[usable] / length[usable, None]
    mended[wrong & ~usable] = (0.0, 1.0, 0.0)
    return mended
