"""Which pixels are fitted, and their rays, for all views together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from img2mesh.core.arrays import F32
from img2mesh.field.gather import pick
from img2mesh.field.pictures import Observation, comparable_colours
from img2mesh.geometry.silhouettes import Silhouette

#: Background pixels further than this from the outline say nothing the hull does not say.
RIM_PX = 6.0


@dataclass(frozen=True)
class Pictures:
    """All views as flat arrays, for look-ups of any mix of views at once.

    Attributes:
        rgb: (3, p) float32 pixels of all views, one after the other, row by row.
        sizes: width and height of each view.
        start, width, height: (v,) int32 index of each view's first pixel, and its size again.
        rotation, shift: (3, v, 3) and (3, v) float32: camera = rotation world + shift.
        focal, centre: (2, v) float32, pixels.
        origin: (3, v) float32 camera centres.
        mask_weight: (v,) float32 how much each view's outline counts.
    """

    rgb: Tensor
    sizes: tuple[tuple[int, int], ...]
    start: Tensor
    width: Tensor
    height: Tensor
    rotation: Tensor
    shift: Tensor
    focal: Tensor
    centre: Tensor
    origin: Tensor
    mask_weight: Tensor

    def __len__(self) -> int:
        return len(self.sizes)

    @property
    def count(self) -> int:
        """Number of pixels p."""
        return self.rgb.shape[1]


@dataclass(frozen=True)
class Rays:
    """Rays through pixels, and what is observed there.

    Attributes:
        view: (r,) int64.
        pixel: (r,) int64 index into the flat pictures.
        direction: (3, r) float32 of unit z-depth.
        alpha: (r,) float32.
        rgb: (3, r) float32 of the blurred picture.
        depth: (r,) float32 known z-depth, NaN where unknown; or None.
        confidence: (r,) float32 in [0, 1] of that depth.
        normal: (3, r) float32 known world normal, 0 where unknown; or None.
        pictures: the views.
    """

    view: Tensor
    pixel: Tensor
    direction: Tensor
    alpha: Tensor
    rgb: Tensor
    depth: Tensor | None
    confidence: Tensor
    normal: Tensor | None
    pictures: Pictures

    def __len__(self) -> int:
        return len(self.view)

    @cached_property
    def origin(self) -> Tensor:
        """(3, r) camera centres."""
        return self.pictures.origin.index_select(1, self.view)

    def points(self, depth: Tensor, ray: Tensor | None = None) -> Tensor:
        """(3, n) world points at z-depths (n,) along the rays (n,), or along every ray."""
        if ray is None:
            return self.origin + depth * self.direction
        origin, direction = pick(ray, self.origin, self.direction)
        return origin + depth * direction

    def as_map(self, values: Tensor, missing: float) -> Tensor:
        """(p,) values (r,) of the rays at their pixels, ``missing`` elsewhere."""
        out = torch.full((self.pictures.count,), missing, device=values.device)
        return out.index_copy_(0, self.pixel, values)

    def take(self, index: Tensor) -> Rays:
        """Some of the rays, in the order of ``index``."""
        return self._each(lambda values: values.index_select(values.dim() - 1, index))

    def slice(self, begin: int, end: int) -> Rays:
        """The rays from one number up to another, without copying."""
        return self._each(lambda values: values[..., begin:end])

    def _each(self, part: Callable[[Tensor], Tensor]) -> Rays:
        return Rays(
            part(self.view),
            part(self.pixel),
            part(self.direction),
            part(self.alpha),
            part(self.rgb),
            None if self.depth is None else part(self.depth),
            part(self.confidence),
            None if self.normal is None else part(self.normal),
            self.pictures,
        )


def flatten_pictures(
    observations: Sequence[Observation], *, blur_px: float, device: torch.device
) -> Pictures:
    """Blurred, background-free pictures and their cameras."""
    rgb = [comparable_colours(o.view, blur_px).reshape(-1, 3) for o in observations]
    cameras = [o.camera for o in observations]
    sizes = np.array([len(p) for p in rgb])

    def tensor(values: object, dtype: torch.dtype = torch.float32) -> Tensor:
        return torch.as_tensor(np.asarray(values), dtype=dtype, device=device)

    return Pictures(
        tensor(np.concatenate(rgb)).T.contiguous(),
        tuple((c.width, c.height) for c in cameras),
        tensor(np.cumsum(sizes) - sizes, torch.int32),
        tensor([c.width for c in cameras], torch.int32),
        tensor([c.height for c in cameras], torch.int32),
        tensor(np.stack([c.camera_from_world[:3, :3] for c in cameras], 1)),
        tensor(np.stack([c.camera_from_world[:3, 3] for c in cameras], 1)),
        tensor([[c.fx for c in cameras], [c.fy for c in cameras]]),
        tensor([[c.cx for c in cameras], [c.cy for c in cameras]]),
        tensor(np.stack([c.origin for c in cameras], 1)),
        tensor([o.mask_weight for o in observations]),
    )


def make_rays(
    observations: Sequence[Observation],
    silhouettes: Sequence[Silhouette],
    *,
    stride: int,
    blur_px: float,
    device: torch.device,
) -> Rays:
    """Rays through the used pixels: inside the masks or within :data:`RIM_PX` of them.

    Args:
        observations: the pictures.
        silhouettes: their contour distances, in the same order.
        stride: every how many-th pixel along both axes.
        blur_px: blur of the compared colours.
        device: where the tensors live.
    """
    pictures = flatten_pictures(observations, blur_px=blur_px, device=device)
    index, pixel, direction, alpha, depth, confidence, normal = [], [], [], [], [], [], []
    first = 0
    for k, (seen, silhouette) in enumerate(zip(observations, silhouettes, strict=True)):
        used = np.zeros(silhouette.distance.shape, bool)
        used[::stride, ::stride] = silhouette.distance[::stride, ::stride] < RIM_PX
        flat = np.flatnonzero(used)
        unknown: F32 = np.full(len(flat), np.nan, np.float32)
        index.append(np.full(len(flat), k))
        pixel.append(flat + first)
        first += used.size
        direction.append(seen.camera.directions().reshape(-1, 3)[flat].astype(np.float32))
        alpha.append(seen.view.alpha.reshape(-1)[flat])
        depth.append(_at(seen.depth, flat, unknown))
        confidence.append(_at(seen.confidence, flat, np.ones_like(unknown)))
        normal.append(_at(seen.normals, flat, np.zeros((len(flat), 3), np.float32)))
    pixels = torch.as_tensor(np.concatenate(pixel), device=device)

    def tensor(parts: list[F32]) -> Tensor:
        return torch.as_tensor(np.concatenate(parts), dtype=torch.float32, device=device)

    return Rays(
        torch.as_tensor(np.concatenate(index), dtype=torch.int64, device=device),
        pixels,
        tensor(direction).T.contiguous(),
        tensor(alpha),
        pictures.rgb.index_select(1, pixels),
        tensor(depth) if any(o.depth is not None for o in observations) else None,
        tensor(confidence),
        tensor(normal).T.contiguous() if any(o.normals is not None for o in observations) else None,
        pictures,
    )


def _at(picture: F32 | None, flat: NDArray[np.int64], missing: F32) -> F32:
    """(n, ...) what a picture (h, w, ...) shows at flat pixels (n,)."""
    return missing if picture is None else picture.reshape(-1, *picture.shape[2:])[flat]
