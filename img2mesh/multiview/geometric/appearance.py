"""How an inflated body is painted: photo in front, folded at the rim, calm behind."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from img2mesh.core.arrays import F32
from img2mesh.core.cameras import Camera
from img2mesh.multiview.geometric.body import Paint
from img2mesh.multiview.geometric.colours import Palette, sample
from img2mesh.multiview.geometric.inflation import Inflation
from img2mesh.multiview.geometric.outline import look_up

#: Beyond this angle between normal and line of sight rim pixels would be stretched: fold there.
FOLD_DEG = 60.0


def smoothstep(x: NDArray[np.floating], start: float, end: float) -> NDArray[np.floating]:
    """0 at ``start``, 1 at ``end`` (either order), smooth between."""
    t = np.clip((x - start) / (end - start), 0, 1)
    smooth: NDArray[np.floating] = t * t * (3 - 2 * t)
    return smooth


def frame_xy(
    camera: Camera, points: NDArray[np.floating]
) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """Frame coordinates where ``camera`` sees points."""
    uv, _ = camera.project(points)
    return uv[:, 0] * 2 / camera.width - 1, 1 - uv[:, 1] * 2 / camera.height


def facing(
    camera: Camera, points: NDArray[np.floating], normals: NDArray[np.floating]
) -> NDArray[np.floating]:
    """Cosine between normals and the directions to the camera."""
    sight = camera.origin - points
    sight /= np.linalg.norm(sight, axis=1, keepdims=True)
    cosine: NDArray[np.floating] = np.einsum("ij,ij->i", sight, normals)
    return cosine


def inflation_paint(palette: Palette, inflation: Inflation, camera: Camera) -> Paint:
    """Paint for an inflated body.

    Where the surface turns more than FOLD_DEG away from the photo its texture is mirrored about
    that line at natural scale; towards the back it fades into the palette's calm colours.
    """

    def paint(points: NDArray[np.floating], normals: NDArray[np.floating]) -> F32:
        x, y = frame_xy(camera, points)
        cosine = facing(camera, points, normals)
        angle = np.arccos(np.clip(cosine, -1, 1))
        fold = np.deg2rad(FOLD_DEG)
        mirrored = np.clip(2 * fold - angle, 0, None)
        radius = look_up(inflation.rim_radius, x, y)
        shift = np.where(angle > fold, radius * (np.sin(angle) - np.sin(mirrored)), 0.0)
        across = normals @ camera.world_from_camera[:3, :2]
        across = across / np.maximum(np.linalg.norm(across, axis=1, keepdims=True), 1e-6)
        front = sample(palette.front, x - shift * across[:, 0], y - shift * across[:, 1])
        calm = sample(palette.calm, x, y) + sample(palette.grain, x, y)
        t = smoothstep(cosine, 0.5, 0.05)[:, None]
        colours: F32 = np.clip((1 - t) * front + t * calm, 0, 1).astype(np.float32)
        return colours

    return paint
