"""One step of a sampler, as pure functions of tensors in float32.

Latents ``x`` live in the variance-exploding frame, ``x = x0 + sigma * noise``; networks see
``x / sqrt(sigma^2 + 1)`` (Karras et al. 2022, arXiv 2206.00364).
"""

from __future__ import annotations

import math

import torch

from img2mesh.diffusion.schedules import Prediction


def scale_input(x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
    """What the network is shown: latents brought to unit variance, same shape."""
    return x / (sigma**2 + 1) ** 0.5


def noised(clean: torch.Tensor, noise: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
    """Clean latents at the noise level ``sigma``, scaled as a network input.

    Equals ``sqrt(abar) clean + sqrt(1 - abar) noise`` of the variance-preserving form.
    """
    return scale_input(clean + noise * sigma, sigma)


def predicted_clean(
    output: torch.Tensor, x: torch.Tensor, sigma: torch.Tensor, prediction: Prediction
) -> torch.Tensor:
    """The clean latents the network's output stands for, in the frame of ``x``."""
    if prediction == "epsilon":
        return x - sigma * output
    return output * (-sigma / (sigma**2 + 1) ** 0.5) + x / (sigma**2 + 1)


def ancestral_sigmas(sigma: torch.Tensor, following: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Split the next noise level into what the ODE step leaves and what fresh noise adds.

    Returns:
        (down, up) with ``down^2 + up^2 = following^2``.
    """
    up = (following**2 * (sigma**2 - following**2) / sigma**2) ** 0.5
    return (following**2 - up**2) ** 0.5, up


def euler_ancestral_step(
    x: torch.Tensor,
    clean: torch.Tensor,
    noise: torch.Tensor,
    sigma: torch.Tensor,
    following: torch.Tensor,
) -> torch.Tensor:
    """One Euler step towards ``clean`` down to ``down``, then fresh noise up to ``following``.

    Args:
        x: (..., ) float32 latents at ``sigma``.
        clean: predicted clean latents, same shape.
        noise: standard normal, same shape; multiplied by zero in the last step.
        sigma, following: 0-d float32 noise levels, ``following < sigma``.
    """
    down, up = ancestral_sigmas(sigma, following)
    return x + (x - clean) / sigma * (down - sigma) + noise * up


def multistep_step(
    x: torch.Tensor,
    clean: torch.Tensor,
    before: tuple[torch.Tensor, float] | None,
    sigma: float,
    following: float,
) -> torch.Tensor:
    """One step of DPM-Solver++(2M) (Lu et al. 2022, arXiv 2211.01095, algorithm 2).

    Second order in the logarithm of the signal-to-noise ratio, from the clean latents predicted now
    and one step before; of first order in the first step and in the last, to no noise at all.

    Args:
        x: float32 latents at ``sigma``.
        clean: predicted clean latents, same shape.
        before: clean latents of the step before and its noise level; None in the first step.
        sigma, following: noise levels, ``following < sigma``.
    """
    if following == 0:
        return clean
    if before is not None:
        previous, above = before
        # Half the ratio of this step's length to the last one's, lengths in log sigma.
        forward = math.log(sigma / following) / math.log(above / sigma) / 2
        clean = clean + forward * (clean - previous)
    return following / sigma * x + (1 - following / sigma) * clean


def ddim_step(
    x: torch.Tensor,
    output: torch.Tensor,
    noise: torch.Tensor | None,
    alpha: float,
    following: float,
    *,
    eta: float,
) -> torch.Tensor:
    """One DDIM step (Song et al. 2021, arXiv 2010.02502, equation 12) of an epsilon network.

    Unlike the rest of this module in the variance-preserving frame,
    ``x = sqrt(alpha) x0 + sqrt(1 - alpha) noise``.

    Args:
        x: (...) float32 latents at ``alpha``.
        output: predicted noise, same shape.
        noise: standard normal, same shape; only needed where ``eta`` > 0.
        alpha, following: cumulative alphas of this and the next level, ``following > alpha``.
        eta: 0 is deterministic, 1 is as random as ancestral sampling.
    """
    clean = (x - (1 - alpha) ** 0.5 * output) / alpha**0.5
    variance = (1 - following) / (1 - alpha) * (1 - alpha / following)
    deviation = eta * variance**0.5
    x = following**0.5 * clean + (1 - following - deviation**2) ** 0.5 * output
    return x if noise is None or eta == 0 else x + deviation * noise
