"""How well the finished asset agrees with the pictures it was made from."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from img2mesh.artifacts import View
from img2mesh.core.arrays import F32, F64
from img2mesh.core.cameras import Camera
from img2mesh.imaging.colour import over
from img2mesh.imaging.metrics import iou, psnr
from img2mesh.imaging.resize import fitted_size, shrink_rgba
from img2mesh.report.rendering import UNLIT, Renderer

_LARGEST = 1024  # pixels: larger pictures are averaged down to this size, for speed
#: A pixel half covered is object; 8-bit files round a half to 127 or 128.
_HALF = 126.5 / 255


def in_asset_frame(camera: Camera, asset_from_world: F64) -> Camera:
    """A world camera where the asset now stands; the similarity may scale."""
    scale = float(np.cbrt(np.linalg.det(asset_from_world[:3, :3])))
    return camera.moved(asset_from_world, scale=scale)


def agreement(renderer: Renderer, view: View, camera: Camera) -> tuple[float, float | None]:
    """Silhouette IoU and PSNR of the rendered asset against one given picture.

    The asset is drawn unlit at the picture's own size (at most 1024 pixels along the longer side,
    larger pictures are averaged down first), four rays a pixel, textures mip-filtered.

    A pixel is object where its alpha is at least one half (127 of 255 counts as one half).
    Silhouette IoU: pixels that are object in both pictures, over those that are in either.

    PSNR: -10 log10 of the mean squared error over the *object pixels* of the given picture and
    the three sRGB-encoded channels in [0, 1]; both pictures lie on white, so an object pixel that
    the asset misses is compared as white.

    Args:
        renderer: of the asset.
        view: the given picture.
        camera: its camera in the asset's frame.

    Returns:
        IoU in [0, 1], and PSNR in dB (at most 100), None where the picture has no object pixel.
    """
    rgb, alpha = shrunk(view.rgb, view.alpha, _LARGEST)
    height, width = alpha.shape
    drawn, cover = renderer.render(camera.resized(width, height), UNLIT, supersample=2)
    given, found = alpha > _HALF, cover > _HALF
    agree = iou(given, found)
    if not given.any():
        return agree, None
    return agree, psnr(over(drawn, cover, 1.0), over(rgb, alpha, 1.0), given)


def shrunk(rgb: F32, alpha: F32, largest: int) -> tuple[F32, F32]:
    """A picture averaged down until neither side exceeds ``largest``; smaller ones as they are."""
    height, width = alpha.shape
    if max(height, width) <= largest:
        return rgb, alpha
    size = fitted_size(width, height, largest)
    return shrink_rgba(rgb, alpha, width=size[0], height=size[1])


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
