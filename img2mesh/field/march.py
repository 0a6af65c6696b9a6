"""Sampling the field along rays by marching.

Each ray is first probed coarsely; where the distance says that the surface may be near, it is
probed on a lattice of one voxel, first at the nearest grid point, then properly where that is not
clearly too far out or too deep. Samples in the shell around the first surface are kept: 8 to 16 a
ray. The crossings are the depth maps of the current shape.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from img2mesh.field.gather import firsts, pick, places
from img2mesh.field.grid import Sdf, length
from img2mesh.field.parallel import each, split
from img2mesh.field.rays import Rays
from img2mesh.field.samples import Samples, Shell, clip_to_grid, select

#: Lattice steps between two coarse probes.
_STRIDE = 4
#: How much faster than one unit a unit the field may change between a probe and a sample.
_LIPSCHITZ = 1.25
#: Half a cell's diagonal, voxels: how far the nearest grid point may be.
_NEAREST = 0.87
#: Coarse probes a ray, about.
_PROBES = 50


#: What marches rays (r,) whose lattices are shifted by parts (r,) of a step: depths of the samples
#: (packed), samples a ray, depths of the first crossings.
March = Callable[[Sdf, Rays, Shell, Tensor], tuple[Tensor, Tensor, Tensor]]


def place_samples(
    sdf: Sdf,
    rays: Rays,
    shell: Shell,
    jitter: Tensor | None = None,
    march: March | None = None,
) -> Samples:
    """March all rays through the field.

    Args:
        sdf: the surface.
        rays: (r,) rays.
        shell: which samples are kept.
        jitter: (r,) in [0, 1): shifts each ray's lattice by that part of a step, so that the
            lattices of neighbouring rays do not line up into visible steps. None shifts none.
        march: another way to march all rays; None takes the one below.
    """
    shift = torch.zeros(len(rays), device=sdf.device) if jitter is None else jitter
    if march is not None:
        return Samples.pack(*march(sdf, rays, shell, shift))
    parts = each(
        lambda part: _march(sdf, rays.slice(*part), shell, shift[slice(*part)]),
        split(len(rays), _PROBES, sdf.device),
        sdf.device,
    )
    return Samples.pack(*(torch.cat(part) for part in zip(*parts, strict=True)))


def _march(sdf: Sdf, rays: Rays, shell: Shell, jitter: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """One chunk: sample depths (packed), samples a ray, depth of the first crossing."""
    enter, leave = clip_to_grid(sdf.grid, rays)
    step = sdf.voxel / length(rays.direction)  # lattice spacing in z-depth
    first = enter + (jitter - 1) * step
    probes = int(((leave - first) / (step * _STRIDE)).clamp(min=0).max().ceil()) + 1
    probe = torch.arange(probes, device=sdf.device) * _STRIDE + (_STRIDE - 1) / 2
    depth = first[:, None] + step[:, None] * probe  # (r, probes)
    value = _nearest(sdf, rays.origin, rays.direction, depth)
    # Half a stride away from the probe, plus half a cell's diagonal for taking the nearest point.
    slack = _LIPSCHITZ * sdf.voxel * (_STRIDE / 2 + _NEAREST)
    wanted = (value < shell.near + slack) & (depth - 2 * step[:, None] < leave[:, None])
    # Everything behind a probe that is surely inside by more than the window is hidden.
    deep = (value < -(shell.behind + slack)).long().cumsum(1)
    found = places(wanted & (deep <= 1))

    ray, fine = found // probes, torch.arange(_STRIDE, device=sdf.device)
    number = (found % probes)[:, None] * _STRIDE + fine  # (m, stride)
    origin, direction, begin, width = pick(ray, rays.origin, rays.direction, first, step)
    depth = begin[:, None] + number * width[:, None]
    value = _nearest(sdf, origin, direction, depth)
    slack = _LIPSCHITZ * sdf.voxel * _NEAREST
    last = torch.minimum(leave, _inside_for_sure(ray, depth, value < -slack, len(rays)))
    enter, last = pick(ray, enter, last + (shell.behind / sdf.voxel) * step)
    near = (value < shell.near + slack) & (depth >= enter[:, None]) & (depth <= last[:, None])
    kept = places(near)
    number, depth = pick(kept, number.reshape(-1), depth.reshape(-1))
    return select(sdf, rays, shell, ray.index_select(0, kept // _STRIDE), number, depth)


def _inside_for_sure(ray: Tensor, depth: Tensor, inside: Tensor, rays: int) -> Tensor:
    """(rays,) depth of the first candidate (m, k) of each ray that is inside, inf where none is."""
    out = torch.full((rays,), float("inf"), device=depth.device)
    found = places(inside)
    if not len(found):
        return out
    of = ray.index_select(0, found // depth.shape[1])
    first = places(firsts(of))
    (of,) = pick(first, of)
    return out.index_copy_(0, of, depth.reshape(-1).index_select(0, found.index_select(0, first)))


def _nearest(sdf: Sdf, origin: Tensor, direction: Tensor, depth: Tensor) -> Tensor:
    """Distance at the grid point nearest to each (r, k) probe of rays (3, r)."""
    grid = sdf.grid
    flat = torch.zeros(depth.shape, dtype=torch.int32, device=sdf.device)
    for axis in range(3):
        p = depth * (direction[axis] / grid.voxel)[:, None]
        p += ((origin[axis] - float(grid.origin[axis])) / grid.voxel + 0.5)[:, None]
        flat *= grid.shape[axis]
        flat += p.clamp_(0, grid.shape[axis] - 0.5).int()
    return sdf.values.reshape(-1).index_select(0, flat.reshape(-1)).reshape(depth.shape)
