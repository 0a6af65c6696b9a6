"""The visual hull of posed outlines as a signed-distance grid, and as something rays can hit.

Each outline gives a signed distance in pixels to its sub-pixel alpha = 0.5 contour; seen from its
camera that is a distance in world units (times depth over focal length), negative inside the cone
the outline sweeps through space. The hull is the intersection of the cones, so its distance is the
maximum over the views: exact sign, and never more than the true distance outside.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from img2mesh.core.arrays import F32, F64
from img2mesh.core.cameras import Camera, scene_bounds
from img2mesh.errors import InputError
from img2mesh.geometry.grid import Grid
from img2mesh.geometry.isosurface import march
from img2mesh.geometry.raycast import Scene
from img2mesh.geometry.silhouettes import Posed, Silhouette, make_silhouettes, relaxed
from img2mesh.imaging.lookup import bilinear

#: Grid samples per side of the first look around, which only finds the bounding box.
_SCOUT = 72


def hull_sdf(
    views: Sequence[Posed], *, grid: int, relax_px: float = 0.0, margin: float = 0.05
) -> tuple[F32, Grid]:
    """Intersect the outlines of all views with a known camera.

    Args:
        views: pictures with alpha and camera.
        grid: grid points along the longest side of the hull's bounding box.
        relax_px: outlines are widened by this many pixels first; half the expected misalignment
            for views that do not agree with each other (specification: .75 px for 1.5 px of warp).
        margin: empty space around the box, as a fraction of its longest side.

    Returns:
        The hull's signed distance at the points of a tight grid, and the grid.

    Raises:
        InputError: an empty or full mask, no camera, or outlines without a common volume.
    """
    outlines = relaxed(make_silhouettes(views), relax_px)
    box = tight_box(outlines, grid=grid, margin=margin)
    return hull_values(outlines, box), box


def tight_box(
    outlines: Sequence[Silhouette], *, grid: int, margin: float, floor: float | None = None
) -> Grid:
    """The hull's bounding box, found on a coarse grid first; nothing below y = ``floor``.

    Raises:
        InputError: no common volume, or cameras that do not look at one place.
    """
    centre, radius = scene_bounds([o.camera for o in outlines])
    low, high = centre - radius, centre + radius
    # The second pass only tightens: 1 / 72 of the sphere becomes 1 / 72 of the object.
    for _ in range(2):
        box = Grid.around(low, high, grid=_SCOUT, margin=0.0)
        # A point nearer than half a cell's diagonal may hide a thin part between the points.
        near = hull_values(outlines, box, floor=floor) < 0.87 * box.voxel
        if not near.any():
            raise InputError(
                "the outlines of the views have no volume in common: check that the cameras, "
                "their order and the masks belong together"
            )
        index = np.argwhere(near)
        low = box.origin + box.voxel * (index.min(0) - 0.5)
        high = box.origin + box.voxel * (index.max(0) + 0.5)
    return Grid.around(low, high, grid=grid, margin=margin)


def hull_values(outlines: Sequence[Silhouette], box: Grid, *, floor: float | None = None) -> F32:
    """(nx, ny, nz) float32 hull distance in world units at every grid point.

    With ``floor``, everything below that y is outside (:mod:`img2mesh.geometry.resting`).
    """
    out = np.empty(box.shape, np.float32)
    layers = max(1, 200_000 // (box.shape[1] * box.shape[2]))
    for start in range(0, box.shape[0], layers):
        stop = min(start + layers, box.shape[0])
        points = box.slab(start, stop)
        value = np.full(points.shape[:-1], -np.inf) if floor is None else floor - points[..., 1]
        for outline in outlines:
            np.maximum(value, cone_distance(outline, points), out=value)
        out[start:stop] = value
    return out


def cone_distance(outline: Silhouette, points: NDArray[np.floating]) -> F64:
    """Signed distance of world points (..., 3) to the cone through one outline, world units.

    Beyond the picture's border the distance continues from the nearest border pixel: an object
    cut off by the border is taken to go on, background stays background.
    """
    camera = outline.camera
    uv, depth = camera.project(points)
    inside_u = np.clip(uv[..., 0], 0.5, camera.width - 0.5)
    inside_v = np.clip(uv[..., 1], 0.5, camera.height - 0.5)
    pixels = bilinear(outline.distance, np.stack([inside_u, inside_v], axis=-1))
    beyond = np.hypot(uv[..., 0] - inside_u, uv[..., 1] - inside_v)
    pixels = np.where(pixels > 0, pixels + beyond, pixels)
    world = pixels * depth / np.sqrt(camera.fx * camera.fy)
    # Behind the camera nothing can be seen: far outside.
    return np.where(depth > 1e-6, world, 1e3 * np.abs(depth) + 1.0)


def hull_depths(views: Sequence[Posed], cameras: Sequence[Camera], *, resolution: int) -> F32:
    """z-depth of the views' visual hull as the cameras see it.

    Args:
        views: pictures with alpha and camera, whose outlines are intersected.
        cameras: v cameras to look from.
        resolution: grid points along the longest side of the hull's box, 8 to 512.

    Returns:
        (v, h, w) float32 world units, NaN where there is no surface.

    Raises:
        InputError: empty masks, outlines without a common volume, a senseless resolution, or an
            object thinner than the grid can show.
    """
    if not 8 <= resolution <= 512:
        raise InputError(f"the hull's resolution must be 8 to 512, got {resolution}")
    sdf, grid = hull_sdf(views, grid=resolution)
    if sdf.min() >= 0:
        raise InputError(
            f"the object is too thin to show on a grid of {resolution}: raise the resolution"
        )
    vertices, faces = march(sdf, 0.0)
    scene = Scene(grid.origin + grid.voxel * vertices, faces)
    return np.stack([scene.look(camera).depth for camera in cameras])
