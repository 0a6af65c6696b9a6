"""Triangle meshes as arrays: vertices (n, 3) in any unit, faces (m, 3), counter-clockwise outside.

A *half-edge* is a directed edge of a face: number 3 f + k runs from corner k of face f to the next
corner. All results are float64 unless stated, whatever the vertices are.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from img2mesh.core.arrays import F32, F64, I32

Ints = NDArray[np.int64]
Floating = NDArray[np.floating]


def same_position(vertices: F32) -> I32:
    """Index (n,) equal for vertices (n, 3) of bit-identical position, in first-seen order."""
    rows = np.ascontiguousarray(vertices + np.float32(0), np.float32)  # -0 becomes 0
    _, group = np.unique(rows.view([("", np.float32)] * 3).reshape(-1), return_inverse=True)
    return by_appearance(group.reshape(-1)).astype(np.int32)


def by_appearance(labels: NDArray[np.integer]) -> Ints:
    """Labels (k,) renumbered from 0 in the order in which they first appear."""
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    rank = np.empty(len(first), np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    return rank[inverse]


def unit(vectors: NDArray[Any]) -> NDArray[Any]:
    """Vectors (..., 3) made unit; a zero vector stays zero."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-30)


def unit_normals(normals: NDArray[Any]) -> F32:
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


def frames(normals: F64) -> F64:
    """(n, 3, 3) orthonormal bases: rows tangent, bitangent, normal; continuous but at one pole.

    Duff et al., "Building an Orthonormal Basis, Revisited", JCGT 2017.
    """
    x, y, z = normals.T
    sign = np.where(z >= 0, 1.0, -1.0)
    a = -1 / (sign + z)
    b = x * y * a
    tangent = np.stack([1 + sign * x * x * a, sign * b, -sign * x], axis=1)
    bitangent = np.stack([b, sign + y * y * a, -y], axis=1)
    return np.stack([tangent, bitangent, normals], axis=1)


def bounds(vertices: NDArray[Any], faces: I32) -> tuple[NDArray[Any], NDArray[Any]]:
    """Lowest and highest corner (3,) of the box around the vertices that faces use."""
    used = vertices[np.unique(faces)]
    return used.min(axis=0), used.max(axis=0)


def diagonal(vertices: NDArray[Any], faces: I32) -> float:
    """Length of that box' diagonal."""
    low, high = bounds(vertices, faces)
    return float(np.linalg.norm(high - low))


def area_vectors(vertices: Floating, faces: I32) -> F64:
    """(m, 3) normal of every face, as long as its area."""
    a, b, c = (vertices[faces[:, k]].astype(np.float64) for k in range(3))
    return np.cross(b - a, c - a) / 2


def areas(vertices: Floating, faces: I32) -> F64:
    """(m,) area of every face."""
    return np.linalg.norm(area_vectors(vertices, faces), axis=1)


def face_normals(vertices: Floating, faces: I32) -> F64:
    """(m, 3) unit geometric normals; 0 for a face without area."""
    return unit(area_vectors(vertices, faces))


def vertex_normals(vertices: Floating, faces: I32) -> F32:
    """(n, 3) float32 unit normals: face normals weighted by the corner's angle.

    Independent of how a flat region happens to be triangulated (Thuermer and Wuethrich 1998). A
    vertex without area gets +y.
    """
    corners = vertices[faces].astype(np.float64)
    to_next = np.roll(corners, -1, axis=1) - corners
    to_last = np.roll(corners, 1, axis=1) - corners
    lengths = np.linalg.norm(to_next, axis=2) * np.linalg.norm(to_last, axis=2)
    cosine = (to_next * to_last).sum(axis=2) / np.maximum(lengths, 1e-30)
    angle = np.arccos(np.clip(cosine, -1, 1))[..., None]
    total = sum_at_vertices(faces, angle * face_normals(vertices, faces)[:, None], len(vertices))
    length = np.linalg.norm(total, axis=1, keepdims=True)
    up = np.array([0.0, 1.0, 0.0])
    return np.where(length > 1e-12, total / np.maximum(length, 1e-12), up).astype(np.float32)


def sum_at_vertices(faces: NDArray[np.integer], values: F64, count: int) -> F64:
    """(count, c) sums over the faces around a vertex of values (m, c), or by corner (m, 3, c)."""
    if values.ndim == 2:
        values = values[:, None]
    channels = np.broadcast_to(values, (*faces.shape, values.shape[2]))
    return np.stack(
        [
            np.bincount(faces.ravel(), channels[..., k].ravel(), count)
            for k in range(values.shape[2])
        ],
        axis=1,
    )


def signed_volumes(vertices: Floating, faces: I32) -> F64:
    """(m,) volume between the origin and every face: a closed surface encloses their sum."""
    a, b, c = (vertices[faces[:, k]].astype(np.float64) for k in range(3))
    return np.einsum("ij,ij->i", a, np.cross(b, c)) / 6


def volume(vertices: Floating, faces: I32) -> float:
    """Volume of a closed surface (divergence theorem); positive when its faces look outwards."""
    return float(signed_volumes(vertices, faces).sum())


def half_edges(faces: NDArray[np.integer]) -> tuple[Ints, Ints]:
    """Start and end vertex (3m,) of the half-edges."""
    f = faces.astype(np.int64)
    return f.ravel(), f[:, [1, 2, 0]].ravel()


def edges(faces: I32) -> tuple[Ints, Ints]:
    """Both ends of every edge, each edge once, ordered by them; the first is the smaller."""
    start, end = half_edges(faces)
    count = int(faces.max()) + 1
    key = np.unique(np.minimum(start, end) * count + np.maximum(start, end))
    return key // count, key % count


def shared_edges(faces: NDArray[np.integer]) -> tuple[Ints, Ints]:
    """Pairs of half-edges on one edge: one pair for two faces, k - 1 in a chain for k faces."""
    start, end = half_edges(faces)
    key = np.minimum(start, end) * (int(faces.max()) + 1) + np.maximum(start, end)
    order = np.argsort(key, kind="stable")
    pair = np.flatnonzero(key[order][1:] == key[order][:-1])
    return order[pair], order[pair + 1]


def symmetric(one: Ints, other: Ints, weight: F64, count: int) -> Any:
    """Weights of the links between nodes as a symmetric (count, count) CSR matrix."""
    from scipy.sparse import coo_matrix

    rows, columns = np.concatenate([one, other]), np.concatenate([other, one])
    return coo_matrix((np.tile(weight, 2), (rows, columns)), (count, count)).tocsr()


def connected(one: NDArray[np.integer], other: NDArray[np.integer], count: int) -> Ints:
    """(count,) number of the piece each node belongs to; links join nodes ``one`` and ``other``."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    links = coo_matrix((np.ones(len(one), bool), (one, other)), shape=(count, count))
    return connected_components(links, directed=False)[1].astype(np.int64)


def components(faces: I32) -> Ints:
    """(m,) number of the component of each face; faces that share a vertex belong together."""
    label = connected(faces[:, :2].ravel(), faces[:, 1:].ravel(), int(faces.max()) + 1)
    # Numbered anew, so that unused vertices leave no gaps.
    return np.unique(label[faces[:, 0]], return_inverse=True)[1].astype(np.int64)


def compact(vertices: F32, faces: I32) -> tuple[F32, I32]:
    """Drop vertices that no face uses."""
    used, renumbered = np.unique(faces, return_inverse=True)
    return vertices[used], renumbered.reshape(faces.shape).astype(np.int32)


def sample_surface(
    vertices: Floating, faces: I32, count: int, rng: np.random.Generator
) -> tuple[F64, Ints]:
    """Points spread over a surface evenly by area, stratified so that no patch is left out.

    Returns:
        points: (count, 3).
        face: (count,) the face of each.
    """
    total = np.cumsum(areas(vertices, faces))
    place = (np.arange(count) + rng.random(count)) / count * total[-1]
    face = np.minimum(np.searchsorted(total, place), len(faces) - 1)
    u, v = rng.random((2, count))
    over = u + v > 1
    u, v = np.where(over, 1 - u, u)[:, None], np.where(over, 1 - v, v)[:, None]
    a, b, c = (vertices[faces[face, k]].astype(np.float64) for k in range(3))
    return a + u * (b - a) + v * (c - a), face
