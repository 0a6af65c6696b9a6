"""What "manifold" means here, how it is checked, and how a closed surface is made so.

A *half-edge* is a directed edge (a, b) of a counter-clockwise face. The surface is closed and
consistently oriented if every half-edge has as many opposites (b, a) as it has copies; it is
edge-manifold if that number is one, and vertex-manifold if the faces around each vertex form a
single fan. Arrays only; the few bad spots are visited one by one.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from img2mesh.core.arrays import F32, I32

Ints = NDArray[np.int64]

#: How far split copies of a vertex move towards their own fan, as a share of the way to its
#: middle: enough to stay apart in float32 and after a viewer welds equal positions, too little
#: to see (an edge is about 1 % of the object).
_APART = 0.03


def volume(vertices: NDArray[np.floating], faces: I32) -> float:
    """Signed volume by the divergence theorem; positive when faces look outwards."""
    a, b, c = (vertices[faces[:, k]].astype(np.float64) for k in range(3))
    return float(np.einsum("ij,ij->i", a, np.cross(b, c)).sum() / 6)


def half_edges(faces: I32) -> tuple[Ints, Ints]:
    """Start and end vertex of the 3m half-edges; number 3f + k runs from corner k to k + 1."""
    f = faces.astype(np.int64)
    return f.ravel(), f[:, [1, 2, 0]].ravel()


def defects(faces: I32) -> str:
    """Name what keeps a surface from being a closed, oriented manifold; empty if nothing does."""
    start, end = half_edges(faces)
    count = int(faces.max()) + 1
    if (start == end).any():
        return "a face names one vertex twice"
    forward, backward = start * count + end, end * count + start
    ordered = np.sort(forward)
    if (ordered[1:] == ordered[:-1]).any():
        return "an edge has more than two faces"
    if not np.array_equal(ordered, np.sort(backward)):
        return "an edge has only one face"
    fans = _fans(faces, _pairs(faces, None))
    if int(fans.max()) + 1 != len(np.unique(faces)):
        return "faces touch in a single point"
    return ""


def components(faces: I32) -> Ints:
    """(m,) number of the component of each face; faces that share a vertex belong together."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    count = int(faces.max()) + 1
    row, column = faces[:, [0, 1]].ravel(), faces[:, [1, 2]].ravel()
    graph = coo_matrix((np.ones(len(row), np.int8), (row, column)), shape=(count, count))
    _, label = connected_components(graph, directed=False)
    # Numbered by first appearance among the faces, so that unused vertices leave no gaps.
    _, number = np.unique(label[faces[:, 0]], return_inverse=True)
    return number.astype(np.int64)


def compact(vertices: F32, faces: I32) -> tuple[F32, I32]:
    """Drop vertices that no face uses."""
    used, renumbered = np.unique(faces, return_inverse=True)
    return vertices[used], renumbered.reshape(faces.shape).astype(np.int32)


def largest(vertices: F32, faces: I32) -> tuple[F32, I32]:
    """Keep the component with the largest signed volume (cavities have negative volume)."""
    number = components(faces)
    count = int(number.max()) + 1
    if count == 1:
        return compact(vertices, faces)
    a, b, c = (vertices[faces[:, k]].astype(np.float64) for k in range(3))
    sixth = np.einsum("ij,ij->i", a, np.cross(b, c))
    best = int(np.argmax(np.bincount(number, weights=sixth, minlength=count)))
    return compact(vertices, faces[number == best])


def repair(vertices: F32, faces: I32) -> tuple[F32, I32]:
    """Make a closed surface manifold without changing its shape, and keep its largest component.

    Faces without area are dropped, twins that cancel out too. Where several sheets meet in an
    edge they are paired through the solid between them (as in Gueziec et al. 1998, cutting and
    stitching), and a vertex is copied for every fan that then remains around it. An edge whose
    sheets stay joined at both ends gets a new vertex in its middle for each further sheet.
    A surface with a hole is returned with the hole: :func:`defects` still names it.
    """
    faces = _without_twins(faces)
    if not len(faces) or not defects(faces):
        return largest(vertices, faces) if len(faces) else (vertices, faces)
    opposite = _pairs(faces, vertices)
    if (opposite < 0).any():
        return compact(vertices, faces)
    fans = _fans(faces, opposite)
    corners = faces.ravel()
    owner = np.empty(int(fans.max()) + 1, np.int64)
    owner[fans] = corners
    split = np.bincount(owner, minlength=len(vertices))[owner] > 1
    moved = vertices[owner].astype(np.float64)
    middle = _fan_middles(vertices, faces, fans)
    moved[split] += _APART * (middle - moved)[split]
    vertices, faces = moved.astype(np.float32), fans.reshape(-1, 3).astype(np.int32)
    vertices, faces = _split_shared_edges(vertices, faces, opposite)
    return largest(vertices, faces)


def _without_twins(faces: I32) -> I32:
    """Drop faces that name a vertex twice, and pairs of faces back to back on three vertices."""
    a, b, c = faces.T
    faces = faces[(a != b) & (b != c) & (c != a)]
    if not len(faces):
        return faces
    key = np.sort(faces, axis=1)
    order = np.lexsort(key.T)
    same = np.concatenate([[False], (key[order][1:] == key[order][:-1]).all(axis=1)])
    if not same.any():
        return faces
    even = (
        (faces[:, 0] < faces[:, 1]).astype(int)
        + (faces[:, 1] < faces[:, 2])
        + (faces[:, 2] < faces[:, 0])
    ) == 2  # parity of the vertex order: which way it faces
    group = np.cumsum(~same) - 1
    keep = np.ones(len(faces), bool)
    for number in np.unique(group[same]):
        members = order[group == number]
        up, down = members[even[members]], members[~even[members]]
        pairs = min(len(up), len(down))
        keep[up[:pairs]] = keep[down[:pairs]] = False
    return faces[keep]


def _pairs(faces: I32, vertices: F32 | None) -> Ints:
    """(3m,) the half-edge on the other side of each half-edge, -1 where there is none.

    Without ``vertices`` the surface must be edge-manifold.
    """
    start, end = half_edges(faces)
    count = int(faces.max()) + 1
    forward = start < end
    key = np.where(forward, start * count + end, end * count + start)
    order = np.lexsort((~forward, key))
    sorted_key = key[order]
    first = np.flatnonzero(np.concatenate([[True], sorted_key[1:] != sorted_key[:-1]]))
    size = np.diff(np.concatenate([first, [len(order)]]))
    opposite = np.full(len(start), -1, np.int64)
    simple = first[(size == 2) & forward[order[first]] & ~forward[order[(first + 1) % len(order)]]]
    opposite[order[simple]], opposite[order[simple + 1]] = order[simple + 1], order[simple]
    if vertices is not None:
        for begin, length in zip(first[size > 2], size[size > 2], strict=True):
            bundle = order[begin : begin + length]
            if forward[bundle].sum() * 2 == length:
                for one, other in _through_solid(bundle, forward[bundle], faces, vertices):
                    opposite[one], opposite[other] = other, one
    return opposite


def _through_solid(
    bundle: Ints, forward: NDArray[np.bool_], faces: I32, vertices: F32
) -> list[tuple[int, int]]:
    """Pair the half-edges of one edge so that each pair bounds a wedge of the solid.

    Around the edge, with growing angle, a backward face opens the solid and a forward face closes
    it; matching them like brackets pairs each wedge's two sides.
    """
    lead = int(bundle[np.argmax(forward)])
    a, b = faces[lead // 3, lead % 3], faces[lead // 3, (lead + 1) % 3]
    axis = (vertices[b] - vertices[a]).astype(np.float64)
    axis /= max(np.linalg.norm(axis), 1e-30)
    apex = vertices[faces[bundle // 3, (bundle + 2) % 3]].astype(np.float64) - vertices[a]
    apex -= (apex @ axis)[:, None] * axis
    x = apex[np.argmax(forward)] / max(np.linalg.norm(apex[np.argmax(forward)]), 1e-30)
    angle = np.arctan2(apex @ np.cross(axis, x), apex @ x)
    ring = np.lexsort((forward, angle))
    # Start right after the lowest bracket level, so that no pair crosses the start.
    level = np.cumsum(np.where(forward[ring], -1, 1))
    ring = np.roll(ring, -(int(np.argmin(level)) + 1))
    pairs: list[tuple[int, int]] = []
    open_: list[int] = []
    for k in ring:
        if forward[k]:
            pairs.append((int(bundle[k]), int(bundle[open_.pop()])))
        else:
            open_.append(int(k))
    return pairs


def _fans(faces: I32, opposite: Ints) -> Ints:
    """(3m,) number of the fan each face corner belongs to; corners joined across half-edges."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    number = np.arange(3 * len(faces))
    after = number - number % 3 + (number + 1) % 3
    known = opposite >= 0
    here, there = number[known], opposite[known]
    # Half-edge a -> b meets b -> a: the corner at a is the far corner of the opposite half-edge.
    graph = coo_matrix(
        (np.ones(len(here), np.int8), (here, after[there])), shape=(len(number), len(number))
    )
    _, fan = connected_components(graph, directed=False)
    fans: Ints = fan.astype(np.int64)
    return fans


def _fan_middles(vertices: F32, faces: I32, fans: Ints) -> NDArray[np.float64]:
    """(fans, 3) mean of the other two corners over the faces of each fan."""
    corners = vertices[faces].astype(np.float64)
    others = ((corners.sum(axis=1, keepdims=True) - corners) / 2).reshape(-1, 3)
    size = np.bincount(fans)
    sums = [np.bincount(fans, weights=others[:, k], minlength=len(size)) for k in range(3)]
    return np.stack(sums, axis=1) / size[:, None]


def _split_shared_edges(vertices: F32, faces: I32, opposite: Ints) -> tuple[F32, I32]:
    """Give every sheet but the first of an edge a vertex of its own in the edge's middle."""
    start, end = half_edges(faces)
    count = len(vertices)
    owners = np.flatnonzero(start < end)
    key = start[owners] * count + end[owners]
    order = np.argsort(key, kind="stable")
    again = order[1:][key[order][1:] == key[order][:-1]]
    if not len(again):
        return vertices, faces
    new_vertices = []
    pieces = {int(f): [faces[f]] for h in owners[again] for f in (h // 3, opposite[h] // 3)}
    for number, h in enumerate(owners[again]):
        twin = int(opposite[h])
        a, b, fresh = int(start[h]), int(end[h]), count + number
        apexes = vertices[[faces[h // 3, (h + 2) % 3], faces[twin // 3, (twin + 2) % 3]]]
        middle = (vertices[a] + vertices[b]) / 2
        new_vertices.append(middle + _APART * (apexes.mean(axis=0) - middle))
        for face in (int(h) // 3, twin // 3):
            pieces[face] = [
                part
                for triangle in pieces[face]
                for part in (
                    [
                        np.where(triangle == a, fresh, triangle),
                        np.where(triangle == b, fresh, triangle),
                    ]
                    if a in triangle and b in triangle
                    else [triangle]
                )
            ]
    keep = np.ones(len(faces), bool)
    keep[list(pieces)] = False
    extra = np.array([part for parts in pieces.values() for part in parts], np.int32)
    return (
        np.concatenate([vertices, np.array(new_vertices, np.float32)]),
        np.concatenate([faces[keep], extra]),
    )
