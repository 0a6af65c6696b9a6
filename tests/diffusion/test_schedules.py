from __future__ import annotations

import numpy as np
import pytest
import torch

from img2mesh.diffusion import samplers
from img2mesh.diffusion.schedules import TrainingSchedule, sampling_schedule, timesteps
from img2mesh.errors import InputError

LINEAR = TrainingSchedule()

#: steps -> first timesteps, last timestep, first sigmas, last sigma above zero.
PUBLISHED = {
    28: ((999, 963, 928, 892), 35, (25.1461, 20.2982, 16.5956), 0.195880),
    36: ((999, 971, 943, 916), 27, (25.1461, 21.2745, 18.0768), 0.168611),
    75: ((999, 986, 972, 959), 12, (25.1461, 23.2554, 21.4003), 0.109533),
}


@pytest.mark.parametrize("steps", PUBLISHED)
def test_published_trailing_levels(steps: int) -> None:
    first, last, sigmas, smallest = PUBLISHED[steps]
    schedule = sampling_schedule(steps, LINEAR)
    assert tuple(schedule.timesteps[:4].int().tolist()) == first
    assert schedule.timesteps[-1] == last
    np.testing.assert_allclose(schedule.sigmas[:3], sigmas, rtol=1e-5)
    np.testing.assert_allclose(schedule.sigmas[-2], smallest, rtol=1e-5)
    assert schedule.sigmas[-1] == 0


def test_alphas_cumprod_ends() -> None:
    abar = LINEAR.alphas_cumprod()
    np.testing.assert_allclose(abar[[0, -1]], (0.99914998, 0.00157896), rtol=1e-5)


def test_every_step_count_gives_that_many_steps() -> None:
    for steps in range(1, 1001):
        visited = timesteps(steps, LINEAR, "trailing")
        assert len(visited) == steps
        assert visited[0] == 999 and visited[-1] >= 0
        assert (np.diff(visited) < 0).all()


@pytest.mark.parametrize("spacing", ["trailing", "linspace", "leading"])
def test_agrees_with_diffusers(spacing: str) -> None:
    from diffusers import EulerAncestralDiscreteScheduler

    theirs = EulerAncestralDiscreteScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="linear",
        prediction_type="v_prediction",
        steps_offset=1,
        timestep_spacing=spacing,
    )
    for steps in (1, 2, 3, 7, 28, 36, 50, 75, 100):
        theirs.set_timesteps(steps)
        ours = sampling_schedule(steps, LINEAR, spacing)  # type: ignore[arg-type]
        assert torch.equal(ours.timesteps, theirs.timesteps)
        assert torch.equal(ours.sigmas, theirs.sigmas)
        assert ours.initial_sigma == pytest.approx(float(theirs.init_noise_sigma), rel=1e-6)


@pytest.mark.parametrize("prediction", ["v_prediction", "epsilon"])
def test_steps_agree_with_diffusers(prediction: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from diffusers import EulerAncestralDiscreteScheduler
    from diffusers.schedulers import scheduling_euler_ancestral_discrete as module

    theirs = EulerAncestralDiscreteScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        prediction_type=prediction,
        timestep_spacing="trailing",
    )
    theirs.set_timesteps(5)
    schedule = sampling_schedule(5, LINEAR)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 4, 3, 3, generator=generator) * schedule.initial_sigma
    for i, t in enumerate(theirs.timesteps):
        output, noise = (torch.randn(x.shape, generator=generator) for _ in range(2))
        monkeypatch.setattr(module, "randn_tensor", lambda *a, noise=noise, **k: noise)
        torch.testing.assert_close(
            samplers.scale_input(x, schedule.sigmas[i]), theirs.scale_model_input(x, t)
        )
        expected = theirs.step(output, t, x)
        clean = samplers.predicted_clean(output, x, schedule.sigmas[i], prediction)  # type: ignore[arg-type]
        torch.testing.assert_close(clean, expected.pred_original_sample)
        x = samplers.euler_ancestral_step(
            x, clean, noise, schedule.sigmas[i], schedule.sigmas[i + 1]
        )
        torch.testing.assert_close(x, expected.prev_sample)


def test_noising_is_the_variance_preserving_form() -> None:
    abar = LINEAR.alphas_cumprod()[700]
    sigma = ((1 - abar) / abar) ** 0.5
    clean, noise = torch.randn(2, 5, generator=torch.Generator().manual_seed(1))
    expected = abar**0.5 * clean + (1 - abar) ** 0.5 * noise
    torch.testing.assert_close(samplers.noised(clean, noise, sigma), expected)


def test_a_perfect_network_ends_at_the_clean_latents() -> None:
    clean = torch.randn(1, 4, 6, 6, generator=torch.Generator().manual_seed(2))
    schedule = sampling_schedule(12, LINEAR)
    generator = torch.Generator().manual_seed(3)
    x = clean + torch.randn(clean.shape, generator=generator) * schedule.initial_sigma
    for sigma, following in zip(schedule.sigmas[:-1], schedule.sigmas[1:], strict=True):
        v = (x / (sigma**2 + 1) - clean) * (sigma**2 + 1) ** 0.5 / sigma
        predicted = samplers.predicted_clean(v, x, sigma, "v_prediction")
        noise = torch.randn(clean.shape, generator=generator)
        x = samplers.euler_ancestral_step(x, predicted, noise, sigma, following)
    torch.testing.assert_close(x, clean, atol=1e-4, rtol=0)


@pytest.mark.parametrize("steps", [0, -3, 1001])
def test_impossible_step_counts_are_refused(steps: int) -> None:
    with pytest.raises(InputError, match=r"1\.\.1000"):
        sampling_schedule(steps, LINEAR)


def test_unknown_configurations_are_refused() -> None:
    for config in (
        {"beta_schedule": "squaredcos_cap_v2", "prediction_type": "v_prediction"},
        {"prediction_type": "sample"},
        {"prediction_type": "v_prediction", "rescale_betas_zero_snr": True},
    ):
        with pytest.raises(InputError):
            TrainingSchedule.from_config(config)
