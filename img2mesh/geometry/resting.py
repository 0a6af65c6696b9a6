"""Where a body that was seen from above only stands: the plane that ends what nobody saw.

Seen from a ring of cameras that all look down, the visual hull of a flat base goes on below it, as
the cone that the rays along its rim leave: a mug grows a point. What tells a flat base from a round
one is how the surface ends. Above a flat base steep walls, which some camera sees well, end at one
height; below it lies only what every camera sees along the surface or from behind. A round body
turns away little by little, and there is no such height.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from img2mesh.core.arrays import F32, F64
from img2mesh.core.cameras import scene_bounds
from img2mesh.geometry.isosurface import march
from img2mesh.geometry.silhouettes import Silhouette
from img2mesh.geometry.visual_hull import hull_values, tight_box

#: Cameras higher than this, degrees, look down.
_DOWN_DEG = 5.0
#: Median cosine, over the surface at one height, to the camera that sees it best: below the first
#: nobody sees it, above the second it is walls. Of eight bodies under a ring at 30 degrees it goes
#: from one to the other within a cell and a half at flat bases, in three or more at round ones.
_UNSEEN, _WALL = 0.15, 0.45
#: Grid points along the hull's longest side.
_GRID = 96
#: Most grid cells between the two.
_ABRUPT = 2.0
#: A layer of fewer vertices says nothing.
_LEAST = 8


def floor_height(outlines: Sequence[Silhouette]) -> float | None:
    """Height of the flat base of a body seen only from above.

    Args:
        outlines: of the posed views; the world's y is up.

    Returns:
        The y of the plane below which there is nothing; None where a camera looks up or level,
        where the hull ends as round bodies do, or ends at the lowest that was seen anyway.
    """
    centre, _ = scene_bounds([o.camera for o in outlines])
    origins = np.stack([o.camera.origin for o in outlines])
    offset = origins - centre
    height = offset[:, 1] / np.linalg.norm(offset, axis=1)
    if height.min() < np.sin(np.deg2rad(_DOWN_DEG)):
        return None
    grid = tight_box(outlines, grid=_GRID, margin=0.05)
    hull = hull_values(outlines, grid)
    vertices, _ = march(hull, 0.0)
    points = grid.origin + grid.voxel * vertices
    facing = _facing(hull, vertices, points, origins)
    layers = _layers(points[:, 1], facing, grid.voxel)
    shown = [y for y, median in layers if median > _UNSEEN]
    walls = [y for y, median in layers if median > _WALL]
    if not walls or shown[0] == layers[0][0] or walls[0] - shown[0] > _ABRUPT * grid.voxel:
        return None
    return shown[0]


def _layers(height: F64, facing: F64, thickness: float) -> list[tuple[float, float]]:
    """Lower edges of overlapping layers, rising, and the median of ``facing`` in each."""
    edges = np.arange(height.min(), height.max(), thickness / 2)
    members = ((y, facing[(height >= y) & (height < y + thickness)]) for y in edges)
    return [(float(y), float(np.median(m))) for y, m in members if len(m) >= _LEAST]


def _facing(hull: F32, vertices: F32, points: F64, origins: F64) -> F64:
    """(n,) cosine between the normal of a hull's surface and the camera that sees it best."""
    from scipy.ndimage import map_coordinates

    slopes = [map_coordinates(g, vertices.T, order=1, mode="nearest") for g in np.gradient(hull)]
    normal = np.stack(slopes, axis=1)
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-12)
    best = np.full(len(points), -1.0)
    for origin in origins:
        ray = origin - points
        ray /= np.linalg.norm(ray, axis=1, keepdims=True)
        np.maximum(best, (normal * ray).sum(1), out=best)
    return best
