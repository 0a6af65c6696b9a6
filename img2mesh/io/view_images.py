"""The pictures of posed views, from files to floats: colour, alpha, depth and normals."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from img2mesh.core.arrays import F32
from img2mesh.core.cameras import Camera
from img2mesh.errors import InputError
from img2mesh.imaging.fill import continue_colours
from img2mesh.imaging.matting import matte
from img2mesh.io import masks, photos
from img2mesh.io.lenses import Lens, straightened


@dataclass(frozen=True)
class Picture:
    """A decoded picture.

    Attributes:
        rgb: (h, w, 3) float32 in [0, 1].
        alpha: (h, w) float32 in [0, 1], or None.
        lossy: its file's format blurs edges.
        size: width and height of the file's picture; (0, 0) for one in memory.
    """

    rgb: F32
    alpha: F32 | None
    lossy: bool
    size: tuple[int, int] = (0, 0)


@dataclass(frozen=True)
class LoadedView:
    """One view as its files hold it, before all views are stacked.

    Attributes:
        rgb: (h, w, 3) float32, continued past the outline.
        alpha: (h, w) float32.
        camera: for h x w pixels.
        depth: (h, w) float32 z-depth, NaN where there is none; or None.
        normals: (h, w, 3) float32 world normals, 0 where there is none; or None.
        notes: how its mask was read.
    """

    rgb: F32
    alpha: F32
    camera: Camera
    depth: F32 | None = None
    normals: F32 | None = None
    notes: tuple[str, ...] = ()

    def straightened(self, lens: Lens) -> LoadedView:
        """What a pinhole of the same focal length would have seen."""
        at = lens.sources(self.camera)
        depth, normals = self.depth, self.normals
        return replace(
            self,
            rgb=straightened(self.rgb, at, outside=None),
            alpha=straightened(self.alpha, at, outside=0.0),
            depth=depth
            if depth is None
            else straightened(depth, at, outside=float("nan"), blend=False),
            normals=normals
            if normals is None
            else straightened(normals, at, outside=0.0, blend=False),
        )


def read_picture(path: Path, *, longest: int | None = None) -> Picture:
    """Any picture as floats; an alpha channel that is opaque everywhere counts as none.

    Args:
        path: the file.
        longest: limit for the longest side, reduced to before anything becomes a float.
    """
    stored = photos.decode(path, longest=longest)
    rgb = stored.rgb.astype(np.float32) / np.float32(255)
    alpha = None if stored.alpha is None else stored.alpha.astype(np.float32) / np.float32(255)
    return Picture(rgb, alpha, stored.lossy, stored.size)


def read_mask(path: Path, *, view: Picture) -> tuple[F32, tuple[str, ...]]:
    """The mask (h, w) in [0, 1] of a view, in any spelling of :mod:`img2mesh.io.masks`, and notes.

    Raises:
        InputError: its file's picture has other proportions than the view's, or is no mask.
    """
    height, width = view.rgb.shape[:2]
    stored = photos.decode(path, labels=True)
    _require_shape(path, stored.size, view.size)
    try:
        mask, notes = masks.object_mask(stored.rgb, stored.alpha)
    except InputError as cause:
        raise InputError(f"{path.name}: {cause}") from cause
    if mask.shape != (height, width):
        from PIL import Image

        smaller = mask.shape[0] < height
        how = Image.Resampling.BILINEAR if smaller else Image.Resampling.BOX
        mask = np.asarray(Image.fromarray(mask).resize((width, height), how))
    return mask.astype(np.float32) / np.float32(255), notes


def _require_shape(path: Path, size: tuple[int, int], view: tuple[int, int]) -> None:
    """What lies beside a view may be of another size, as a telephone's depth is, not of another
    shape; widths and heights."""
    if abs(size[0] * view[1] - size[1] * view[0]) > 0.01 * size[0] * view[1]:
        raise InputError(
            f"{path.name} has {size[0]}x{size[1]} pixels, but its view {view[0]}x{view[1]}: "
            "expected the same picture, at any size"
        )


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


def read_depth(
    path: Path, scale: float, camera: Camera, *, size: tuple[int, int] | None = None
) -> F32:
    """z-depth (h, w) in world units, NaN where the picture holds 0.

    Args:
        path: 16-bit grey picture.
        scale: stored value of one world unit.
        camera: the view's camera, for h and w.
        size: width and height of the view's file, where it was reduced.
    """
    stored = photos.read_stored(path)
    _require_shape(path, stored.shape[::-1], size or (camera.width, camera.height))
    stored = _nearest(stored, camera)
    depth = stored.astype(np.float32) / np.float32(scale)
    return np.where(stored > 0, depth, np.nan).astype(np.float32)


def read_normals(path: Path, camera: Camera, *, size: tuple[int, int]) -> F32:
    """Unit world-space normals (h, w, 3) of a picture of camera-space normals.

    Args:
        path: a picture of the size of the view's file.
        camera: the view's camera, for h and w.
        size: width and height of the view's file.
    """
    rgb = photos.decode(path).rgb
    _require_shape(path, rgb.shape[1::-1], size)
    return world_normals(_nearest(rgb, camera).astype(np.float32) / np.float32(255), camera)


def _nearest(stored: NDArray[Any], camera: Camera) -> NDArray[Any]:
    """A picture at a camera's size, pixels taken and not mixed: no depth lies across an edge."""
    height, width = stored.shape[:2]
    if (width, height) == (camera.width, camera.height):
        return stored
    rows = ((np.arange(camera.height) + 0.5) * height / camera.height).astype(int)
    columns = ((np.arange(camera.width) + 0.5) * width / camera.width).astype(int)
    return stored[np.ix_(rows, columns)]


def world_normals(rgb: F32, camera: Camera) -> F32:
    """Camera-space normals as colours, (n + 1) / 2, to unit world-space normals; grey becomes 0."""
    local = rgb.astype(np.float64) * 2 - 1
    length = np.linalg.norm(local, axis=2, keepdims=True)
    # Grey is length 0, a normal 1; blends of both along the outline have no direction to trust.
    unit = np.where(length > 0.8, local / np.maximum(length, 1e-9), 0)
    return (unit @ camera.world_from_camera[:3, :3].T).astype(np.float32)
