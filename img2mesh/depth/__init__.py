"""Depth of the coarse shape at the views' poses: what a depth-controlled second pass is given."""

from __future__ import annotations

import numpy as np

from img2mesh.artifacts import DepthSet, ViewSet
from img2mesh.errors import InputError

__all__ = ["coarse_depths"]


def coarse_depths(views: ViewSet, *, resolution: int = 128) -> DepthSet:
    """z-depth of the coarse shape at the six poses.

    Depths that came with the views are handed on; otherwise the coarse shape is the visual hull.

    Args:
        views: posed views.
        resolution: grid points along the longest side of the hull's box.

    Returns:
        Depths in world units, NaN where there is no surface.

    Raises:
        InputError: empty masks, outlines without a common volume, or a senseless resolution.
    """
    if not 8 <= resolution <= 512:
        raise InputError(f"the hull's resolution must be 8 to 512, got {resolution}")
    if views.depth is not None:
        return DepthSet(views.depth, views.cameras)
    from img2mesh.depth.hull import hull_scene

    scene = hull_scene(views.posed, resolution=resolution)
    return DepthSet(np.stack([scene.look(camera).depth for camera in views.cameras]), views.cameras)
