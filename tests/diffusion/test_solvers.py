"""DPM-Solver++(2M) against diffusers' own, on our schedule."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from img2mesh.diffusion import samplers
from img2mesh.diffusion.schedules import TrainingSchedule, sampling_schedule


@pytest.mark.parametrize("steps", [1, 2, 12, 20])
def test_steps_are_those_of_diffusers(steps: int) -> None:
    import diffusers

    make: Any = diffusers.DPMSolverMultistepScheduler
    training = TrainingSchedule()
    theirs = make(
        beta_start=training.beta_start,
        beta_end=training.beta_end,
        beta_schedule=training.beta_schedule,
        prediction_type=training.prediction,
        timestep_spacing="trailing",
        algorithm_type="dpmsolver++",
        solver_order=2,
        lower_order_final=True,
        final_sigmas_type="zero",
    )
    theirs.set_timesteps(steps)
    ours = sampling_schedule(steps, training)
    assert theirs.timesteps.tolist() == ours.timesteps.tolist()
    levels = ours.sigmas.tolist()
    start = torch.randn(1, 4, 6, 5, generator=torch.Generator().manual_seed(0))
    # diffusers keeps latents of unit variance, we keep them unscaled.
    x, y = start * levels[0], start * levels[0] / (levels[0] ** 2 + 1) ** 0.5
    before = None
    for step in range(steps):
        sigma = ours.sigmas[step]
        output = torch.tanh(samplers.scale_input(x, sigma) * 3)  # of any network
        clean = samplers.predicted_clean(output, x, sigma, "v_prediction")
        x = samplers.multistep_step(x, clean, before, levels[step], levels[step + 1])
        before = clean, levels[step]
        y = theirs.step(torch.tanh(y * 3), theirs.timesteps[step], y).prev_sample
        torch.testing.assert_close(samplers.scale_input(x, ours.sigmas[step + 1]), y, **CLOSE)


CLOSE = {"atol": 2e-5, "rtol": 1e-4}
