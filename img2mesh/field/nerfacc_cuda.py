"""nerfacc's CUDA extension, for those who choose it: its occupancy grid skips empty space.

Nothing here runs unless ``renderer`` is ``nerfacc``: the extension is compiled at its first use,
which takes minutes and, of nerfacc 0.5.3 in the C++20 that torch 2.13 asks for, fails.
"""

from __future__ import annotations

import contextlib
import shutil
import sys

import torch
import torch.nn.functional as nn
from torch import Tensor

from img2mesh.errors import InputError
from img2mesh.field.grid import Sdf, length
from img2mesh.field.rays import Rays
from img2mesh.field.samples import Shell, select


def require_extension() -> None:
    """Load nerfacc's CUDA extension, compiling it if this machine never did.

    Raises:
        InputError: it cannot be had here.
    """
    reason = "there is no CUDA compiler, nvcc, to build it with"
    try:
        # nerfacc reports on stdout, which belongs to --json.
        with contextlib.redirect_stdout(sys.stderr):
            from nerfacc.cuda import _backend
        if _backend._C is not None:
            return
        if shutil.which("nvcc"):
            reason = "nerfacc did not load it"
    except Exception as error:  # whatever a compiler and a loader may raise
        reason = f"building it failed ({str(error).strip().partition(chr(10))[0]})"
    raise InputError(
        f"renderer 'nerfacc' on a GPU needs nerfacc's CUDA extension, but {reason}: "
        "use renderer torch, whose numbers are the same"
    )


def march_by_occupancy(
    sdf: Sdf, rays: Rays, shell: Shell, jitter: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """As the marching of :mod:`img2mesh.field.march`, for all rays at once on a CUDA device."""
    from nerfacc import traverse_grids

    voxel = sdf.voxel
    low = [float(x) for x in sdf.grid.origin]
    high = [x + voxel * (n - 1) for x, n in zip(low, sdf.grid.shape, strict=True)]
    slope = length(rays.direction)
    intervals, samples, _ = traverse_grids(
        rays.origin.T.contiguous(),
        (rays.direction / slope).T.contiguous(),
        occupied(sdf.values, shell.near)[None],
        torch.tensor([low + high], device=sdf.device),
        near_planes=jitter * voxel,
        step_size=voxel,
    )
    ray, start = samples.ray_indices.long(), intervals.vals[intervals.is_left]
    number = (start / voxel - jitter.index_select(0, ray)).round().long()
    return select(sdf, rays, shell, ray, number, start / slope.index_select(0, ray))


def occupied(values: Tensor, near: float) -> Tensor:
    """(nx - 1, ny - 1, nz - 1) bool: cells in which the trilinear field can be below ``near``."""
    least = -nn.max_pool3d(-values[None, None], 2, 1)[0, 0]
    return least < near
