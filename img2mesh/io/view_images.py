"""The pictures of posed views, from files to floats: colour, alpha, depth and normals."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from img2mesh.core.arrays import F32
from img2mesh.core.cameras import Camera
from img2mesh.errors import InputError
from img2mesh.imaging.fill import continue_colours
from img2mesh.imaging.matting import matte
from img2mesh.io import photos


@dataclass(frozen=True)
class Picture:
    """A decoded picture: rgb (h, w, 3), alpha (h, w) or None, both float32 in [0, 1]."""

    rgb: F32
    alpha: F32 | None
    lossy: bool


def read_picture(path: Path) -> Picture:
    """Any picture as floats; an alpha channel that is opaque everywhere counts as none."""
    stored = photos.decode(path)
    rgb = stored.rgb.astype(np.float32) / np.float32(255)
    alpha = None if stored.alpha is None else stored.alpha.astype(np.float32) / np.float32(255)
    return Picture(rgb, alpha, stored.lossy)


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
    return continue_colours(rgb, alpha, above=0), alpha


def read_depth(path: Path, scale: float, camera: Camera) -> F32:
    """z-depth (h, w) in world units, NaN where the picture holds 0.

    Args:
        path: 16-bit grey picture.
        scale: stored value of one world unit.
        camera: the view's camera, for the size.
    """
    stored = photos.read_stored(path)
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
