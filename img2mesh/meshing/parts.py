"""One body out of what marching cubes finds: noise dropped, broken parts joined."""

from __future__ import annotations

import numpy as np

from img2mesh.core.arrays import F32, I32
from img2mesh.errors import Img2MeshError
from img2mesh.geometry.mesh import compact, components, signed_volumes
from img2mesh.meshing.isosurface import marching_cubes

#: A part this near (share of the diagonal of all parts) to the body is taken for a piece of it that
#: lost its thin connection, and joined by a rod; farther away it is dropped.
_NEAR = 0.05

#: A loose part longer than this share of that diagonal is no noise, however thin: a rail or
#: strap that the grid resolved only in places.
_LONG = 0.15

#: Radius of such a rod, in voxels: the thinnest that survives smoothing.
_ROD = 1.2

_MOST_RODS = 12


def separate_surfaces(
    sdf: F32, *, min_component: float
) -> tuple[list[tuple[F32, I32]], tuple[str, ...]]:
    """Every body of the zero level that is no noise, the largest first.

    Args, Raises: as :func:`single_surface`.

    Returns:
        vertices (n, 3) and faces (m, 3) of each, cavities filled; and notes.
    """
    vertices, faces = marching_cubes(sdf)
    number = components(faces)
    volumes = np.bincount(number, weights=signed_volumes(vertices, faces))
    body = int(np.argmax(volumes))
    if volumes[body] <= 0:
        raise Img2MeshError("the radiance field holds no closed surface: it is inside out")
    kept = [int(k) for k in np.argsort(-volumes, kind="stable")]
    kept = [k for k in kept if volumes[k] >= min_component * volumes[body]]
    small = int((volumes > 0).sum()) - len(kept)
    notes = (f"{small} small loose part{'s' if small > 1 else ''} dropped",) if small else ()
    return [compact(vertices, faces[number == k]) for k in kept], notes


def single_surface(
    sdf: F32, *, min_component: float, reach: float | None = None
) -> tuple[F32, I32, tuple[str, ...]]:
    """The largest body of the zero level, with nearby broken-off parts joined to it.

    Args:
        sdf: (nx, ny, nz) signed distance in voxels, negative inside, positive on the boundary.
        min_component: parts below this share of the largest volume are noise.
        reach: parts nearer than this, as a share of the diagonal of them all, are joined; by
            default those that lost a thin connection.

    Returns:
        vertices: (n, 3) grid coordinates.
        faces: (m, 3), one component. Cavities inside the body are filled.
        notes: what was dropped or joined.

    Raises:
        Img2MeshError: nothing is inside.
    """
    joined = 0
    while True:
        vertices, faces = marching_cubes(sdf)
        number = components(faces)
        diagonal = float(np.linalg.norm(np.ptp(vertices, axis=0)))
        volumes = np.bincount(number, weights=signed_volumes(vertices, faces))  # < 0: a cavity
        body = int(np.argmax(volumes))
        if volumes[body] <= 0:
            raise Img2MeshError("the radiance field holds no closed surface: it is inside out")
        counts = volumes >= min_component * volumes[body]
        counts |= (volumes > 0) & (_lengths(vertices, faces, number) >= _LONG * diagonal)
        counts[body] = False
        large = [int(k) for k in np.argsort(-volumes, kind="stable") if counts[k]]
        rod = _rod_to_nearest(vertices, faces, number, body, large)
        longest = (_NEAR if reach is None else reach) * diagonal
        if rod is None or rod[2] > longest or joined == _MOST_RODS:
            break
        sdf = _with_rod(sdf, rod[0], rod[1])
        joined += 1
    notes = []
    if joined:
        notes.append(
            f"{joined} broken-off part{'s were' if joined > 1 else ' was'} joined to "
            "the body by a thin rod"
        )
    if large:
        notes.append(
            f"{len(large)} separate larger part{'s' if len(large) > 1 else ''} "
            "dropped: one connected body is made, and the largest was kept"
        )
    small = int((volumes > 0).sum()) - 1 - len(large)
    if small:
        notes.append(f"{small} small loose part{'s' if small > 1 else ''} dropped")
    vertices, faces = compact(vertices, faces[number == body])
    return vertices, faces, tuple(notes)


def _lengths(vertices: F32, faces: I32, number: np.ndarray) -> np.ndarray:
    """Diagonal of every component's bounding box."""
    count = int(number.max()) + 1
    low, high = np.full((count, 3), np.inf), np.full((count, 3), -np.inf)
    for k in range(3):
        np.minimum.at(low, number, vertices[faces[:, k]])
        np.maximum.at(high, number, vertices[faces[:, k]])
    return np.linalg.norm(high - low, axis=1)


def _rod_to_nearest(
    vertices: F32, faces: I32, number: np.ndarray, body: int, parts: list[int]
) -> tuple[F32, F32, float] | None:
    """Both ends and the length of the shortest rod from the body to any of the parts."""
    from scipy.spatial import cKDTree

    if not parts:
        return None
    tree_points = vertices[np.unique(faces[number == body])]
    tree = cKDTree(tree_points)
    best: tuple[F32, F32, float] | None = None
    for part in parts:
        points = vertices[np.unique(faces[number == part])]
        distance, index = tree.query(points)
        nearest = int(np.argmin(distance))
        if best is None or distance[nearest] < best[2]:
            best = (points[nearest], tree_points[index[nearest]], float(distance[nearest]))
    return best


def _with_rod(sdf: F32, start: F32, end: F32) -> F32:
    """Union of a grid with a capsule between two grid points, ends sunk in by a radius."""
    axis = (end - start).astype(np.float64)
    length = float(np.linalg.norm(axis))
    axis = axis / length if length > 1e-9 else np.array([1.0, 0.0, 0.0])
    a, b = start - _ROD * axis, end + _ROD * axis
    low = np.maximum(np.floor(np.minimum(a, b) - 2 * _ROD).astype(int), 1)
    high = np.minimum(np.ceil(np.maximum(a, b) + 2 * _ROD).astype(int) + 1, np.array(sdf.shape) - 1)
    block = tuple(slice(lo, hi) for lo, hi in zip(low, high, strict=True))
    grid = np.stack(
        np.meshgrid(*[np.arange(lo, hi) for lo, hi in zip(low, high, strict=True)], indexing="ij"),
        axis=-1,
    )
    along = np.clip((grid - a) @ axis, 0, np.linalg.norm(b - a))
    rod = np.linalg.norm(grid - a - along[..., None] * axis, axis=-1) - _ROD
    out = sdf.copy()
    out[block] = np.minimum(out[block], rod).astype(np.float32)
    near = np.abs(out[block]) < 0.01
    out[block][near] = np.where(out[block][near] < 0, -0.01, 0.01)
    return out
