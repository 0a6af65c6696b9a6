"""Colour for what no view saw, spread over the surface from its rim.

On the vertices a harmonic membrane over the surface (cotangent weights, Pinkall and Polthier 1993):
it cannot leak from an arm to the hip beside it. On the texels the detail of the rim, which is what
the painted colours add to the membrane, is carried on and fades with distance, so that neither
step nor blur shows where the views end.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from img2mesh.artifacts import Mesh
from img2mesh.core.arrays import F32
from img2mesh.geometry.mesh import half_edges, symmetric

#: Cotangents are held in this range: slivers have wild ones.
_COTANGENT = (1e-3, 10.0)

#: Rim texels asked by each unseen one; what a turn of the normal counts in reaches, so that the
#: far side of a thin part is not near; and the number of reaches beyond which nothing is left.
_ASKED, _TURN, _BEYOND = 12, 1.0, 4.0


def membrane(mesh: Mesh, colour: F32, seen: NDArray[np.bool_]) -> F32:
    """Harmonic colours of unseen vertices between those of seen ones.

    Args:
        mesh: closed surface of n vertices.
        colour: (n, 3); what unseen vertices have is kept where no seen one is connected.
        seen: (n,) bool.
    """
    from scipy.sparse import diags
    from scipy.sparse.linalg import splu

    free = ~seen
    if not seen.any() or not free.any():
        return colour
    points, count = mesh.vertices.astype(np.float64), len(mesh.vertices)
    start, end = half_edges(mesh.faces)
    apex = points[mesh.faces[:, [2, 0, 1]].ravel()]
    left, right = points[start] - apex, points[end] - apex
    area = np.linalg.norm(np.cross(left, right), axis=1)
    cotangent = (left * right).sum(axis=1) / np.maximum(area, 1e-12) / 2
    adjacency = symmetric(start, end, np.clip(cotangent, *_COTANGENT), count)
    degree = np.asarray(adjacency.sum(axis=1)).ravel()
    hold = np.full(int(free.sum()), 1e-9)
    matrix = diags(degree[free] + hold) - adjacency[free][:, free]
    right_side = adjacency[free][:, seen] @ colour[seen] + hold[:, None] * colour[free]
    out = colour.astype(np.float64)
    out[free] = splu(matrix.tocsc()).solve(right_side)
    return out.astype(np.float32)


def detail(
    points: F32,
    normals: F32,
    rest: F32,
    known: NDArray[np.intp],
    wanted: NDArray[np.intp],
    *,
    reach: float,
) -> F32:
    """What to add to the membrane at unseen texels: the rim's detail, fading.

    Args:
        points: (k, 3) of texels.
        normals: (k, 3) unit.
        rest: (k, 3) painted colour less membrane.
        known: indices of texels that were painted, near the rim.
        wanted: indices of texels to be filled.
        reach: distance over which detail fades, world units.

    Returns:
        (len(wanted), 3).
    """
    from scipy.spatial import cKDTree

    if not len(known) or not len(wanted):
        return np.zeros((len(wanted), 3), np.float32)
    place = np.concatenate([points / reach, _TURN * normals], axis=1)
    distance, index = cKDTree(place[known]).query(
        place[wanted], k=np.arange(1, min(_ASKED, len(known)) + 1), distance_upper_bound=_BEYOND
    )
    found = np.isfinite(distance)
    share = np.where(found, 1 / np.maximum(distance, 1e-3) ** 2, 0)
    share /= np.maximum(share.sum(axis=1, keepdims=True), 1e-12)
    fade = np.exp(-np.where(found, distance, np.inf)[:, :1])
    around = rest[known][np.where(found, index, 0)]
    return (fade * np.einsum("wk,wkc->wc", share, around)).astype(np.float32)
