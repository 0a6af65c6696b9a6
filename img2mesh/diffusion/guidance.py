"""Classifier-free guidance (Ho and Salimans 2022, arXiv 2207.12598)."""

from __future__ import annotations

import torch


def is_guided(scale: float) -> bool:
    """Whether a guidance scale needs the negative branch at all: only above 1."""
    return scale > 1.0


def double(x: torch.Tensor, guided: bool) -> torch.Tensor:
    """Rows for both branches, [negative, positive] along the batch, or ``x`` as it is."""
    return torch.cat([x, x]) if guided else x


def guide(output: torch.Tensor, scale: float) -> torch.Tensor:
    """Combine the branches: ``negative + scale * (positive - negative)``.

    Args:
        output: (2n, ...) rows [negative x n, positive x n] when the scale guides, else (n, ...).

    Returns:
        (n, ...).
    """
    if not is_guided(scale):
        return output
    negative, positive = output.chunk(2)
    return negative + scale * (positive - negative)
