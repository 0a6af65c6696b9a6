"""What keeps a distilled field in order: the regularisers of the published recipes.

Zero-1-to-3's three (input view, depth smoothness, near view) and its emptiness, threestudio's
sparsity and opacity, and the mean difference of neighbouring densities that our own density fit
takes (:mod:`img2mesh.field.density`).
"""

from __future__ import annotations

import torch
from torch import Tensor


def depth_smoothness(depth: Tensor) -> Tensor:
    """Half the mean absolute differences along both axes of a depth picture (h, w)."""
    return ((depth[:, 1:] - depth[:, :-1]).abs().mean() + depth.diff(dim=0).abs().mean()) / 2


def near_view(picture: Tensor, near: Tensor, depth: Tensor, near_depth: Tensor) -> Tensor:
    """Mean absolute difference of two renders from almost the same place, and of their depths."""
    return (picture - near).abs().mean() + (depth - near_depth).abs().mean()


def emptiness(weights: Tensor, *, share: float = 0.0, scale: float = 10.0) -> Tensor:
    """Mean of ``-w log(1 + scale w) / 2`` over sample weights, times 1 + 20 x the share done."""
    return (-0.5 * weights * torch.log(1 + scale * weights)).mean() * (1 + 20 * share)


def sparsity(opacity: Tensor) -> Tensor:
    """Mean ``sqrt(o^2 + .01)``: pixels had better see nothing."""
    return (opacity.square() + 0.01).sqrt().mean()


def opaque(opacity: Tensor) -> Tensor:
    """Binary cross-entropy of the opacity with itself: pixels had better decide."""
    o = opacity.clamp(1e-3, 1 - 1e-3)
    return -(o * o.log() + (1 - o) * (1 - o).log()).mean()


def roughness(absorbed: Tensor) -> Tensor:
    """Mean absolute difference of neighbouring densities (n, n, n), summed over the axes."""
    return torch.stack([absorbed.diff(dim=axis).abs().mean() for axis in range(3)]).sum()
