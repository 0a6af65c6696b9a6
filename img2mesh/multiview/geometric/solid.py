"""From an implicit function to one closed triangle mesh in the rig's unit sphere."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from img2mesh.core.arrays import F32, F64, I32
from img2mesh.errors import Img2MeshError
from img2mesh.geometry.isosurface import march
from img2mesh.geometry.mesh import area_vectors, sum_at_vertices, unit, volume

#: Points (..., 3) in the prior's world -> values, positive inside.
Implicit = Callable[[NDArray[np.floating]], NDArray[np.floating]]
#: Grid cells along the longest side of a body. Twice the pitch a picture pixel of the 320-pixel
#: tiles has, and finer than the 128 voxels the later fit uses.
CELLS = 160


@dataclass(frozen=True)
class Solid:
    """A closed surface with smooth vertex normals, in the prior's world.

    Attributes:
        vertices: (n, 3) float32.
        faces: (m, 3) int32, counter-clockwise from outside.
        normals: (n, 3) float32 unit, area weighted.
        centre: (3,) middle of the bounding box.
        radius: of the bounding sphere around ``centre``.
        dropped: share of the volume that was loose and left out.
    """

    vertices: F32
    faces: I32
    normals: F32
    centre: F64
    radius: float
    dropped: float = 0.0

    @property
    def unit_from_prior(self) -> F64:
        """(4, 4) similarity to the world where the body's bounding sphere is the unit sphere."""
        matrix = np.eye(4) / self.radius
        matrix[:3, 3] = -self.centre / self.radius
        matrix[3, 3] = 1
        return matrix


def polygonise(
    field: Implicit, low: ArrayLike, high: ArrayLike, *, cells: int = CELLS, parts: int = 1
) -> Solid:
    """Marching cubes of the zero level of ``field`` inside a box, its largest pieces only.

    Args:
        field: implicit function, positive inside.
        low, high: (3,) corners of a box that holds the body.
        cells: along the longest side.
        parts: pieces to keep.

    Raises:
        Img2MeshError: nothing inside.
    """
    lo, hi = np.asarray(low, np.float64), np.asarray(high, np.float64)
    step = float((hi - lo).max() / cells)
    lo = lo - 2 * step
    counts = np.ceil((hi - lo) / step).astype(int) + 3
    x, y, z = (lo[k] + step * np.arange(counts[k]) for k in range(3))
    values = np.empty(counts, np.float32)
    points = np.empty((counts[1], counts[2], 3))
    points[..., 1], points[..., 2] = y[:, None], z[None, :]
    for k, at in enumerate(x):  # a slice at a time: the points of all would take 100 MB
        points[..., 0] = at
        values[k] = field(points)
    # A value of exactly 0 at a grid point would make triangles without area.
    values[np.abs(values) < 1e-7] = -1e-7
    for axis in range(3):  # closed also where the body touches the box
        np.moveaxis(values, axis, 0)[[0, -1]] = np.minimum(
            np.moveaxis(values, axis, 0)[[0, -1]], -1e-4
        )
    values, dropped = _largest(values, parts)
    if not (values > 0).any():
        raise Img2MeshError("the geometric prior found no body in the cutout")
    vertices, faces = march(values, 0.0, inside="above")
    return solid((lo + step * vertices).astype(np.float32), faces, dropped=dropped)


def solid(vertices: F32, faces: I32, *, dropped: float = 0.0) -> Solid:
    """Orient a closed mesh outwards and measure it."""
    if volume(vertices, faces) < 0:
        faces = np.ascontiguousarray(faces[:, ::-1])
    normals = unit(sum_at_vertices(faces, area_vectors(vertices, faces), len(vertices)))
    centre = (vertices.min(0).astype(np.float64) + vertices.max(0)) / 2
    radius = float(np.linalg.norm(vertices - centre, axis=1).max())
    return Solid(vertices, faces, normals.astype(np.float32), centre, radius, dropped)


def _largest(values: F32, parts: int) -> tuple[F32, float]:
    """Push every inside piece but the largest outside; also fills cavities nobody can see."""
    from scipy.ndimage import label

    pieces, count = label(values > 0)
    share = 0.0
    if count > parts:
        sizes = np.bincount(pieces.ravel())
        sizes[0] = 0
        loose = (pieces > 0) & ~np.isin(pieces, np.argsort(-sizes, kind="stable")[:parts])
        share = float(loose.sum() / sizes.sum())
        values = np.where(loose, -np.maximum(np.abs(values), 1e-7), values)
    spaces, count = label(values <= 0)
    if count > 1:
        cavity = (spaces > 0) & (spaces != spaces[0, 0, 0])
        values = np.where(cavity, np.maximum(np.abs(values), 1e-7), values)
    return values.astype(np.float32), share
