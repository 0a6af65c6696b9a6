"""From noise to clean latents: the steps of a run, by the solver that its speed names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from img2mesh.diffusion import samplers
from img2mesh.diffusion.noise import NoiseSource, drawn
from img2mesh.diffusion.schedules import Prediction, SamplingSchedule
from img2mesh.diffusion.speed import Speed
from img2mesh.multiview.zero123plus.denoise import Denoiser

Observe = Callable[[str, Any], None]


def denoise(
    denoiser: Denoiser,
    latents: torch.Tensor,
    references: torch.Tensor,
    schedule: SamplingSchedule,
    noise: NoiseSource,
    *,
    speed: Speed,
    prediction: Prediction,
    observe: Observe,
    progress: Callable[[float], None],
) -> torch.Tensor:
    """Take every step of a schedule.

    Args:
        denoiser: the guided network.
        latents: (n, c, h, w) float32 noise of the schedule's first level.
        references: (b, c, h', w') float32 condition latents of all rows.
        schedule: the noise levels.
        noise: asked for ``reference`` in every step, and for ``ancestral`` by that solver.
        speed: the solver, and where guidance acts.
        prediction: what the network puts out.
        observe: told (name, value) of intermediates.
        progress: told the fraction done.

    Returns:
        (n, c, h, w) float32, without noise.
    """
    device = latents.device
    sigmas, timesteps = schedule.sigmas.to(device), schedule.timesteps.to(device)
    levels: list[float] = schedule.sigmas.tolist()
    before: tuple[torch.Tensor, float] | None = None
    for step in range(len(schedule)):
        sigma, level = sigmas[step], levels[step]
        eta = drawn(noise, "reference", step, tuple(references.shape), device)
        observe("step.latents_in", latents)
        output = denoiser(
            samplers.scale_input(latents, sigma),
            samplers.noised(references, eta, sigma),
            timesteps[step],
            step,
            guided=speed.guides(level),
        )
        clean = samplers.predicted_clean(output, latents, sigma, prediction)
        if speed.solver == "dpm++2m":
            latents = samplers.multistep_step(latents, clean, before, level, levels[step + 1])
            before = clean, level
        else:
            fresh = drawn(noise, "ancestral", step, tuple(latents.shape), device)
            latents = samplers.euler_ancestral_step(latents, clean, fresh, sigma, sigmas[step + 1])
        observe("step.guided_output", output)
        observe("step.pred_original", clean)
        observe("step.latents_out", latents)
        progress((step + 1) / len(schedule))
    return latents
