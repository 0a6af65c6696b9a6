"""From a signed distance grid to triangles: resampling, closing, marching cubes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from img2mesh.core.arrays import F32, F64, I32
from img2mesh.errors import Img2MeshError
from img2mesh.geometry.isosurface import march

#: Distances nearer to zero than this share of a voxel are moved out to it, so that no vertex of
#: the surface falls (almost) onto a grid point, where triangles would be slivers or points.
_AWAY_FROM_ZERO = 0.01


def resample(sdf: F32, voxel: float, resolution: int) -> tuple[F32, float]:
    """Resample a grid to ``resolution`` samples along its longest side.

    Cubic splines when refining (trilinear would show the old voxels as facets), trilinear when
    coarsening. Grid point (0, 0, 0) stays where it is.

    Returns:
        sdf: (nx, ny, nz) float32.
        voxel: the new edge length, in the units of ``voxel``.
    """
    from scipy import ndimage

    longest = max(sdf.shape) - 1
    scale = longest / (resolution - 1)  # old voxels per new voxel
    shape = tuple(int(np.ceil((n - 1) / scale - 1e-9)) + 1 for n in sdf.shape)
    fine = ndimage.affine_transform(
        sdf,
        np.full(3, scale),
        output_shape=shape,
        order=3 if scale < 1 else 1,
        mode="nearest",
        output=np.float32,
    )
    return fine, voxel * scale


def close(sdf: F32, origin: F64, voxel: float) -> tuple[F32, F64]:
    """Add one layer of outside around the grid, in voxel units, so that the surface closes.

    Returns:
        sdf: (nx + 2, ny + 2, nz + 2) float32 in *voxels*, never within ``_AWAY_FROM_ZERO`` of 0.
        origin: (3,) world position of its first point.
    """
    scaled = np.pad(sdf / np.float32(voxel), 1, constant_values=1.0).astype(np.float32)
    near = np.abs(scaled) < _AWAY_FROM_ZERO
    scaled[near] = np.where(scaled[near] < 0, -_AWAY_FROM_ZERO, _AWAY_FROM_ZERO)
    return scaled, np.asarray(origin, np.float64) - voxel


def marching_cubes(sdf: F32) -> tuple[F32, I32]:
    """Triangles of the zero level in grid coordinates, counter-clockwise seen from outside.

    Args:
        sdf: (nx, ny, nz), negative inside, positive on the whole boundary.

    Raises:
        Img2MeshError: nothing is inside.
    """
    inside: NDArray[np.bool_] = sdf < 0
    if not inside.any():
        raise Img2MeshError(
            "the radiance field holds no surface: nothing in it is inside the object; "
            "look at views.png and cutout.png, the views may not fit together"
        )
    return march(sdf, 0.0)
