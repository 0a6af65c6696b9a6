"""Candidates for samples by nerfacc's occupancy grid: the CUDA way of skipping empty space."""

from __future__ import annotations

import torch.nn.functional as nn
from torch import Tensor

from img2mesh.field.grid import length
from img2mesh.field.rays import Rays
from img2mesh.field.sampling import select
from img2mesh.geometry.grid import Grid


def place_by_occupancy(
    field: Tensor, box: Grid, rays: Rays, near: float, behind: float, jitter: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """As the marching of :mod:`img2mesh.field.sampling`, for one chunk of rays on a CUDA device."""
    import nerfacc

    low = [float(x) for x in box.origin]
    high = [x + box.voxel * (n - 1) for x, n in zip(low, box.shape, strict=True)]
    cells = [n - 1 for n in box.shape]
    grid = nerfacc.OccGridEstimator(roi_aabb=low + high, resolution=cells).to(field.device)
    grid.binaries = occupied(field, near)[None]
    slope = length(rays.direction)
    ray, start, _ = grid.sampling(
        rays.pictures.origin[rays.view].contiguous(),
        (rays.direction / slope).T.contiguous(),
        render_step_size=box.voxel,
        t_min=jitter * box.voxel,
    )
    ray = ray.long()
    fine = (start / box.voxel - jitter[ray]).round().long()
    return select(field, box, rays, ray, fine, start / slope[ray], near, behind)


def occupied(field: Tensor, near: float) -> Tensor:
    """(nx - 1, ny - 1, nz - 1) bool: cells in which the trilinear field can be below ``near``."""
    least = -nn.max_pool3d(-field[None, None], 2, 1)[0, 0]
    return least < near
