"""Picking elements: what the boolean and list indices of torch do, several times faster on CPUs.

``x[index]`` goes through a general iterator (four times the time of ``index_select``), and
``x[mask]`` finds the true places anew for every x.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def places(mask: Tensor) -> Tensor:
    """(n,) int64 flat indices of what is true in a mask of any shape, ascending."""
    if mask.device.type == "cpu":  # a seventh of the time of torch.nonzero
        return torch.from_numpy(np.flatnonzero(mask.numpy()))
    return torch.nonzero(mask.reshape(-1)).reshape(-1)


def pick(index: Tensor, *values: Tensor) -> tuple[Tensor, ...]:
    """The elements (n,) of several tensors by their last axis: (m,) or (3, m) to (n,) or (3, n)."""
    return tuple(v.index_select(v.dim() - 1, index) for v in values)


def firsts(run: Tensor) -> Tensor:
    """(n,) bool: where a run of equal numbers begins in an ascending list (n,)."""
    new = torch.ones_like(run, dtype=torch.bool)
    torch.ne(run[1:], run[:-1], out=new[1:])
    return new
