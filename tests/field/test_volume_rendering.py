"""Volume rendering: nerfacc's dense functions against the plain twin, and what opacity means."""

from __future__ import annotations

import pytest
import torch

from img2mesh.field import volume_rendering
from img2mesh.field.volume_rendering import (
    FAR_OUTSIDE,
    crossing,
    has_packed_rendering,
    opacity,
    render_weights,
    render_weights_plain,
)


def test_nerfacc_and_the_plain_twin_agree_with_gradients() -> None:
    alpha = torch.rand(50, 12, generator=torch.Generator().manual_seed(1)) * 0.99
    upstream = torch.rand(50, 12, generator=torch.Generator().manual_seed(2))
    results = []
    for function in (render_weights, render_weights_plain):
        leaf = alpha.clone().requires_grad_()
        weights = function(leaf)
        (gradient,) = torch.autograd.grad((weights * upstream).sum(), leaf)
        results.append((weights.detach(), gradient))
    assert torch.allclose(results[0][0], results[1][0], atol=1e-6)
    assert torch.allclose(results[0][1], results[1][1], atol=1e-4)


def test_weights_and_what_is_left_sum_to_one() -> None:
    alpha = torch.rand(20, 9, generator=torch.Generator().manual_seed(3)) * 0.9
    left = torch.prod(1 - alpha, dim=1)
    assert torch.allclose(render_weights(alpha).sum(1) + left, torch.ones(20), atol=1e-6)


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
    depth = torch.linspace(1.0, 2.0, 21)[None]
    value = 1.437 - depth  # zero at 1.437, between two samples
    for scale in (0.002, 0.02):
        weights = render_weights(opacity(value[:, :-1], value[:, 1:], scale))
        part = crossing(value[:, :-1], value[:, 1:])
        at = depth[:, :-1] + part * (depth[:, 1:] - depth[:, :-1])
        assert float((weights * at).sum() / weights.sum()) == pytest.approx(1.437, abs=scale)


def test_packed_and_dense_rendering_of_the_same_samples_agree(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    generator = torch.Generator().manual_seed(4)
    count = torch.randint(2, 9, (40,), generator=generator)
    ray = torch.arange(40).repeat_interleave(count)
    column = torch.arange(len(ray)) - (count.cumsum(0) - count)[ray]
    value = 0.05 * torch.randn(len(ray), generator=generator) - 0.02 * (column - 3)
    depth = 2.0 + 0.1 * column
    dense = volume_rendering.render_distances(value, depth, ray, column, 40, 0.02)
    # nerfacc's packed functions need CUDA; the plain twin takes their place here.
    monkeypatch.setattr(volume_rendering, "render_weights", render_weights_plain)
    packed = volume_rendering._render_packed(value, depth, ray, 40, 0.02)
    assert torch.allclose(dense.weight, packed.weight, atol=1e-5)
    assert torch.allclose(dense.opacity, packed.opacity, atol=1e-5)
    seen = dense.opacity > 0.01
    assert torch.allclose(dense.depth[seen], packed.depth[seen], atol=1e-3)


@pytest.mark.gpu
def test_packed_rendering_equals_dense_rendering() -> None:
    if not has_packed_rendering():
        pytest.skip("nerfacc's CUDA extension is not there")
    alpha = torch.rand(30, 8, device="cuda") * 0.9
    ray = torch.arange(30, device="cuda").repeat_interleave(8)
    packed = render_weights(alpha.reshape(-1), ray=ray, n_rays=30).reshape(30, 8)
    assert torch.allclose(packed, render_weights_plain(alpha), atol=1e-5)


@pytest.mark.gpu
def test_samples_by_occupancy_find_the_same_surface_as_marching() -> None:
    if not has_packed_rendering():
        pytest.skip("nerfacc's CUDA extension is not there")
    from tests import shapes
    from tests.field import scenes
    from tests.field.fits import fit

    views = scenes.views_of(shapes.ball(), size=64)
    fields = [fit(views, grid=32, device=device) for device in ("cpu", "cuda")]
    errors = [scenes.chamfer(scenes.surface_of(f), shapes.ball()) for f in fields]
    assert abs(errors[0] - errors[1]) < 0.003
