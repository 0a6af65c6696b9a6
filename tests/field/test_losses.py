"""The smoothness of the grid, and the optimiser's step."""

from __future__ import annotations

import numpy as np
import torch

from img2mesh.field.grid import Sdf, blur, fourth_difference, second_difference
from img2mesh.field.losses import curvature_gradient
from img2mesh.field.optimizer import MomentumStep
from img2mesh.geometry.grid import Grid
from tests.field.balls import GRID, ball


def test_curvature_gradient_matches_autograd() -> None:
    field = torch.randn(9, 8, 7, generator=torch.Generator().manual_seed(2)).requires_grad_()
    band = (torch.rand(9, 8, 7, generator=torch.Generator().manual_seed(3)) > 0.4).float()
    grid, loss = Grid(np.zeros(3), 0.3, (9, 8, 7)), torch.zeros(())
    for axis in range(3):
        n = field.shape[axis]
        bend = second_difference(field, axis) / grid.voxel
        loss = loss + (bend.square() * band.narrow(axis, 1, n - 2)).sum() / band.sum()
    (wanted,) = torch.autograd.grad(loss, field)
    assert torch.allclose(curvature_gradient(Sdf(field.detach(), grid), band), wanted, atol=1e-4)


def test_fourth_difference_ignores_cubics_and_damps_the_voxel_pitch() -> None:
    x = torch.arange(10.0)[:, None, None].expand(10, 10, 10)
    assert float(fourth_difference(0.1 * x**3 - x).abs().max()) < 1e-3
    zigzag = (-1.0) ** x
    inner = (slice(2, -2),) * 3
    assert torch.allclose(fourth_difference(zigzag)[inner], 16 * zigzag[inner])


def test_momentum_step_is_scale_free_smooth_and_bounded() -> None:
    field = ball(0.6).values
    band = (field.abs() < 3 * GRID.voxel).float()
    gradient = torch.randn(field.shape, generator=torch.Generator().manual_seed(1)) + 1.0
    moves = []
    for factor in (1.0, 1e4):
        changed = field.clone()
        optimizer, sdf = MomentumStep(torch.zeros_like(field)), Sdf(changed, GRID)
        for _ in range(30):
            optimizer.step(sdf, gradient * factor, band, blur_voxels=2.0, length=0.1)
        moves.append(changed - field)
    assert torch.allclose(moves[0], moves[1], atol=1e-5)
    assert float(moves[0][24, 24, 24]) < 0  # downhill
    assert float((moves[0] - blur(moves[0], 1.0)).abs().max()) < 0.2 * float(moves[0].abs().max())
    spike = torch.zeros_like(field)
    spike[24, 24, 24] = 1e6
    one = field.clone()
    optimizer = MomentumStep(torch.zeros_like(field))
    optimizer.step(Sdf(one, GRID), spike, torch.ones_like(band), blur_voxels=0.0, length=9.0)
    assert float((one - field).abs().max()) < 0.8 * GRID.voxel
