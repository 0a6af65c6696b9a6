"""What is inside a mesh whose surface may be open, doubled or intersecting itself."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from img2mesh.core.arrays import F32, F64, I32
from img2mesh.geometry.raycast import Scene

#: Voxels along the side of the cube [-EXTENT, EXTENT]^3 that holds the unit sphere.
GRID = 72
EXTENT = 1.02
#: Directions from which depth is taken, and rays along the side of one such picture.
_DIRECTIONS = 44
_RAYS = 128
#: Half the pitch of the rays and a little: what nearest-ray look-up may cut off a slanted face.
_TOLERANCE = 0.012
#: Where more first hits than this are on the inner side, the winding says nothing: a box without a
#: floor has 1 in 6, sheets seen from both sides have half.
_UNSURE_WINDING = 0.3


def solid(vertices: F64, faces: I32, *, seed: int = 0) -> NDArray[np.bool_]:
    """Which voxels belong to a mesh inside the unit sphere.

    A point is inside unless parallel rays from some direction pass it before they hit anything
    (Shade et al.'s layered depth, as a visual hull of depth maps). Rays that enter through a hole
    and hit the inner side of a face first do not count where the winding can be trusted. Sheets
    too thin for the grid get one voxel.

    Args:
        vertices: (n, 3) inside the unit sphere.
        faces: (m, 3).
        seed: of the points that find thin sheets.

    Returns:
        (GRID, GRID, GRID), indexed x, y, z.
    """
    from scipy.ndimage import binary_dilation

    scene = Scene(vertices, faces)
    corners = vertices[faces]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    span = np.linspace(-1.05, 1.05, _RAYS, endpoint=False) + 1.05 / _RAYS
    u, v = np.meshgrid(span, span, indexing="ij")
    maps = []
    for direction in directions(_DIRECTIONS):
        right, up = _across(direction)
        start = u[..., None] * right + v[..., None] * up + 2 * direction
        depth, face = scene.cast(start, np.broadcast_to(-direction, start.shape))
        inner = (face >= 0) & (normals[face] @ direction < 0)
        maps.append((direction, right, up, depth, face >= 0, inner))
    hits = sum(int(hit.sum()) for *_, hit, _ in maps)
    wrong = sum(int(inner.sum()) for *_, inner in maps)
    trust_winding = wrong < _UNSURE_WINDING * max(hits, 1)
    points = centres()
    left = np.arange(len(points))
    for direction, right, up, depth, _, inner in maps:
        first = np.where(inner, -np.inf, depth) if trust_winding else depth
        at = points[left]
        column, row = (
            np.clip(((at @ axis + 1.05) * (_RAYS / 2.1)).astype(int), 0, _RAYS - 1)
            for axis in (right, up)
        )
        left = left[2 - at @ direction >= first[column, row] - _TOLERANCE]
    inside = np.zeros((GRID, GRID, GRID), bool)
    inside.ravel()[left] = True
    sheet = np.zeros_like(inside)
    on = np.floor((_surface(vertices, faces, normals, seed) + EXTENT) * (GRID / 2 / EXTENT))
    sheet[tuple(np.clip(on.astype(int), 0, GRID - 1).T)] = True
    return inside | (sheet & ~binary_dilation(inside))


def centres() -> F32:
    """(GRID^3, 3) centres of the voxels, x slowest."""
    axis = ((np.arange(GRID) + 0.5) * (2 * EXTENT / GRID) - EXTENT).astype(np.float32)
    return np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(-1, 3)


def directions(count: int) -> F64:
    """(count, 3) unit vectors spread over the sphere (Fibonacci lattice)."""
    i = np.arange(count) + 0.5
    y = 1 - 2 * i / count
    angle = np.pi * (1 + 5**0.5) * i
    radius = np.sqrt(1 - y * y)
    return np.stack([np.cos(angle) * radius, y, np.sin(angle) * radius], axis=1)


def _across(direction: F64) -> tuple[F64, F64]:
    helper = np.eye(3)[int(np.abs(direction).argmin())]
    right = np.cross(helper, direction)
    right /= np.linalg.norm(right)
    return right, np.cross(direction, right)


def _surface(vertices: F64, faces: I32, normals: F64, seed: int) -> F64:
    """(n, 3) points on the surface, several to a voxel."""
    rng = np.random.default_rng(seed)
    area = np.linalg.norm(normals, axis=1) / 2
    pitch = 2 * EXTENT / GRID
    count = int(min(max(6 * area.sum() / pitch**2, 2_000), 200_000))
    face = rng.choice(len(faces), count, p=area / area.sum())
    a, b = rng.random((2, count, 1))
    over = a + b > 1
    a, b = np.where(over, 1 - a, a), np.where(over, 1 - b, b)
    corner = vertices[faces[face]]
    points: F64 = corner[:, 0] * (1 - a - b) + corner[:, 1] * a + corner[:, 2] * b
    return points
