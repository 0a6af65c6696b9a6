"""What a diffusion network is trained to say, and how much each noise level counts."""

from __future__ import annotations

import torch
from torch import Tensor

from img2mesh.diffusion.schedules import Prediction


def snr(abar: Tensor) -> Tensor:
    """Signal-to-noise ratio ``abar / (1 - abar)`` of noise levels."""
    return abar / (1 - abar)


def min_snr_weight(abar: Tensor, prediction: Prediction, gamma: float | None) -> Tensor:
    """Min-SNR weights (Hang et al. 2023, arXiv 2303.09556) of the error of a prediction.

    ``min(SNR, gamma) / SNR`` for noise (epsilon), ``min(SNR, gamma) / (SNR + 1)`` for v: both weigh
    the implied clean picture's error by ``min(SNR, gamma)``. None weighs every level alike.
    """
    if gamma is None:
        return torch.ones_like(abar)
    ratio = snr(abar)
    clipped = ratio.clamp(max=gamma)
    return clipped / (ratio + 1) if prediction == "v_prediction" else clipped / ratio


def noised(clean: Tensor, noise: Tensor, abar: Tensor) -> Tensor:
    """``sqrt(abar) clean + sqrt(1 - abar) noise``; abar (b,), pictures (b, ...)."""
    level = abar.view(-1, *[1] * (clean.ndim - 1))
    return level.sqrt() * clean + (1 - level).sqrt() * noise


def target(clean: Tensor, noise: Tensor, abar: Tensor, prediction: Prediction) -> Tensor:
    """What should come out: the noise, or ``v = sqrt(abar) noise - sqrt(1 - abar) clean``."""
    if prediction == "epsilon":
        return noise
    level = abar.view(-1, *[1] * (clean.ndim - 1))
    return level.sqrt() * noise - (1 - level).sqrt() * clean


def clean_of(output: Tensor, mixed: Tensor, abar: Tensor, prediction: Prediction) -> Tensor:
    """The clean picture that an output implies for a noised one."""
    level = abar.view(-1, *[1] * (mixed.ndim - 1))
    if prediction == "epsilon":
        return (mixed - (1 - level).sqrt() * output) / level.sqrt()
    return level.sqrt() * mixed - (1 - level).sqrt() * output


def per_sample_mse(output: Tensor, wanted: Tensor) -> Tensor:
    """(b,) mean squared error of each sample, in float32."""
    return (output.float() - wanted.float()).square().flatten(1).mean(1)
