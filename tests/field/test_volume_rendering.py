"""Volume rendering: packed samples against nerfacc's dense tensors, and what opacity means."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from img2mesh.artifacts import ViewSet
from img2mesh.field.grid import locate, look_up
from img2mesh.field.samples import Samples
from img2mesh.field.volume_rendering import (
    FAR_OUTSIDE,
    Rendered,
    Renderer,
    crossing,
    opacity,
    render_dense,
    render_packed,
    render_weights,
)
from tests import shapes
from tests.field import scenes
from tests.field.balls import ball, march, rays_of


def packed(rays: int, seed: int) -> Samples:
    """Rays of two samples to nine."""
    count = torch.randint(2, 10, (rays,), generator=torch.Generator().manual_seed(seed))
    number = torch.arange(int(count.sum())) - (count.cumsum(0) - count).repeat_interleave(count)
    return Samples.pack(2.0 + 0.1 * number, count, torch.full((rays,), float("inf")))


def rendered(
    render: Renderer, value: Tensor, samples: Samples, scale: float
) -> tuple[Rendered, Tensor]:
    """What comes out, and the gradient of all of it in the distances."""
    leaf = value.clone().requires_grad_()
    out = render(leaf, samples, scale)
    seen = (out.opacity > 0.01).float()
    upstream = torch.rand(len(out.opacity), generator=torch.Generator().manual_seed(8))
    loss = (out.opacity * upstream).sum() + (out.depth * seen * upstream).sum()
    weighted = torch.rand(len(value), generator=torch.Generator().manual_seed(9))
    (gradient,) = torch.autograd.grad(loss + (out.weight * weighted).sum(), leaf)
    return out, gradient


def agree(value: Tensor, samples: Samples, scale: float) -> None:
    """nerfacc's dense tensors are the oracle."""
    (one, gradient), (two, wanted) = (
        rendered(render, value, samples, scale) for render in (render_packed, render_dense)
    )
    torch.testing.assert_close(one.weight, two.weight, rtol=0, atol=3e-7)
    torch.testing.assert_close(one.opacity, two.opacity, rtol=0, atol=5e-7)
    seen = two.opacity > 0.01
    assert seen.float().mean() > 0.3
    torch.testing.assert_close(one.depth[seen], two.depth[seen], rtol=3e-6, atol=0)
    assert float((gradient - wanted).abs().max()) < 1e-5 * float(wanted.abs().max())


def test_packed_samples_render_as_nerfaccs_dense_ones() -> None:
    samples = packed(40, 4)
    generator = torch.Generator().manual_seed(5)
    noise = torch.randn(len(samples.ray), generator=generator)
    agree(0.05 * noise - 0.2 * (samples.depth - 2.3), samples, 0.02)


@pytest.fixture(scope="module")
def views() -> ViewSet:
    return scenes.views_of(shapes.ball(), size=64)


@pytest.mark.parametrize("scale", [0.03, 0.003])
def test_so_do_those_of_a_surface_softer_and_sharper_than_the_grid(
    views: ViewSet, scale: float
) -> None:
    rays, sdf = rays_of(views), ball(0.8)
    used, samples = march(sdf, rays).compact()
    points = rays.take(used).points(samples.depth, samples.ray)
    agree(look_up(sdf.values, locate(sdf.grid, points)), samples, scale)


def test_weights_are_those_of_a_product_along_each_ray_with_its_gradient() -> None:
    samples = packed(30, 1)
    alpha = 0.9999 * torch.rand(len(samples.ray), generator=torch.Generator().manual_seed(2))
    upstream = torch.rand(len(alpha), generator=torch.Generator().manual_seed(3))
    results = []
    for weigh in (lambda a: render_weights(a, samples), lambda a: by_products(a, samples)):
        leaf = alpha.double().requires_grad_()
        weight = weigh(leaf)
        (gradient,) = torch.autograd.grad((weight * upstream).sum(), leaf)
        results.append((weight.detach().double(), gradient))
    torch.testing.assert_close(results[0][0], results[1][0], rtol=1e-6, atol=1e-9)
    torch.testing.assert_close(results[0][1], results[1][1], rtol=1e-6, atol=1e-6)


def by_products(alpha: Tensor, samples: Samples) -> Tensor:
    out = []
    for begin, end in zip(samples.start[:-1].tolist(), samples.start[1:].tolist(), strict=True):
        through = torch.cumprod(1 - alpha[begin:end], 0)
        out.append(alpha[begin:end] * torch.cat([torch.ones(1), through[:-1]]))
    return torch.cat(out)


def test_opacity_is_full_through_a_surface_none_outside_and_half_when_grazing() -> None:
    scale = 0.01
    through = opacity(torch.tensor([0.1]), torch.tensor([-0.1]), scale)
    outside = opacity(torch.tensor([0.3]), torch.tensor([0.2]), scale)
    leaving = opacity(torch.tensor([-0.1]), torch.tensor([0.1]), scale)
    padding = opacity(torch.tensor([0.0]), torch.tensor([FAR_OUTSIDE]), scale)
    grazing = opacity(torch.tensor([0.1]), torch.tensor([0.0]), scale)
    assert through > 0.999 and outside < 1e-6 and leaving == 0 and padding == 0
    assert float(grazing) == pytest.approx(0.5, abs=1e-3)


def test_the_weighted_surface_lies_where_the_distance_is_zero_at_any_scale() -> None:
    depth = torch.linspace(1.0, 2.0, 21)
    value = 1.437 - depth  # zero at 1.437, between two samples
    samples = Samples.pack(depth, torch.tensor([21]), torch.tensor([1.437]))
    for scale in (0.002, 0.02):
        out = render_packed(value, samples, scale)
        assert float(out.depth) == pytest.approx(1.437, abs=scale)
    assert float(crossing(value[8], value[9])) == pytest.approx((1.437 - 1.4) / 0.05, abs=1e-5)
