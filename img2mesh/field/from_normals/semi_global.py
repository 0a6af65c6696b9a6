"""Semi-global aggregation: piecewise constant labels by dynamic programming along rows and columns.

Hirschmueller 2008, over labels that are offsets to a surface integrated from normals: on one smooth
patch the right label is constant however the patch is curved (Scharstein et al. 2017, "Surface
normal priors"), and where the integration saw a jump the label may change for nothing.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from img2mesh.core.arrays import F64
from img2mesh.field.from_normals.integration import PixelGrid

#: Cost of a label that moves by one step, and of any other change: on smooth surface, and across
#: a jump. Data costs lie in [0, 1].
_STEP, _CHANGE, _JUMP = 0.15, 0.8, 0.02


def aggregate(cost: Tensor, pixels: PixelGrid, weight: F64) -> Tensor:
    """Sum of the four best paths that reach each pixel with each label.

    Args:
        cost: (n, k) cost of every label at every pixel.
        pixels: (n,) where they are.
        weight: (4, n) of each pixel's plane towards its neighbours, 1/2 on smooth surface.
    """
    height, width = pixels.where.shape
    flat = torch.as_tensor(pixels.flat, device=cost.device)
    volume = torch.zeros((height * width, cost.shape[1]), device=cost.device)
    volume[flat] = cost
    volume = volume.reshape(height, width, -1)
    used = torch.as_tensor(pixels.where, device=cost.device)
    right, left, below, above = (
        torch.as_tensor(pixels.picture(side, 0.0), dtype=torch.float32, device=cost.device)
        for side in _continuity(pixels, weight)
    )
    across, used_across = volume.transpose(0, 1).contiguous(), used.T.contiguous()
    total = -3 * volume
    total += _walk(volume, above, used)
    total += _walk(volume.flip(0), below.flip(0), used.flip(0)).flip(0)
    total += _walk(across, left.T, used_across).transpose(0, 1)
    total += _walk(across.flip(0), right.T.flip(0), used_across.flip(0)).flip(0).transpose(0, 1)
    return total.reshape(height * width, -1)[flat]


def _continuity(pixels: PixelGrid, weight: F64) -> F64:
    """(4, n) in [0, 1]: how surely a pixel and its neighbour lie on one smooth surface."""
    out = np.zeros_like(weight)
    for side, opposite in enumerate((1, 0, 3, 2)):
        other = pixels.beside[side]
        there = other >= 0
        mutual = np.minimum(weight[side][there], weight[opposite][other[there]])
        out[side][there] = np.clip(2 * mutual, 0, 1)
    return out


def _walk(cost: Tensor, smooth: Tensor, used: Tensor) -> Tensor:
    """Path costs (l, m, k) along the first axis; ``smooth`` (l, m) to the element before."""
    out = torch.empty_like(cost)
    before = torch.where(used[0][:, None], cost[0], 0.0)
    out[0] = before
    for i in range(1, len(cost)):
        least = before.amin(1, keepdim=True)
        best = torch.minimum(before, least + (_JUMP + (_CHANGE - _JUMP) * smooth[i])[:, None])
        best[:, 1:] = torch.minimum(best[:, 1:], before[:, :-1] + _STEP)
        best[:, :-1] = torch.minimum(best[:, :-1], before[:, 1:] + _STEP)
        best = torch.where((used[i] & used[i - 1])[:, None], best - least, 0.0)
        before = torch.where(used[i][:, None], cost[i] + best, 0.0)
        out[i] = before
    return out
