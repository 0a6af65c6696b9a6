"""Where along the rays the field is sampled: only in a thin shell around the first surface.

Each ray is first probed coarsely; where the distance says that the surface may be near, it is
probed on a lattice of one voxel. Samples nearer than a threshold are kept, up to a little behind
the first crossing: 8 to 16 a ray. The crossings are the depth maps of the current shape.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from img2mesh.field.grid import Cells, length, locate, look_up
from img2mesh.field.parallel import each
from img2mesh.field.rays import Rays
from img2mesh.field.rendering import has_packed_rendering
from img2mesh.geometry.grid import Grid

#: Lattice steps between two coarse probes.
_LEAP = 4
#: How much faster than one unit a unit the field may change between a probe and a sample.
_LIPSCHITZ = 1.25
#: Rays probed at once: bounds the memory of the coarse probe (rays x about 60 probes).
_CHUNK = 16384


@dataclass(frozen=True)
class Samples:
    """Samples of rays, packed ray after ray.

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

    def compact(self) -> tuple[Tensor, Samples]:
        """Leave out rays with fewer than two samples: the indices of the others, their samples."""
        count = self.start[1:] - self.start[:-1]
        used = torch.nonzero(count >= 2).reshape(-1)
        number = torch.full_like(count, -1)
        number[used] = torch.arange(len(used), device=used.device)
        ray = number[self.ray]
        kept = ray >= 0
        start = torch.zeros(len(used) + 1, dtype=torch.int64, device=used.device)
        torch.cumsum(count[used], 0, out=start[1:])
        return used, Samples(ray[kept], self.depth[kept], start, self.surface[used])


def place_samples(
    field: Tensor, box: Grid, rays: Rays, *, near: float, behind: float, jitter: Tensor
) -> Samples:
    """March all rays through the field.

    Args:
        field: (nx, ny, nz) signed distances.
        box: the field's grid.
        rays: (r,) rays.
        near: samples with a distance below this are kept, world units.
        behind: how far behind the first crossing, world units.
        jitter: (r,) in [0, 1): shifts each ray's lattice by that part of a step, so that the
            lattices of neighbouring rays do not line up into visible steps.
    """
    place = _place
    if field.is_cuda and has_packed_rendering():
        from img2mesh.field.occupancy import place_by_occupancy

        place = place_by_occupancy
    parts = each(
        lambda chunk: place(field, box, rays.take(chunk), near, behind, jitter[chunk]),
        torch.split(torch.arange(len(rays), device=field.device), _CHUNK),
        field.device,
    )
    count = torch.cat([p[1] for p in parts])
    start = torch.zeros(len(rays) + 1, dtype=torch.int64, device=field.device)
    torch.cumsum(count, 0, out=start[1:])
    ray = torch.repeat_interleave(torch.arange(len(rays), device=field.device), count)
    return Samples(ray, torch.cat([p[0] for p in parts]), start, torch.cat([p[2] for p in parts]))


def _place(
    field: Tensor, box: Grid, rays: Rays, near: float, behind: float, jitter: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """One chunk: sample depths (packed), samples a ray, depth of the first crossing."""
    origin = rays.pictures.origin.T[:, rays.view]  # (3, r)
    enter, leave = slab(box, origin, rays.direction)
    step = box.voxel / length(rays.direction)  # lattice spacing in z-depth
    first = enter + (jitter - 1) * step
    leaps = int(((leave - first) / (step * _LEAP)).clamp(min=0).max().ceil()) + 1
    probe = torch.arange(leaps, device=field.device) * _LEAP + (_LEAP - 1) / 2
    depth = first[:, None] + step[:, None] * probe  # (r, leaps)
    value = _nearest(field, box, origin, rays.direction, depth)
    # Half a leap away from the probe, plus half a cell's diagonal for taking the nearest point.
    reach = near + _LIPSCHITZ * box.voxel * (_LEAP / 2 + 0.87)
    wanted = (value < reach) & (depth - 2 * step[:, None] < leave[:, None])
    # Everything behind a probe that is surely inside by more than the window is hidden.
    deep = (value < -(behind + _LIPSCHITZ * box.voxel * (_LEAP / 2 + 0.87))).long().cumsum(1)
    ray, leap = torch.nonzero(wanted & (deep <= 1), as_tuple=True)

    fine = (leap[:, None] * _LEAP + torch.arange(_LEAP, device=field.device)).reshape(-1)
    ray = ray.repeat_interleave(_LEAP)
    depth = first[ray] + fine * step[ray]
    keep = (depth >= enter[ray]) & (depth <= leave[ray])
    return select(field, box, rays, ray[keep], fine[keep], depth[keep], near, behind)


def select(
    field: Tensor,
    box: Grid,
    rays: Rays,
    ray: Tensor,
    fine: Tensor,
    depth: Tensor,
    near: float,
    behind: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """Keep the candidates that lie in the shell; also the depth of each ray's first crossing.

    Args:
        field, box, rays, near, behind: as for :func:`place_samples`.
        ray: (n,) int64 ray of each candidate, ascending.
        fine: (n,) int64 its number on the ray's lattice, ascending within a ray.
        depth: (n,) its z-depth.

    Returns:
        Depths of the samples (packed), samples a ray (r,), crossings (r,).
    """
    step = box.voxel / length(rays.direction)
    origin = rays.pictures.origin.T[:, rays.view[ray]]
    value = look_up(field, locate(box, origin + depth * rays.direction[:, ray]))
    keep = value < near
    ray, fine, depth, value = ray[keep], fine[keep], depth[keep], value[keep]
    surface = _first_crossing(ray, fine, depth, value, step, len(rays))
    keep = depth <= surface[ray] + (behind / box.voxel) * step[ray]
    return depth[keep], torch.bincount(ray[keep], minlength=len(rays)), surface


def slab(box: Grid, origin: Tensor, direction: Tensor) -> tuple[Tensor, Tensor]:
    """z-depths at which rays enter and leave the box; leave < enter where they miss it."""
    low = torch.as_tensor(box.origin, dtype=torch.float32, device=origin.device)[:, None]
    size = [box.voxel * (n - 1) for n in box.shape]
    high = low + torch.tensor(size, dtype=torch.float32, device=origin.device)[:, None]
    safe = torch.where(direction.abs() < 1e-9, torch.full_like(direction, 1e-9), direction)
    a, b = (low - origin) / safe, (high - origin) / safe
    enter = torch.minimum(a, b).amax(0).clamp(min=0)
    return enter, torch.maximum(a, b).amin(0)


def _nearest(field: Tensor, box: Grid, origin: Tensor, direction: Tensor, depth: Tensor) -> Tensor:
    """Field at the grid point nearest to each (r, k) probe."""
    flat = torch.zeros(depth.shape, dtype=torch.int64, device=field.device)
    for axis in range(3):
        p = depth * (direction[axis] / box.voxel)[:, None]
        p += ((origin[axis] - float(box.origin[axis])) / box.voxel + 0.5)[:, None]
        flat *= box.shape[axis]
        flat += p.clamp_(0, box.shape[axis] - 0.5).long()
    return field.reshape(-1).index_select(0, flat.reshape(-1)).reshape(depth.shape)


def _first_crossing(
    ray: Tensor, fine: Tensor, depth: Tensor, value: Tensor, step: Tensor, n_rays: int
) -> Tensor:
    """(n_rays,) depth of the first sample inside, moved back to where the line crosses zero."""
    surface = torch.full((n_rays,), float("inf"), device=depth.device)
    inside = torch.nonzero(value < 0).reshape(-1)
    if not len(inside):
        return surface
    # Samples ascend along each ray: the first inside one of a ray follows a change of the ray.
    of = ray[inside]
    new = torch.ones_like(of, dtype=torch.bool)
    new[1:] = of[1:] != of[:-1]
    at = inside[new]
    before = (at - 1).clamp(min=0)
    joined = (ray[before] == ray[at]) & (fine[before] == fine[at] - 1) & (before != at)
    back = torch.where(joined, value[at] / (value[at] - value[before]).clamp(max=-1e-9), 0.0)
    surface[ray[at]] = depth[at] - back.clamp(0, 1) * step[ray[at]]
    return surface


def cells_of(samples_ray: Tensor, samples_depth: Tensor, rays: Rays, box: Grid) -> Cells:
    """Grid cells of some samples."""
    origin = rays.pictures.origin.T[:, rays.view[samples_ray]]
    return locate(box, origin + samples_depth * rays.direction[:, samples_ray])
