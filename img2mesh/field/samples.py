"""Samples along rays: only in a thin shell around the first surface, packed ray after ray."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from img2mesh.field.gather import firsts, pick, places
from img2mesh.field.grid import Sdf, length
from img2mesh.field.rays import Rays
from img2mesh.geometry.grid import Grid


@dataclass(frozen=True)
class Samples:
    """Samples of rays.

    Attributes:
        ray: (n,) int64 index of the ray, ascending.
        depth: (n,) float32 z-depth along it, ascending within a ray.
        start: (r + 1,) int64 first sample of each ray.
        surface: (r,) float32 z-depth of the first crossing, inf where there is none.
    """

    ray: Tensor
    depth: Tensor
    start: Tensor
    surface: Tensor

    @classmethod
    def pack(cls, depth: Tensor, count: Tensor, surface: Tensor) -> Samples:
        """From the depths (n,) ray after ray and the number of samples of each ray (r,)."""
        start = torch.zeros(len(count) + 1, dtype=torch.int64, device=count.device)
        torch.cumsum(count, 0, out=start[1:])
        ray = torch.repeat_interleave(
            torch.arange(len(count), device=count.device), count, output_size=len(depth)
        )
        return cls(ray, depth, start, surface)

    def part(self, begin: int, end: int, first: int, last: int) -> Samples:
        """Of the rays from ``begin`` to ``end``, whose samples go from ``first`` to ``last``."""
        return Samples(
            self.ray[first:last] - begin,
            self.depth[first:last],
            self.start[begin : end + 1] - first,
            self.surface[begin:end],
        )

    def compact(self) -> tuple[Tensor, Samples]:
        """Leave out rays with fewer than two samples: the indices of the others, their samples."""
        count = self.start[1:] - self.start[:-1]
        used = places(count >= 2)
        (kept,) = pick(self.ray, count)
        (depth,) = pick(places(kept >= 2), self.depth)
        return used, Samples.pack(depth, *pick(used, count, self.surface))


@dataclass(frozen=True)
class Shell:
    """Where along a ray samples are kept, world units.

    Attributes:
        near: where the signed distance is below this ...
        behind: ... up to this far behind the first crossing.
    """

    near: float
    behind: float


def select(
    sdf: Sdf, rays: Rays, shell: Shell, ray: Tensor, number: Tensor, depth: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Keep the candidates that lie in the shell; also the depth of each ray's first crossing.

    Args:
        sdf: the surface.
        rays: (r,) rays.
        shell: what is kept.
        ray: (n,) int64 ray of each candidate, ascending.
        number: (n,) int64 which step of the ray's lattice it is, ascending within a ray.
        depth: (n,) its z-depth.

    Returns:
        Depths of the samples (packed), samples a ray (r,), crossings (r,).
    """
    step = sdf.voxel / length(rays.direction)
    value = sdf.at(rays.points(depth, ray))
    ray, number, depth, value = pick(places(value < shell.near), ray, number, depth, value)
    surface = _first_crossing(ray, number, depth, value, step)
    (last,) = pick(ray, surface + (shell.behind / sdf.voxel) * step)
    ray, depth = pick(places(depth <= last), ray, depth)
    return depth, torch.bincount(ray, minlength=len(rays)), surface


def _first_crossing(
    ray: Tensor, number: Tensor, depth: Tensor, value: Tensor, step: Tensor
) -> Tensor:
    """(r,) depth of the first sample inside, moved back to where the line crosses zero."""
    surface = torch.full_like(step, float("inf"))
    inside = places(value < 0)
    if not len(inside):
        return surface
    # Samples ascend along each ray: the first inside one of a ray follows a change of the ray.
    (of,) = pick(inside, ray)
    (at,) = pick(places(firsts(of)), inside)
    before = (at - 1).clamp(min=0)
    ray_before, number_before, value_before = pick(before, ray, number, value)
    of, number, depth, value = pick(at, ray, number, depth, value)
    joined = (ray_before == of) & (number_before == number - 1) & (before != at)
    back = torch.where(joined, value / (value - value_before).clamp(max=-1e-9), 0.0)
    surface[of] = depth - back.clamp(0, 1) * step.index_select(0, of)
    return surface


def clip_to_grid(grid: Grid, rays: Rays) -> tuple[Tensor, Tensor]:
    """(r,) z-depths at which rays enter and leave a grid; leave < enter where they miss it."""
    origin, direction = rays.origin, rays.direction
    low = torch.as_tensor(grid.origin, dtype=torch.float32, device=origin.device)[:, None]
    size = [grid.voxel * (n - 1) for n in grid.shape]
    high = low + torch.tensor(size, dtype=torch.float32, device=origin.device)[:, None]
    safe = torch.where(direction.abs() < 1e-9, torch.full_like(direction, 1e-9), direction)
    a, b = (low - origin) / safe, (high - origin) / safe
    enter = torch.minimum(a, b).amax(0).clamp(min=0)
    return enter, torch.maximum(a, b).amin(0)
