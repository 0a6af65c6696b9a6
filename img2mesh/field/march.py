"""Sampling the field along rays by marching.

Each ray is first probed coarsely; where the distance says that the surface may be near, it is
probed on a lattice of one voxel. Samples in the shell around the first surface are kept: 8 to 16 a
ray. The crossings are the depth maps of the current shape.
"""

from __future__ import annotations

import torch
from torch import Tensor

from img2mesh.field.grid import Sdf, length
from img2mesh.field.occupancy import march_by_occupancy
from img2mesh.field.parallel import each
from img2mesh.field.rays import Rays
from img2mesh.field.samples import Samples, Shell, clip_to_grid, select
from img2mesh.field.volume_rendering import has_packed_rendering

#: Lattice steps between two coarse probes.
_STRIDE = 4
#: How much faster than one unit a unit the field may change between a probe and a sample.
_LIPSCHITZ = 1.25
#: Rays probed at once: bounds the memory of the coarse probe (rays x about 60 probes).
_CHUNK = 16384


def place_samples(sdf: Sdf, rays: Rays, shell: Shell, jitter: Tensor | None = None) -> Samples:
    """March all rays through the field.

    Args:
        sdf: the surface.
        rays: (r,) rays.
        shell: which samples are kept.
        jitter: (r,) in [0, 1): shifts each ray's lattice by that part of a step, so that the
            lattices of neighbouring rays do not line up into visible steps. None shifts none.
    """
    march = march_by_occupancy if sdf.values.is_cuda and has_packed_rendering() else _march
    shift = torch.zeros(len(rays), device=sdf.device) if jitter is None else jitter
    parts = each(
        lambda chunk: march(sdf, rays.take(chunk), shell, shift[chunk]),
        torch.split(torch.arange(len(rays), device=sdf.device), _CHUNK),
        sdf.device,
    )
    depth, count, surface = (torch.cat(part) for part in zip(*parts, strict=True))
    start = torch.zeros(len(rays) + 1, dtype=torch.int64, device=sdf.device)
    torch.cumsum(count, 0, out=start[1:])
    ray = torch.repeat_interleave(torch.arange(len(rays), device=sdf.device), count)
    return Samples(ray, depth, start, surface)


def _march(sdf: Sdf, rays: Rays, shell: Shell, jitter: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """One chunk: sample depths (packed), samples a ray, depth of the first crossing."""
    enter, leave = clip_to_grid(sdf.grid, rays)
    step = sdf.voxel / length(rays.direction)  # lattice spacing in z-depth
    first = enter + (jitter - 1) * step
    probes = int(((leave - first) / (step * _STRIDE)).clamp(min=0).max().ceil()) + 1
    probe = torch.arange(probes, device=sdf.device) * _STRIDE + (_STRIDE - 1) / 2
    depth = first[:, None] + step[:, None] * probe  # (r, probes)
    value = _nearest(sdf, rays, depth)
    # Half a stride away from the probe, plus half a cell's diagonal for taking the nearest point.
    slack = _LIPSCHITZ * sdf.voxel * (_STRIDE / 2 + 0.87)
    wanted = (value < shell.near + slack) & (depth - 2 * step[:, None] < leave[:, None])
    # Everything behind a probe that is surely inside by more than the window is hidden.
    deep = (value < -(shell.behind + slack)).long().cumsum(1)
    ray, probe = torch.nonzero(wanted & (deep <= 1), as_tuple=True)

    number = (probe[:, None] * _STRIDE + torch.arange(_STRIDE, device=sdf.device)).reshape(-1)
    ray = ray.repeat_interleave(_STRIDE)
    depth = first[ray] + number * step[ray]
    keep = (depth >= enter[ray]) & (depth <= leave[ray])
    return select(sdf, rays, shell, ray[keep], number[keep], depth[keep])


def _nearest(sdf: Sdf, rays: Rays, depth: Tensor) -> Tensor:
    """Distance at the grid point nearest to each (r, k) probe."""
    grid = sdf.grid
    flat = torch.zeros(depth.shape, dtype=torch.int64, device=sdf.device)
    for axis in range(3):
        p = depth * (rays.direction[axis] / grid.voxel)[:, None]
        p += ((rays.origin[axis] - float(grid.origin[axis])) / grid.voxel + 0.5)[:, None]
        flat *= grid.shape[axis]
        flat += p.clamp_(0, grid.shape[axis] - 0.5).long()
    return sdf.values.reshape(-1).index_select(0, flat.reshape(-1)).reshape(depth.shape)
