"""Light and camera faults for unlit items."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from img2mesh.training.light import harmonics, light_up, probe


def test_an_even_sky_lights_everything_alike():
    even = probe(np.full((64, 128, 3), 0.4, np.float32))
    n = torch.nn.functional.normalize(
        torch.randn(50, 3, generator=torch.Generator().manual_seed(0)), dim=1
    )
    np.testing.assert_allclose((harmonics(n) @ even).numpy(), 1, atol=0.01)


def test_light_comes_from_where_the_sky_is_bright():
    sky = np.zeros((64, 128, 3), np.float32)
    sky[:20] = 1
    bright = probe(sky)
    up, down = torch.tensor([[0.0, 1, 0]]), torch.tensor([[0.0, -1, 0]])
    assert (harmonics(up) @ bright).mean() > 1.5
    assert (harmonics(down) @ bright).mean() < 0.3


def test_lighting_is_reproducible_and_keeps_colour():
    normal = torch.zeros(4, 3, 8, 8)
    normal[:, 2] = 1
    albedo = torch.full((4, 3, 8, 8), 0.5)
    elevation = torch.zeros(4)

    def light(seed):
        return light_up(
            albedo, normal, elevation, torch.zeros(0, 9, 3), torch.Generator().manual_seed(seed)
        )

    lit, gain = light(1)
    assert torch.equal(lit, light(1)[0])
    assert not torch.equal(lit, light(2)[0])
    assert lit.min() > 0.05
    assert gain.mean() == pytest.approx(0.9, abs=0.3)
