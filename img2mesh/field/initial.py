"""The field a fit starts from: the visual hull, carved further where depths are known."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from img2mesh.core.arrays import F32, F64
from img2mesh.core.cameras import Camera
from img2mesh.field.pictures import Observation
from img2mesh.geometry.grid import Grid

#: A depth map says how far a point is in front of the surface *along the ray*; beyond this many
#: voxels that is no longer a distance (another surface may be nearer) and only its sign is used.
_TRUSTED = 2.0


def initial_field(observations: Sequence[Observation], hull: F32, grid: Grid) -> F32:
    """(nx, ny, nz) signed distances: outside any outline, or in front of any depth map, is empty.

    Args:
        observations: posed views, some perhaps with depth.
        hull: (nx, ny, nz) signed distances of their visual hull.
        grid: where its points lie.
    """
    field = hull.copy()
    maps = [(o.depth, o.camera) for o in observations if o.depth is not None]
    if not maps:
        return field
    prepared = [(d, _facing(d, c), c) for d, c in maps]
    limit = _TRUSTED * grid.voxel
    layers = max(1, 200_000 // (grid.shape[1] * grid.shape[2]))
    for start in range(0, grid.shape[0], layers):
        stop = min(start + layers, grid.shape[0])
        points = grid.slab(start, stop)
        for depth, facing, camera in prepared:
            front = _in_front(depth, facing, camera, points)
            np.maximum(field[start:stop], front.clip(max=limit), out=field[start:stop])
    return redistance(field, grid.voxel)


def _facing(depth: F32, camera: Camera) -> F64:
    """(h, w) what one unit of z-depth is worth across the surface: the cosine to its normal.

    With the normal n of the plane through neighbouring depths and the ray d of unit z-depth, a
    point at depth z is (D - z) |n . d| in front of the plane. Each neighbour difference is taken
    to the side where the depth changes less, so that jumps do not tilt the plane.
    """
    points = camera.directions() * depth[..., None].astype(np.float64)
    sides = []
    for axis in (0, 1):
        ahead = np.full_like(points, np.nan)
        take = [slice(None), slice(None)]
        keep = [slice(None), slice(None)]
        take[axis], keep[axis] = slice(1, None), slice(None, -1)
        ahead[tuple(keep)] = points[tuple(take)] - points[tuple(keep)]
        behind = np.full_like(points, np.nan)
        behind[tuple(take)] = ahead[tuple(keep)]
        a, b = np.linalg.norm(ahead, axis=-1), np.linalg.norm(behind, axis=-1)
        use_behind = np.isnan(a) | (b < a)
        sides.append(np.where(use_behind[..., None], behind, ahead))
    normal = np.cross(sides[0], sides[1])
    length = np.linalg.norm(normal, axis=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        cosine = np.abs((normal * camera.directions()).sum(-1)) / length
    return np.nan_to_num(cosine, nan=0.5).clip(0.1, 1.5)


def _in_front(depth: F32, facing: F64, camera: Camera, points: F64) -> F64:
    """Signed distance of points to a depth map, positive in front; -inf where it says nothing."""
    uv, z = camera.project(points)
    u, v = uv[..., 0] - 0.5, uv[..., 1] - 0.5
    inside = (u > 0) & (v > 0) & (u < camera.width - 1) & (v < camera.height - 1) & (z > 1e-6)
    column = np.where(inside, u, 0).astype(np.int64).clip(0, camera.width - 2)
    row = np.where(inside, v, 0).astype(np.int64).clip(0, camera.height - 2)
    fu, fv = u - column, v - row
    corners = np.stack([depth[row + a, column + b] for a in (0, 1) for b in (0, 1)])
    smooth = (corners[0] * (1 - fu) + corners[1] * fu) * (1 - fv) + (
        corners[2] * (1 - fu) + corners[3] * fu
    ) * fv
    # Across a jump nothing lies at the mean depth: take the nearest pixel there.
    nearest_row, nearest_column = row + (fv > 0.5), column + (fu > 0.5)
    nearest = depth[nearest_row, nearest_column]
    spread = np.fmax.reduce(corners) - np.fmin.reduce(corners)
    jump = ~(spread < 0.02 * nearest)  # also true where a corner is NaN
    at = np.where(jump | np.isnan(smooth), nearest, smooth)
    distance = (at - z) * facing[nearest_row, nearest_column]
    return np.where(inside & np.isfinite(at), distance, -np.inf)


def redistance(field: F32, voxel: float) -> F32:
    """Make a field with a good zero set a distance again, away from that zero set.

    Values nearer than a voxel keep their sub-voxel position; the others become the Euclidean
    distance to the nearest grid point on the other side, less the half voxel in between.
    """
    from scipy.ndimage import distance_transform_edt

    inside = field < 0
    if not inside.any() or inside.all():
        return field
    outward = (distance_transform_edt(~inside) - 0.5) * voxel
    inward = (distance_transform_edt(inside) - 0.5) * voxel
    far = np.where(inside, -inward, outward)
    near = np.abs(far) < 1.01 * voxel
    return np.where(near, np.clip(field, -voxel, voxel), far).astype(np.float32)
