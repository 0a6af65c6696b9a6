"""How well the finished asset agrees with the pictures it was made from."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from img2mesh.artifacts import View
from img2mesh.core.arrays import F32, F64
from img2mesh.core.cameras import Camera
from img2mesh.report.rendering import UNLIT, Stage, composite

_LARGEST = 1024  # pixels: larger pictures are averaged down to this size, for speed
#: A pixel half covered is object; 8-bit files round a half to 127 or 128.
_HALF = 126.5 / 255
_BEST_PSNR = 100.0  # dB; identical pictures would be infinite, which JSON cannot say


def in_asset_frame(camera: Camera, asset_from_world: F64) -> Camera:
    """A world camera where the asset now stands; the similarity may scale."""
    scale = float(np.cbrt(np.linalg.det(asset_from_world[:3, :3])))
    return camera.moved(asset_from_world, scale=scale)


def agreement(stage: Stage, view: View, camera: Camera) -> tuple[float, float | None]:
    """Silhouette IoU and PSNR of the rendered asset against one given picture.

    The asset is drawn unlit at the picture's own size (at most 1024 pixels along the longer side,
    larger pictures are averaged down first), four rays a pixel, textures mip-filtered.

    A pixel is object where its alpha is at least one half (127 of 255 counts as one half).
    Silhouette IoU: pixels that are object in both pictures, over those that are in either.

    PSNR: -10 log10 of the mean squared error over the *object pixels* of the given picture and
    the three sRGB-encoded channels in [0, 1]; both pictures lie on white, so an object pixel that
    the asset misses is compared as white.

    Args:
        stage: the asset.
        view: the given picture.
        camera: its camera in the asset's frame.

    Returns:
        IoU in [0, 1], and PSNR in dB (at most 100), None where the picture has no object pixel.
    """
    rgb, alpha = shrunk(view.rgb, view.alpha, _LARGEST)
    height, width = alpha.shape
    drawn, cover = stage.render(camera.resized(width, height), UNLIT, supersample=2)
    given, found = alpha > _HALF, cover > _HALF
    either = int((given | found).sum())
    iou = float((given & found).sum() / either) if either else 1.0
    if not given.any():
        return iou, None
    error = composite(drawn, cover, 1.0)[given] - composite(rgb, alpha, 1.0)[given]
    mean = float(np.mean(np.square(error, dtype=np.float64)))
    return iou, float(min(-10 * np.log10(max(mean, 1e-12)), _BEST_PSNR))


def shrunk(rgb: F32, alpha: F32, largest: int) -> tuple[F32, F32]:
    """A picture averaged down until neither side exceeds ``largest``; smaller ones as they are."""
    height, width = alpha.shape
    if max(height, width) <= largest:
        return rgb, alpha
    import cv2

    ratio = largest / max(height, width)
    size = (max(round(width * ratio), 1), max(round(height * ratio), 1))
    # Averaging straight colours would mix in what lies behind the object: weigh them by alpha.
    cover: NDArray[Any] = cv2.resize(alpha, size, interpolation=cv2.INTER_AREA)
    total: NDArray[Any] = cv2.resize(rgb * alpha[..., None], size, interpolation=cv2.INTER_AREA)
    plain: NDArray[Any] = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)
    mixed = np.where(cover[..., None] > 1e-3, total / np.maximum(cover, 1e-3)[..., None], plain)
    return np.clip(mixed, 0, 1).astype(np.float32), np.clip(cover, 0, 1).astype(np.float32)


def describe_camera(camera: Camera, target: NDArray[np.float64]) -> dict[str, Any]:
    """A camera as JSON, in numbers that people use and in full.

    Args:
        camera: in the asset's frame.
        target: (3,) what it orbits: the world's origin in the asset's frame.
    """
    backward = -camera.forward
    return {
        "azimuth_deg": round(float(np.rad2deg(np.arctan2(backward[0], backward[2]))), 6),
        "elevation_deg": round(float(np.rad2deg(np.arcsin(np.clip(backward[1], -1, 1)))), 6),
        "fov_deg": round(camera.fov_deg, 6),
        "distance": float(np.linalg.norm(camera.origin - target)),
        "target": [float(x) for x in target],
        "width": camera.width,
        "height": camera.height,
        "fx": camera.fx,
        "fy": camera.fy,
        "cx": camera.cx,
        "cy": camera.cy,
        "world_from_camera": camera.world_from_camera.tolist(),
    }
