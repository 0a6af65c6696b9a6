"""Smoothing that does not shrink."""

from __future__ import annotations

import numpy as np

from img2mesh.core.arrays import F32, I32

#: Taubin 1995 ("A signal processing approach to fair surface design"): a shrinking step of
#: LAMBDA, then a growing step of MU; 1 / LAMBDA + 1 / MU = 0.1 is the pass-band frequency.
LAMBDA, MU = 0.5, -0.5263


def taubin(vertices: F32, faces: I32, *, steps: int) -> F32:
    """Move vertices along their umbrella Laplacian, there and back, ``steps`` times.

    Args:
        vertices: (n, 3).
        faces: (m, 3), closed: every edge occurs in both directions.
        steps: pairs of half steps; 0 returns the vertices unchanged.
    """
    from scipy.sparse import coo_matrix, diags

    if steps <= 0:
        return vertices
    start, end = faces[:, [0, 1, 2]].ravel(), faces[:, [1, 2, 0]].ravel()
    count = len(vertices)
    adjacency = coo_matrix((np.ones(len(start)), (start, end)), shape=(count, count)).tocsr()
    degree = np.maximum(np.asarray(adjacency.sum(axis=1)).ravel(), 1)
    mean_of_neighbours = diags(1 / degree) @ adjacency
    moved = vertices.astype(np.float64)
    for _ in range(steps):
        for factor in (LAMBDA, MU):
            moved = moved + factor * (mean_of_neighbours @ moved - moved)
    return moved.astype(np.float32)
