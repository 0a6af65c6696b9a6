"""Which pixels are fitted, and their rays, for all views together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from img2mesh.core.arrays import F32
from img2mesh.field.pictures import Supervised, comparable_colours
from img2mesh.geometry.silhouettes import Silhouette

#: Background pixels further than this from the outline say nothing the hull does not say.
RIM_PX = 6.0


@dataclass(frozen=True)
class Pictures:
    """All views as flat arrays, for look-ups of any mix of views at once.

    Attributes:
        rgb: (p, 3) float32 pixels of all views, one after the other, row by row.
        start: (v,) int64 index of each view's first pixel.
        width, height: (v,) int64.
        camera_from_world: (v, 3, 4) float32.
        focal, centre: (v, 2) float32, pixels.
        origin: (v, 3) float32 camera centres.
        mask_weight: (v,) float32 how much each view's outline counts.
    """

    rgb: Tensor
    start: Tensor
    width: Tensor
    height: Tensor
    camera_from_world: Tensor
    focal: Tensor
    centre: Tensor
    origin: Tensor
    mask_weight: Tensor

    def __len__(self) -> int:
        return len(self.start)


@dataclass(frozen=True)
class Rays:
    """The rays of a stage, in view order. Directions have unit z-depth.

    Attributes:
        view: (r,) int64.
        pixel: (r,) int64 index into the flat pictures.
        direction: (3, r) float32; ``origin + depth * direction`` is the point at that z-depth.
        alpha: (r,) float32.
        rgb: (r, 3) float32 of the blurred picture.
        depth: (r,) float32 known z-depth, NaN where unknown; or None.
        trust: (r,) float32 in [0, 1], how far that is believed.
        normal: (3, r) float32 known world normal, 0 where unknown; or None.
        pictures: the views.
    """

    view: Tensor
    pixel: Tensor
    direction: Tensor
    alpha: Tensor
    rgb: Tensor
    depth: Tensor | None
    trust: Tensor
    normal: Tensor | None
    pictures: Pictures

    def __len__(self) -> int:
        return len(self.view)

    def take(self, index: Tensor) -> Rays:
        """Some of the rays, in the order of ``index``."""
        return Rays(
            self.view[index],
            self.pixel[index],
            self.direction[:, index],
            self.alpha[index],
            self.rgb[index],
            None if self.depth is None else self.depth[index],
            self.trust[index],
            None if self.normal is None else self.normal[:, index],
            self.pictures,
        )


def flatten_pictures(
    views: Sequence[Supervised], *, blur_px: float, device: torch.device
) -> Pictures:
    """Blurred, background-free pictures and their cameras."""
    rgb = [comparable_colours(s.view, blur_px).reshape(-1, 3) for s in views]
    cameras = [s.camera for s in views]
    sizes = np.array([len(p) for p in rgb])

    def tensor(values: object, dtype: torch.dtype = torch.float32) -> Tensor:
        return torch.as_tensor(np.asarray(values), dtype=dtype, device=device)

    return Pictures(
        tensor(np.concatenate(rgb)),
        tensor(np.cumsum(sizes) - sizes, torch.int64),
        tensor([c.width for c in cameras], torch.int64),
        tensor([c.height for c in cameras], torch.int64),
        tensor([c.camera_from_world[:3] for c in cameras]),
        tensor([(c.fx, c.fy) for c in cameras]),
        tensor([(c.cx, c.cy) for c in cameras]),
        tensor([c.origin for c in cameras]),
        tensor([s.mask_weight for s in views]),
    )


def stage_rays(
    views: Sequence[Supervised],
    outlines: Sequence[Silhouette],
    *,
    stride: int,
    blur_px: float,
    device: torch.device,
) -> Rays:
    """Rays through the used pixels: inside the masks or within :data:`RIM_PX` of them.

    Args:
        views: the pictures.
        outlines: their contour distances, in the same order.
        stride: every how many-th pixel along both axes.
        blur_px: blur of the compared colours.
        device: where the tensors live.
    """
    pictures = flatten_pictures(views, blur_px=blur_px, device=device)
    index, pixel, direction, alpha, depth, trust, normal = [], [], [], [], [], [], []
    for k, (item, outline) in enumerate(zip(views, outlines, strict=True)):
        used = np.zeros(outline.distance.shape, bool)
        used[::stride, ::stride] = outline.distance[::stride, ::stride] < RIM_PX
        flat = np.flatnonzero(used)
        index.append(np.full(len(flat), k))
        pixel.append(flat + int(pictures.start[k]))
        direction.append(item.camera.directions().reshape(-1, 3)[flat].astype(np.float32))
        alpha.append(item.view.alpha.reshape(-1)[flat])
        empty: F32 = np.zeros((len(flat), 3), np.float32)
        unknown = np.full(len(flat), np.nan, np.float32)
        depth.append(unknown if item.depth is None else item.depth.reshape(-1)[flat])
        trust.append(np.ones_like(unknown) if item.trust is None else item.trust.reshape(-1)[flat])
        normal.append(empty if item.normals is None else item.normals.reshape(-1, 3)[flat])
    pixels = torch.as_tensor(np.concatenate(pixel), device=device)

    def tensor(parts: list[F32]) -> Tensor:
        return torch.as_tensor(np.concatenate(parts), dtype=torch.float32, device=device)

    return Rays(
        torch.as_tensor(np.concatenate(index), dtype=torch.int64, device=device),
        pixels,
        tensor(direction).T.contiguous(),
        tensor(alpha),
        pictures.rgb[pixels],
        tensor(depth) if any(v.depth is not None for v in views) else None,
        tensor(trust),
        tensor(normal).T.contiguous() if any(v.normals is not None for v in views) else None,
        pictures,
    )
