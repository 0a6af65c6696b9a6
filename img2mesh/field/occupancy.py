"""Candidates for samples by nerfacc's occupancy grid: the CUDA way of skipping empty space."""

from __future__ import annotations

import torch.nn.functional as nn
from torch import Tensor

from img2mesh.field.grid import Sdf, length
from img2mesh.field.rays import Rays
from img2mesh.field.samples import Shell, select


def march_by_occupancy(
    sdf: Sdf, rays: Rays, shell: Shell, jitter: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """As the marching of :mod:`img2mesh.field.march`, for one chunk of rays on a CUDA device."""
    import nerfacc

    voxel = sdf.voxel
    low = [float(x) for x in sdf.grid.origin]
    cells = [n - 1 for n in sdf.grid.shape]
    high = [x + voxel * n for x, n in zip(low, cells, strict=True)]
    grid = nerfacc.OccGridEstimator(roi_aabb=low + high, resolution=cells).to(sdf.device)
    grid.binaries = occupied(sdf.values, shell.near)[None]
    slope = length(rays.direction)
    ray, start, _ = grid.sampling(
        rays.origin.T.contiguous(),
        (rays.direction / slope).T.contiguous(),
        render_step_size=voxel,
        t_min=jitter * voxel,
    )
    ray = ray.long()
    number = (start / voxel - jitter[ray]).round().long()
    return select(sdf, rays, shell, ray, number, start / slope[ray])


def occupied(values: Tensor, near: float) -> Tensor:
    """(nx - 1, ny - 1, nz - 1) bool: cells in which the trilinear field can be below ``near``."""
    least = -nn.max_pool3d(-values[None, None], 2, 1)[0, 0]
    return least < near
