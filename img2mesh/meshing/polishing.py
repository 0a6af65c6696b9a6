"""Slivers removed without leaving the surface: edges flipped or collapsed, vertices slid.

Quadric collapse spends faces where the surface bends, but in flat places its error is zero for any
triangle, however thin. Three moves mend that, all only where a face *is* a sliver: polishing
everything doubles the distance to the original (measured). An edge between two nearly coplanar
faces is flipped where that widens the smallest of the six angles; the shortest edge of the worst
faces is collapsed, which also meets a budget to the face; and a vertex slides in its tangent plane
towards the middle of its neighbours where the surface around it is flat. So sharp edges, which lie
between faces that are not coplanar, are kept.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from img2mesh.core.arrays import F32, I32
from img2mesh.geometry.mesh import Ints, area_vectors, compact, half_edges, sum_at_vertices, unit
from img2mesh.geometry.raycast import Scene

Floats = NDArray[np.float64]

_ROUNDS = 3

#: A face with a smaller angle than this is a sliver, in radians.
_SLIVER = np.radians(15)

#: Rounds of collapses; in each, no two collapses touch the same face.
_COLLAPSES = 12

#: Flip rounds a polishing round; in each, no two flips touch the same face.
_FLIPS = 6

#: A flip may bend the surface by this share of the edge it makes, and never fold it: faces must
#: look the same way to this cosine before and after.
_SAG, _COPLANAR = 0.03, 0.9

#: Vertices slide only where every face around them looks the same way to this cosine.
_FLAT = 0.97

#: Share of the way to the neighbours' middle in one slide.
_STEP = 0.5


def polish(vertices: F32, faces: I32, surface: Scene, *, target: int) -> tuple[F32, I32]:
    """The same surface without slivers and with ``target`` faces, still a closed manifold.

    Args:
        vertices: (n, 3).
        faces: (m, 3), a closed manifold of a few faces more than ``target``.
        surface: the original, along which vertices slide.
        target: faces to keep; one more or less where it is odd.
    """
    points = vertices.astype(np.float64)
    faces = _flip_all(points, faces)
    faces = _collapse(points, faces, target)
    for _ in range(_ROUNDS):
        points = _slide(points, faces, surface)
        faces = _flip_all(points, faces)
    return compact(points.astype(np.float32), faces)


def smallest_angles(vertices: NDArray[np.floating], faces: I32) -> Floats:
    """(m,) smallest angle of every face, in degrees."""
    return np.degrees(_smallest(*(vertices[faces[:, k]].astype(np.float64) for k in range(3))))


def _smallest(a: Floats, b: Floats, c: Floats) -> Floats:
    """Smallest angle of triangles in radians: opposite the shortest side, by the sine rule."""
    sides = np.stack([np.linalg.norm(p - q, axis=1) for p, q in ((a, b), (b, c), (c, a))], axis=1)
    twice_area = np.linalg.norm(np.cross(b - a, c - a), axis=1)
    sides.sort(axis=1)
    cosine_part = (sides[:, 1] ** 2 + sides[:, 2] ** 2 - sides[:, 0] ** 2) / 2
    return np.arctan2(twice_area, cosine_part)


def _normals(a: Floats, b: Floats, c: Floats) -> Floats:
    return unit(np.cross(b - a, c - a))


def _flip_all(points: Floats, faces: I32) -> I32:
    for _ in range(_FLIPS):
        faces, flipped = _flip(points, faces)
        if not flipped:
            break
    return faces


def _flip(points: Floats, faces: I32) -> tuple[I32, int]:
    """One round of flips, the most useful first; returns the faces and how many were flipped."""
    count = len(points)
    start, end = half_edges(faces)
    key, back = start * count + end, end * count + start
    order = np.argsort(key, kind="stable")
    half = np.flatnonzero(start < end)
    twin = order[np.searchsorted(key[order], back[half])]
    a, b = start[half], end[half]
    c, d = faces.ravel()[_third(half)], faces.ravel()[_third(twin)]
    pa, pb, pc, pd = points[a], points[b], points[c], points[d]
    before = np.minimum(_smallest(pa, pb, pc), _smallest(pb, pa, pd))
    after = np.minimum(_smallest(pc, pd, pb), _smallest(pd, pc, pa))
    good = (before < _SLIVER) & (after > before + 0.01)
    # The new edge must not exist already, or the surface would touch itself.
    low, high = np.minimum(c, d), np.maximum(c, d)
    place = np.minimum(np.searchsorted(key[order], low * count + high), len(key) - 1)
    good &= key[order][place] != low * count + high
    old, other = _normals(pa, pb, pc), _normals(pb, pa, pd)
    new, next_ = _normals(pc, pd, pb), _normals(pd, pc, pa)
    mean = unit(old + other)
    good &= (mean * new).sum(axis=1) > _COPLANAR
    good &= (mean * next_).sum(axis=1) > _COPLANAR
    # How far the two diagonals pass each other: what the surface moves by.
    sag = np.abs((((pa + pb) - (pc + pd)) / 2 * mean).sum(axis=1))
    good &= sag < _SAG * np.linalg.norm(pc - pd, axis=1)
    wish = np.flatnonzero(good)
    wish = wish[np.argsort(-(after - before)[wish], kind="stable")]
    one, two = half[wish] // 3, twin[wish] // 3
    # Two flips at once may neither share a face nor want the same new edge.
    taken = np.zeros(len(faces), bool)
    edges: set[tuple[int, int]] = set()
    chosen = []
    for index, f, g, lo, hi in zip(
        wish.tolist(), one.tolist(), two.tolist(), low[wish].tolist(), high[wish].tolist(),
        strict=True,
    ):  # fmt: skip
        if taken[f] or taken[g] or (lo, hi) in edges:
            continue
        taken[f] = taken[g] = True
        edges.add((lo, hi))
        chosen.append(index)
    if not chosen:
        return faces, 0
    pick = np.array(chosen)
    out = faces.copy()
    out[half[pick] // 3] = np.stack([c[pick], d[pick], b[pick]], axis=1)
    out[twin[pick] // 3] = np.stack([d[pick], c[pick], a[pick]], axis=1)
    return out, len(chosen)


def _collapse(points: Floats, faces: I32, target: int) -> I32:
    """Collapse short edges of the thinnest faces, onto one of their ends, down to ``target`` faces.

    The link condition (Dey et al. 1999) keeps the surface a manifold; a collapse that would turn
    a face by more than ``_COPLANAR`` is left out. Leaves unused vertices.
    """
    for _ in range(_COLLAPSES):
        if len(faces) <= target:
            break
        around = _faces_around(faces, len(points))
        order = np.argsort(_smallest(*(points[faces[:, k]] for k in range(3))), kind="stable")
        busy = np.zeros(len(faces), bool)
        gone: list[int] = []
        faces = faces.copy()
        wanted = len(faces) - target
        for f in order[: 4 * wanted + 64].tolist():
            if len(gone) >= wanted:
                break
            if busy[f]:
                continue
            corner = points[faces[f]]
            side = np.linalg.norm(corner - np.roll(corner, -1, axis=0), axis=1)
            k = int(side.argmin())
            one, other = int(faces[f, k]), int(faces[f, (k + 1) % 3])
            for keep, drop in ((one, other), (other, one)):
                ring, rest = around(keep), around(drop)
                if busy[ring].any() or busy[rest].any():
                    continue
                shared = np.intersect1d(ring, rest)
                common = np.intersect1d(faces[ring], faces[rest])
                if len(shared) != 2 or len(common) != 4:  # keep, drop and the two apexes
                    continue
                moved = np.setdiff1d(rest, shared)
                changed = np.where(faces[moved] == drop, keep, faces[moved])
                turn = _normals(*(points[changed[:, j]] for j in range(3)))
                turn = (turn * _normals(*(points[faces[moved][:, j]] for j in range(3)))).sum(
                    axis=1
                )
                if (turn < _COPLANAR).any():
                    continue
                busy[ring] = busy[rest] = True
                faces[moved] = changed
                gone += shared.tolist()
                break
        if not gone:
            break
        faces = np.delete(faces, gone, axis=0)
    return faces


def _faces_around(faces: I32, count: int) -> Callable[[int], Ints]:
    """Look-up of the faces around a vertex."""
    order = np.argsort(faces.ravel(), kind="stable")
    first = np.searchsorted(faces.ravel()[order], np.arange(count + 1))
    return lambda vertex: order[first[vertex] : first[vertex + 1]] // 3


def _third(half: Ints) -> Ints:
    """Index of the corner opposite each half-edge."""
    return half - half % 3 + (half + 2) % 3


def _slide(points: Floats, faces: I32, surface: Scene) -> Floats:
    """Vertices in flat places moved towards their neighbours' middle, where no angle suffers."""
    corners = [points[faces[:, k]] for k in range(3)]
    normal = area_vectors(points, faces)
    count = len(points)
    mean = unit(sum_at_vertices(faces, normal, count))
    normal = unit(normal)
    least = np.full(count, 1.0)
    for k in range(3):
        np.minimum.at(least, faces[:, k], (normal * mean[faces[:, k]]).sum(axis=1))
    degree = np.maximum(np.bincount(faces.ravel(), minlength=count), 1)[:, None]
    around = sum_at_vertices(faces, corners[0] + corners[1] + corners[2], count)
    middle = (around - degree * points) / (2 * degree)
    move = middle - points
    move -= (move * mean).sum(axis=1, keepdims=True) * mean
    before = _smallest(*corners)
    thin = np.zeros(count, bool)
    thin[faces[before < _SLIVER]] = True
    movable = np.flatnonzero((least > _FLAT) & thin)
    if not len(movable):
        return points
    target = points.copy()
    target[movable] += _STEP * move[movable]
    target[movable] = surface.closest(target[movable])[0]
    # Take back what makes a neighbouring face worse than it was; a few rounds settle it.
    for _ in range(6):
        moved = [target[faces[:, k]] for k in range(3)]
        angle = _smallest(*moved)
        turned = (_normals(*moved) * normal).sum(axis=1) < _COPLANAR
        worse = turned & (before > 1e-3) | (angle < np.minimum(before, 0.5) - 1e-6)
        if not worse.any():
            return target
        guilty = np.unique(faces[worse])
        target[guilty] = points[guilty]
    return points
