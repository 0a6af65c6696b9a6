"""The photo's camera, from what the views' outlines and colours say of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from img2mesh.artifacts import PhotoPose, ViewSet
from img2mesh.errors import InputError


def pose_photo(
    views: ViewSet, *, least: float, note: Callable[[str], None] = lambda sentence: None
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
        raise InputError(f"registered.confidence must be 0 or more, got {least}")
    photo = views.photo
    if photo is None or photo.camera is not None or least > 1:
        return views
    from img2mesh.pose.search import estimate

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
