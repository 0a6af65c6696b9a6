"""A closed surface made manifold. Arrays only; the few bad spots are visited one by one.

A closed, consistently oriented surface has as many half-edges (b, a) as (a, b).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from img2mesh.core.arrays import F32, I32
from img2mesh.geometry.mesh import (
    Ints,
    compact,
    components,
    half_edges,
    signed_volumes,
    sum_at_vertices,
)
from img2mesh.geometry.topology import defects, fans_of

#: How far split copies of a vertex move towards their own fan, as a share of the way to its
#: middle: enough to stay apart in float32 and after a viewer welds equal positions, too little
#: to see (an edge is about 1 % of the object).
_APART = 0.03


def largest(vertices: F32, faces: I32) -> tuple[F32, I32]:
    """Keep the component with the largest signed volume (cavities have negative volume)."""
    number = components(faces)
    count = int(number.max()) + 1
    if count == 1:
        return compact(vertices, faces)
    volumes = np.bincount(number, weights=signed_volumes(vertices, faces), minlength=count)
    best = int(np.argmax(volumes))
    return compact(vertices, faces[number == best])


def repair(vertices: F32, faces: I32) -> tuple[F32, I32]:
    """Make a closed surface manifold without changing its shape, and keep its largest component.

    Faces without area are dropped, twins that cancel out too. Where several sheets meet in an
    edge they are paired through the solid between them (as in Gueziec et al. 1998, cutting and
    stitching), and a vertex is copied for every fan that then remains around it. An edge whose
    sheets stay joined at both ends gets a new vertex in its middle for each further sheet.
    A surface with a hole is returned with the hole, and still has a defect.
    """
    faces = _without_twins(faces)
    if not len(faces) or not defects(faces):
        return largest(vertices, faces) if len(faces) else (vertices, faces)
    opposite = _opposites(faces, vertices)
    if (opposite < 0).any():
        return compact(vertices, faces)
    fans = fans_of(faces, np.arange(len(opposite)), opposite)
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


def _opposites(faces: I32, vertices: F32) -> Ints:
    """(3m,) the half-edge on the other side of each half-edge, -1 where there is none."""
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


def _fan_middles(vertices: F32, faces: I32, fans: Ints) -> NDArray[np.float64]:
    """(fans, 3) mean of the other two corners over the faces of each fan."""
    corners = vertices[faces].astype(np.float64)
    others = (corners.sum(axis=1, keepdims=True) - corners) / 2
    size = np.bincount(fans)
    return sum_at_vertices(fans.reshape(-1, 3), others, len(size)) / size[:, None]


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
