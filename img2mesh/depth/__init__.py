"""What the views' outlines say of the coarse shape: its depth at their poses, the photo's pose."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from img2mesh.artifacts import DepthSet, PhotoPose, ViewSet
from img2mesh.errors import InputError

__all__ = ["coarse_depths", "pose_photo"]


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


def pose_photo(
    views: ViewSet, *, least: float = 0.5, note: Callable[[str], None] = lambda sentence: None
) -> ViewSet:
    """Give the photo a camera, estimated from the views' outlines and colours.

    Args:
        views: posed views; without a photo, or with one that has a camera, they come back as
            they are.
        least: confidence from which the estimate is used; above 1 nothing is estimated.
        note: told what was found.

    Returns:
        The views with ``photo_pose``, and with the photo's camera if it is sure enough.

    Raises:
        InputError: ``least`` is negative, or the outlines are empty or have no common volume.
    """
    if not least >= 0:
        raise InputError(f"posed.confidence must be 0 or more, got {least}")
    photo = views.photo
    if photo is None or photo.camera is not None or least > 1:
        return views
    from img2mesh.depth.photo_pose import estimate

    found = estimate(views, photo)
    told = (
        f"the photo's elevation is estimated at {found.elevation_deg:.1f} degrees "
        f"(confidence {found.confidence:.2f})"
    )
    pose = PhotoPose(found.elevation_deg, found.azimuth_deg, found.confidence)
    if found.confidence < least:
        note(f"{told}: too unsure, so the photo is not used as a view")
        return replace(views, photo_pose=pose)
    note(f"{told}: it is used as one more view")
    return replace(views, photo=replace(photo, camera=found.camera), photo_pose=pose)
