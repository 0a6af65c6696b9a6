"""The pictures of posed views, from files to floats: colour, alpha, depth and normals."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from img2mesh.artifacts import F32, View
from img2mesh.cameras import Camera
from img2mesh.errors import InputError
from img2mesh.matting import matte, spread_colour

_MOST_PIXELS = 64_000_000


@dataclass(frozen=True)
class Picture:
    """A decoded picture: rgb (h, w, 3), alpha (h, w) or None, both float32 in [0, 1]."""

    rgb: F32
    alpha: F32 | None
    lossy: bool


def _open_image(path: Path) -> Any:
    from PIL import Image, UnidentifiedImageError

    if not path.is_file():
        raise InputError(f"{path} is missing, or not a file: check the name")
    try:
        image = Image.open(path)
        width, height = image.size
        if width * height > _MOST_PIXELS:
            raise InputError(
                f"{path.name} has {width}x{height} pixels; at most "
                f"{_MOST_PIXELS // 1_000_000} million are accepted: scale it down"
            )
        image.load()
    except UnidentifiedImageError as cause:
        raise InputError(
            f"{path.name} is not a picture that can be read: give a PNG, JPEG or WebP"
        ) from cause
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as cause:
        raise InputError(f"{path.name} is damaged or cut short: {cause}") from cause
    return image


def _read_grey(path: Path) -> Any:
    """A grey picture's stored numbers, unconverted (16-bit stays 16-bit)."""
    image = _open_image(path)
    if image.mode not in ("I", "I;16", "I;16B", "L"):
        raise InputError(f"{path.name} must be a 16-bit grey PNG, got mode {image.mode}")
    return np.asarray(image)


def read_picture(path: Path) -> Picture:
    """Any picture as floats; an alpha channel that is opaque everywhere counts as none."""
    image = _open_image(path)
    lossy = image.format in ("JPEG", "WEBP", "MPO")
    if image.mode.startswith("I"):  # 16-bit grey: PIL would clip, not scale
        grey = np.asarray(image).astype(np.float32) / 65535
        return Picture(np.repeat(grey[..., None], 3, axis=2), None, lossy)
    transparent = image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info
    if not transparent:
        rgb = np.asarray(image.convert("RGB"), np.float32) / np.float32(255)
        return Picture(rgb, None, lossy)
    rgba = np.asarray(image.convert("RGBA"), np.float32) / np.float32(255)
    alpha = np.ascontiguousarray(rgba[..., 3])
    return Picture(np.ascontiguousarray(rgba[..., :3]), None if alpha.min() == 1 else alpha, lossy)


def separate(picture: Picture, name: str) -> tuple[F32, F32]:
    """The object's colour and alpha of one view, whether or not the file has transparency."""
    rgb, alpha = picture.rgb, picture.alpha
    if alpha is None:
        try:
            rgb, alpha = matte(rgb, lossy=picture.lossy)
        except InputError as cause:
            raise InputError(f"{name}: {cause}") from cause
    if not (alpha > 0.5).any():
        raise InputError(
            f"{name} shows no object (its mask is empty): every view must show it, on transparency "
            "or on one plain colour"
        )
    return spread_colour(rgb, alpha), alpha


def read_depth(path: Path, scale: float, camera: Camera) -> F32:
    """z-depth (h, w) in world units, NaN where the picture holds 0.

    Args:
        path: 16-bit grey picture.
        scale: stored value of one world unit.
        camera: the view's camera, for the size.
    """
    stored = _read_grey(path)
    if stored.ndim != 2 or stored.shape != (camera.height, camera.width):
        raise InputError(
            f"{path.name} must be a 16-bit grey picture of {camera.width}x{camera.height} "
            f"pixels like its view, got an array of shape {stored.shape}"
        )
    depth = stored.astype(np.float32) / np.float32(scale)
    return np.where(stored > 0, depth, np.nan).astype(np.float32)


def read_normals(path: Path, camera: Camera) -> F32:
    """Unit world-space normals (h, w, 3) of a picture of camera-space normals."""
    rgb = read_picture(path).rgb
    if rgb.shape[:2] != (camera.height, camera.width):
        raise InputError(
            f"{path.name} has {rgb.shape[1]}x{rgb.shape[0]} pixels, its view "
            f"{camera.width}x{camera.height}"
        )
    return world_normals(rgb, camera)


def world_normals(rgb: F32, camera: Camera) -> F32:
    """Camera-space normals as colours, (n + 1) / 2, to unit world-space normals; grey becomes 0."""
    local = rgb.astype(np.float64) * 2 - 1
    length = np.linalg.norm(local, axis=2, keepdims=True)
    # Grey is length 0, a normal 1; blends of both along the outline have no direction to trust.
    unit = np.where(length > 0.8, local / np.maximum(length, 1e-9), 0)
    return (unit @ camera.world_from_camera[:3, :3].T).astype(np.float32)


def shrunk_view(view: View, side: int) -> View:
    """A view averaged down to ``side`` pixels along its longer side; smaller ones as they are."""
    from PIL import Image

    height, width = view.alpha.shape
    if max(height, width) <= side:
        return view
    size = (
        max(round(width * side / max(height, width)), 1),
        max(round(height * side / max(height, width)), 1),
    )
    # Averaging straight colours would mix in what lies behind the object: weigh them by alpha.
    bands = np.concatenate([view.rgb * view.alpha[..., None], view.alpha[..., None]], axis=2)
    small = np.stack(
        [
            np.asarray(
                Image.fromarray(np.ascontiguousarray(bands[..., c])).resize(
                    size, Image.Resampling.BOX
                )
            )
            for c in range(4)
        ],
        axis=2,
    )
    alpha = np.clip(small[..., 3], 0, 1)
    rgb = np.clip(small[..., :3] / np.maximum(alpha, 1e-6)[..., None], 0, 1)
    camera = None if view.camera is None else view.camera.resized(*size)
    return View(rgb.astype(np.float32), alpha.astype(np.float32), camera)
