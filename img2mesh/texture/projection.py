"""How much each view counts at points of the surface, and where they fall in its picture."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from img2mesh.core.arrays import F32
from img2mesh.geometry.raycast import Scene
from img2mesh.imaging.lookup import texels_at
from img2mesh.texture.sources import Source

#: Views flatter than this cosine are not used.
LEAST_COSINE = 0.12

#: Weight = cosine ** ANGLE_POWER x confidence, then to the power SHARPEN before normalising.
ANGLE_POWER = 2.0
SHARPEN = 3.0

#: The photo counts this many times a view seen at the same angle, once its cosine has risen from
#: LEAST_COSINE to PHOTO_COSINE: its pixels are the truth (others measured in ``docs/texture.md``).
PHOTO_FACTOR = 30.0
PHOTO_COSINE = 0.35


def weigh(
    source: Source, scene: Scene, points: F32, normals: F32, *, offset: float
) -> tuple[NDArray[np.int64], NDArray[np.float64], F32]:
    """Find the points a source sees and how much it counts there.

    Args:
        source: a prepared view.
        scene: the surface, for occlusion.
        points: (k, 3) on the surface.
        normals: (k, 3) unit, smooth.
        offset: world units by which rays start off the surface.

    Returns:
        seen: (s,) indices of the points seen.
        uv: (s, 2) where they fall in the picture, in pixels.
        weight: (s,) > 0.
    """
    camera = source.camera
    to_camera = camera.origin.astype(np.float32) - points
    cosine = np.einsum("ij,ij->i", to_camera, normals)
    cosine /= np.maximum(np.sqrt(np.einsum("ij,ij->i", to_camera, to_camera)), 1e-12)
    facing = np.flatnonzero(cosine > LEAST_COSINE)
    uv, depth = camera.project(points[facing])
    framed = (
        (depth > 0)
        & (uv[:, 0] >= 0)
        & (uv[:, 0] <= camera.width)
        & (uv[:, 1] >= 0)
        & (uv[:, 1] <= camera.height)
    )
    facing, uv = facing[framed], uv[framed]
    confidence = texels_at(source.confidence, uv)
    inside = confidence > 0
    facing, uv, confidence = facing[inside], uv[inside], confidence[inside]
    clear = scene.sees(camera, points[facing], normals[facing], offset=offset)
    facing, uv, confidence = facing[clear], uv[clear], confidence[clear]
    weight = cosine[facing] ** ANGLE_POWER * confidence
    if source.is_photo:
        rise = np.clip((cosine[facing] - LEAST_COSINE) / (PHOTO_COSINE - LEAST_COSINE), 0, 1)
        weight *= 1 + (PHOTO_FACTOR - 1) * rise * rise * (3 - 2 * rise)
    return facing, uv, weight.astype(np.float32)
