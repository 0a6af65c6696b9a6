"""The trilinear look-up, its gradients, blur and resampling, against slow and obvious versions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from img2mesh.field.grid import Sdf, blur, locate, look_up, look_up_with_gradient, resample
from img2mesh.geometry.grid import Grid

BOX = Grid(np.array([-1.0, 0.5, 2.0]), 0.25, (7, 6, 5))


@pytest.fixture
def field() -> Tensor:
    return torch.randn(BOX.shape, generator=torch.Generator().manual_seed(3))


@pytest.fixture
def points() -> Tensor:
    part = torch.rand(3, 200, generator=torch.Generator().manual_seed(4))
    size = BOX.voxel * (torch.tensor(BOX.shape) - 1)
    return torch.tensor(BOX.origin, dtype=torch.float32)[:, None] + part * size[:, None]


def oracle(field: Tensor, points: Tensor) -> Tensor:
    """One point, one corner at a time; differentiable in both."""
    out = []
    for p in ((points.T - torch.tensor(BOX.origin)) / BOX.voxel).float():
        base = [min(int(c), n - 2) for c, n in zip(p.tolist(), BOX.shape, strict=True)]
        value = torch.zeros(())
        for corner in np.ndindex(2, 2, 2):
            weight = torch.ones(())
            for axis in range(3):
                f = p[axis] - base[axis]
                weight = weight * (f if corner[axis] else 1 - f)
            i, j, k = (b + c for b, c in zip(base, corner, strict=True))
            value = value + weight * field[i, j, k]
        out.append(value)
    return torch.stack(out)


def test_values_and_spatial_gradients_match_the_oracle(field: Tensor, points: Tensor) -> None:
    points = points.requires_grad_()
    wanted = oracle(field, points)
    (slope,) = torch.autograd.grad(wanted.sum(), points)
    cells = locate(BOX, points.detach())
    value, gradient = look_up_with_gradient(field, cells)
    assert torch.allclose(value, wanted, atol=1e-5)
    assert torch.allclose(look_up(field, cells), wanted, atol=1e-5)
    assert torch.allclose(gradient, slope, atol=1e-4)


def test_backward_of_values_matches_autograd(field: Tensor, points: Tensor) -> None:
    upstream = torch.randn(points.shape[1], generator=torch.Generator().manual_seed(5))
    leaf = field.clone().requires_grad_()
    (wanted,) = torch.autograd.grad((oracle(leaf, points) * upstream).sum(), leaf)
    value, _ = look_up_with_gradient(leaf, locate(BOX, points))
    (got,) = torch.autograd.grad((value * upstream).sum(), leaf)
    assert torch.allclose(got, wanted, atol=1e-5)


def test_backward_of_gradients_matches_finite_differences(field: Tensor, points: Tensor) -> None:
    cells = locate(BOX, points)
    upstream = torch.randn(3, points.shape[1], generator=torch.Generator().manual_seed(6))
    leaf = field.clone().requires_grad_()
    _, gradient = look_up_with_gradient(leaf, cells)
    (got,) = torch.autograd.grad((gradient * upstream).sum(), leaf)
    direction = torch.randn(BOX.shape, generator=torch.Generator().manual_seed(7))
    # Linear in the grid, so a difference is exact for any step.
    ahead = (look_up_with_gradient(field + direction, cells)[1] * upstream).sum()
    here = (look_up_with_gradient(field, cells)[1] * upstream).sum()
    assert float((got * direction).sum()) == pytest.approx(float(ahead - here), rel=1e-3)


def test_points_outside_take_the_border(field: Tensor) -> None:
    far = torch.tensor([[-9.0], [0.5], [2.0]])
    assert float(look_up(field, locate(BOX, far))) == pytest.approx(float(field[0, 0, 0]))


def test_blur_keeps_constants_and_matches_scipy_inside() -> None:
    from scipy.ndimage import gaussian_filter

    assert torch.allclose(blur(torch.full((9, 8, 7), 2.5), 1.3), torch.tensor(2.5))
    spike = torch.zeros(31, 31, 31)
    spike[15, 15, 15] = 1.0
    wanted = gaussian_filter(spike.numpy(), 1.5, truncate=3.0)
    assert np.abs(blur(spike, 1.5).numpy() - wanted).max() < 1e-3 * wanted.max()


def test_resampling_a_linear_field_is_exact() -> None:
    coarse = Grid.around(np.array([-1.0, -0.5, -0.7]), np.ones(3), grid=12, margin=0.0)
    fine = coarse.refined(31)

    def linear(box: Grid) -> Tensor:
        p = torch.as_tensor(box.slab(0, box.shape[0]), dtype=torch.float32)
        return 2 * p[..., 0] - p[..., 1] + 0.5 * p[..., 2]

    got, wanted = resample(Sdf(linear(coarse), coarse), fine), linear(fine)
    inner = (slice(1, -1),) * 3  # the finer box may reach a little beyond the coarser one
    assert torch.allclose(got[inner], wanted[inner], atol=0.02)
