"""Smoothing that does not shrink."""

from __future__ import annotations

import numpy as np

from img2mesh.core.arrays import F32, I32

#: Taubin 1995 ("A signal processing approach to fair surface design"): a shrinking step of
#: LAMBDA, then a growing step of MU; 1 / LAMBDA - 1 / MU = 0.1 is the pass-band frequency.
LAMBDA, MU = 0.5, 0.5263


def taubin(vertices: F32, faces: I32, *, steps: int) -> F32:
    """Move vertices (n, 3) along their umbrella Laplacian, there and back, ``steps`` times."""
    import trimesh

    body = trimesh.Trimesh(vertices, faces, process=False)
    trimesh.smoothing.filter_taubin(body, lamb=LAMBDA, nu=MU, iterations=2 * steps)
    return np.ascontiguousarray(body.vertices, np.float32)
