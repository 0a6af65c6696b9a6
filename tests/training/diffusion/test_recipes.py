"""The recipes' closed forms: rates, weights, targets, drop-out, what a phase tunes."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from img2mesh.diffusion.schedules import TrainingSchedule
from img2mesh.errors import InputError
from img2mesh.training.diffusion import objective, rates
from img2mesh.training.diffusion.chances import Chance
from img2mesh.training.diffusion.pair_model import rate_factor
from img2mesh.training.diffusion.sheet_model import trains


def test_learning_rates_are_those_of_the_papers() -> None:
    one, two = rates.ZERO123PLUS[1], rates.ZERO123PLUS[2]
    assert one.at(0, 10_000) == pytest.approx(7e-8)
    assert one.at(499, 10_000) == pytest.approx(3.5e-5)
    assert one.at(999, 10_000) == one.at(1000, 10_000) == pytest.approx(7e-5)
    assert one.at(5500, 10_000) == pytest.approx(3.5e-5)
    assert one.at(3250, 10_000) == pytest.approx(7e-5 * (0.5 + math.sqrt(0.5) / 2))
    assert one.at(10_000, 10_000) == pytest.approx(0, abs=1e-12)
    assert two.at(999, 10_000) == pytest.approx(2.5e-6)
    assert two.at(2000, 10_000) == two.at(9_999, 10_000) == 5e-6
    assert rates.ZERO123.at(49, 1000) == pytest.approx(5e-5)
    assert rates.ZERO123.at(500, 1000) == 1e-4
    assert rate_factor("projection.weight") == 10 and rate_factor("unet.conv_in.weight") == 1
    with pytest.raises(InputError, match="between 0 and 1"):
        rates.checked(one, peak=0.0)


def test_min_snr_weights_have_their_closed_forms_and_are_finite_at_both_ends() -> None:
    abar = TrainingSchedule().alphas_cumprod().double()
    ratio = abar / (1 - abar)
    v = objective.min_snr_weight(abar, "v_prediction", 5.0)
    epsilon = objective.min_snr_weight(abar, "epsilon", 5.0)
    quiet, loud = ratio > 5, ratio < 5
    assert torch.allclose(v[quiet], 5 / (ratio[quiet] + 1))
    assert torch.allclose(v[loud], abar[loud])  # SNR / (SNR + 1)
    assert torch.allclose(epsilon[quiet], 5 / ratio[quiet]) and (epsilon[loud] == 1).all()
    assert torch.isfinite(v).all() and torch.isfinite(epsilon).all()
    assert (objective.min_snr_weight(abar, "v_prediction", None) == 1).all()
    # Both weigh the error of the implied clean picture by min(SNR, gamma).
    clean, noise, off = torch.randn(3, 4, 2, 8, 8, dtype=torch.float64)
    level = abar[[10, 300, 600, 990]]
    mixed = objective.noised(clean, noise, level)
    for kind, weight in (("v_prediction", v), ("epsilon", epsilon)):
        said = objective.target(clean, noise, level, kind) + off
        implied = objective.clean_of(said, mixed, level, kind)
        ours = weight[[10, 300, 600, 990]] * (off**2).flatten(1).mean(1)
        error = (implied - clean).square().flatten(1).mean(1)
        theirs = ratio[[10, 300, 600, 990]].clamp(max=5) * error
        assert torch.allclose(ours, theirs)


def test_v_and_noise_and_clean_are_one_triangle() -> None:
    g = torch.Generator().manual_seed(0)
    clean, noise = torch.randn(2, 3, 4, 6, 6, generator=g, dtype=torch.float64)
    abar = torch.tensor([0.999, 0.5, 0.0016], dtype=torch.float64)
    mixed = objective.noised(clean, noise, abar)
    for kind in ("v_prediction", "epsilon"):
        wanted = objective.target(clean, noise, abar, kind)
        assert torch.allclose(objective.clean_of(wanted, mixed, abar, kind), clean, atol=1e-10)


def test_chances_do_not_hang_on_processes_or_order() -> None:
    one, other = Chance(3, 7, 2), Chance(3, 7, 3)
    assert torch.equal(one.normal((4,), 0), Chance(3, 7, 2).normal((4,), 0))
    for different in (other.normal((4,), 0), one.normal((4,), 1), Chance(3, 8, 2).normal((4,), 0)):
        assert not torch.equal(one.normal((4,), 0), different)
    levels = [int(Chance(0, s, 0).rng(1).integers(1000)) for s in range(2000)]
    assert abs(np.mean(levels) - 499.5) < 3 * 1000 / math.sqrt(12 * 2000)


def test_phase_one_is_self_attention_and_keys_and_values_of_cross_attention() -> None:
    block = "down_blocks.0.attentions.0.transformer_blocks.0."
    for name in (
        "attn1.to_q.weight",
        "attn1.to_out.0.bias",
        "attn2.to_k.weight",
        "attn2.to_v.weight",
    ):
        assert trains(block + name, 1), name
    for name in ("attn2.to_q.weight", "attn2.to_out.0.weight", "norm1.weight", "ff.net.2.weight"):
        assert not trains(block + name, 1) and trains(block + name, 2), name
    assert not trains("conv_in.weight", 1)
