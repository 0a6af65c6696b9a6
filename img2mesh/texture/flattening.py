"""Charts laid flat with as little stretch as can be, all at once.

As-rigid-as-possible parametrisation (Liu et al. 2008, "A local/global approach to mesh
parameterization"), started from the projection along each chart's mean normal. In the plane a
point is a complex number and a rotation a unit one, so a local step is one line. All charts share
one factorised system; it is block diagonal.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, diags
from scipy.sparse.linalg import splu

from img2mesh.core.arrays import I32
from img2mesh.geometry.mesh import area_vectors, half_edges, symmetric, unit

Complex = NDArray[np.complex128]

_ROUNDS = 12

#: Cotangents are kept within these, so that slivers neither tear nor repel.
_COTANGENT = (0.02, 20.0)

#: Hold of every vertex to its starting place, as a share of its weight: makes the system regular.
_HOLD = 1e-6

#: A face lower than this share of its longest side counts as folded.
_LEAST_HEIGHT = 1e-3

#: Attempts at unfolding, each second one with one more ring of vertices, and sweeps in each.
_UNFOLDING_ROUNDS, _SWEEPS = 8, 20


def flatten(
    vertices: NDArray[np.floating], faces: I32, chart: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Plane coordinates of vertices that are already split at chart borders.

    Args:
        vertices: (n, 3).
        faces: (m, 3); no vertex belongs to faces of two charts.
        chart: (m,) chart of every face.

    Returns:
        (n, 2) in the mesh's own unit of length, counter-clockwise as the faces; some faces may be
        folded over where a chart could not be laid flat, see :func:`folded`.
    """
    count = len(vertices)
    corners = vertices[faces].astype(np.float64)
    side = _triangles_in_the_plane(corners)  # (m, 3): corner k to corner k + 1
    weight = _cotangents(side) / 2
    place = _projected(vertices, faces, chart)
    start, end = half_edges(faces)
    adjacency = symmetric(start, end, weight.ravel(), count)
    degree = np.asarray(adjacency.sum(axis=1)).ravel()
    hold = _HOLD * degree + 1e-30
    solver = splu(
        (diags(degree + hold) - adjacency).tocsc(),
        permc_spec="MMD_AT_PLUS_A",
        diag_pivot_thresh=0.0,
        options={"SymmetricMode": True},
    )
    anchor = hold * place
    for _ in range(_ROUNDS):
        now = place[faces[:, [1, 2, 0]]] - place[faces]
        turn = (weight * np.conj(side) * now).sum(axis=1)
        turn = turn / np.maximum(np.abs(turn), 1e-300)
        pull = (weight * side * turn[:, None]).ravel()
        right = anchor.copy()
        for part, axis in ((pull.real, 1.0), (pull.imag, 1j)):
            right += axis * (np.bincount(end, part, count) - np.bincount(start, part, count))
        solved = solver.solve(np.stack([right.real, right.imag], axis=1))
        place = solved[:, 0] + 1j * solved[:, 1]
    place = _unfolded(place, faces, csr_matrix(adjacency))
    return np.stack([place.real, place.imag], axis=1)


def folded(uv: NDArray[np.float64], faces: I32) -> NDArray[np.bool_]:
    """Which faces (m,) lie on their back, or flat on a line.

    Args:
        uv: (n, 2).
        faces: (m, 3).
    """
    return _folded(uv[:, 0] + 1j * uv[:, 1], faces)


def _folded(place: Complex, faces: I32) -> NDArray[np.bool_]:
    a, b, c = (place[faces[:, k]] for k in range(3))
    area = (np.conj(b - a) * (c - a)).imag
    longest = np.maximum(np.maximum(np.abs(b - a), np.abs(c - b)), np.abs(a - c))
    return area <= _LEAST_HEIGHT * longest**2


def _unfolded(place: Complex, faces: I32, adjacency: csr_matrix) -> Complex:
    """Vertices around folded faces moved to the middle of their neighbours (Tutte 1963)."""
    count = len(place)
    graph = adjacency.copy()
    graph.data = np.ones_like(graph.data)
    degree = np.maximum(np.asarray(graph.sum(axis=1)).ravel(), 1)
    inner = np.bincount(faces.ravel(), minlength=count) == degree  # as many faces as neighbours
    for attempt in range(_UNFOLDING_ROUNDS):
        bad = _folded(place, faces)
        if not bad.any():
            break
        near = np.zeros(count, bool)
        near[faces[bad]] = True
        for _ in range(attempt // 2):
            near |= graph @ near.astype(np.float64) > 0
        near &= inner
        trial = place.copy()
        for _ in range(_SWEEPS):
            trial[near] = (graph @ trial)[near] / degree[near]
        if _folded(trial, faces).sum() < bad.sum():
            place = trial
    return place


def _triangles_in_the_plane(corners: NDArray[np.float64]) -> Complex:
    """(m, 3) the sides of every triangle laid flat, the first along the real axis."""
    ab, ac = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    length = np.maximum(np.linalg.norm(ab, axis=1), 1e-30)
    along = (ab * ac).sum(axis=1) / length
    away = np.linalg.norm(np.cross(ab, ac), axis=1) / length
    b, c = length + 0j, along + 1j * away
    return np.stack([b, c - b, -c], axis=1)


def _cotangents(side: Complex) -> NDArray[np.float64]:
    """(m, 3) cotangent of the angle opposite each side."""
    to_start, to_end = np.roll(side, -2, axis=1), -np.roll(side, -1, axis=1)
    product = np.conj(to_end) * to_start
    return np.clip(product.real / np.maximum(np.abs(product.imag), 1e-30), *_COTANGENT)


def _projected(vertices: NDArray[np.floating], faces: I32, chart: NDArray[np.int64]) -> Complex:
    """(n,) every vertex seen along the mean normal of its chart."""
    normal = area_vectors(vertices, faces)
    mean = unit(np.stack([np.bincount(chart, normal[:, k]) for k in range(3)], axis=1))
    least = np.eye(3)[np.abs(mean).argmin(axis=1)]
    right = unit(np.cross(least, mean))
    up = np.cross(mean, right)
    of_vertex = np.zeros(len(vertices), np.int64)
    of_vertex[faces] = chart[:, None]
    points = vertices.astype(np.float64)
    x = (points * right[of_vertex]).sum(axis=1)
    y = (points * up[of_vertex]).sum(axis=1)
    return x + 1j * y
