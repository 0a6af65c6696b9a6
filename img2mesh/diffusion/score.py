"""Scores of a noise predictor as gradients on pictures: SDS, SJC and VSD, as pure functions.

All three say in which direction a rendered picture becomes likelier under a diffusion model. They
differ in what is taken away from the model's opinion: the noise that was put in (SDS, DreamFusion,
arXiv 2209.14988), the noisy or the clean picture itself (SJC, arXiv 2212.00774), or what a copy of
the model says that has learned the present renders (VSD, ProlificDreamer, arXiv 2305.16213).

Every function returns a gradient to *descend*; none lets a gradient into the model.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from img2mesh.diffusion.schedules import TrainingSchedule

#: (noisy (b, c, h, w) of unit variance, timestep) -> predicted noise of the same shape.
Predict = Callable[[torch.Tensor, int], torch.Tensor]
#: SJC draws from the table without its 30 noisiest and 10 cleanest entries (published defaults).
_NOISIEST, _CLEANEST = 30, 10


def noised(latents: torch.Tensor, noise: torch.Tensor, alpha: float) -> torch.Tensor:
    """``sqrt(alpha) z + sqrt(1 - alpha) n``."""
    return alpha**0.5 * latents + (1 - alpha) ** 0.5 * noise


def sds(
    latents: torch.Tensor, noise: torch.Tensor, timestep: int, alpha: float, predict: Predict
) -> torch.Tensor:
    """``(1 - alpha) (predicted - n)``, not-a-number made 0.

    The loss whose gradient this is, ``1/2 |z - stopgrad(z - gradient)|^2``, is half its square sum.

    Args:
        latents: (b, c, h, w) scaled latents of the renders.
        noise: standard normal, same shape.
        timestep, alpha: noise level and its cumulative alpha.
        predict: guided noise prediction.
    """
    predicted = predict(noised(latents, noise, alpha), timestep)
    return ((1 - alpha) * (predicted - noise)).nan_to_num()


def vsd(
    latents: torch.Tensor,
    noise: torch.Tensor,
    timestep: int,
    alpha: float,
    predict: Predict,
    predict_render: Predict,
) -> torch.Tensor:
    """``(1 - alpha) (predicted - predicted by the renders' model)``: 0 where both agree.

    Args:
        latents, noise, timestep, alpha, predict: as for :func:`sds`.
        predict_render: noise prediction of the model that was trained on renders.
    """
    noisy = noised(latents, noise, alpha)
    return ((1 - alpha) * (predict(noisy, timestep) - predict_render(noisy, timestep))).nan_to_num()


@dataclass(frozen=True)
class Sigmas:
    """The noise levels of the variance-exploding frame, ``z = y + sigma n``.

    Attributes:
        table: (T,) float32, descending: entry i belongs to timestep T - 1 - i.
    """

    table: torch.Tensor

    @classmethod
    def of(cls, training: TrainingSchedule) -> Sigmas:
        """Of a noise process, in double precision as published."""
        ends = training.beta_start, training.beta_end
        if training.beta_schedule == "linear":
            betas = torch.linspace(*ends, training.train_steps, dtype=torch.float64)
        else:
            low, high = (end**0.5 for end in ends)
            betas = torch.linspace(low, high, training.train_steps, dtype=torch.float64) ** 2
        alphas = torch.cumprod(1 - betas, dim=0)
        return cls(((1 - alphas) / alphas).sqrt().flip(0).float())

    def snapped(self, sigma: float) -> tuple[float, int]:
        """The nearest entry, and its timestep."""
        i = int((self.table - sigma).abs().argmin())
        return float(self.table[i]), len(self.table) - 1 - i

    def drawn(self, share: float) -> float:
        """An entry by a number in [0, 1), uniformly among those that SJC uses."""
        used = self.table[_NOISIEST : len(self.table) - _CLEANEST]
        return float(used[int(share * len(used))])


def sjc(
    latents: torch.Tensor,
    noise: torch.Tensor,
    sigma: float,
    sigmas: Sigmas,
    predict: Predict,
    *,
    variance_reduced: bool = True,
) -> torch.Tensor:
    """Perturb-and-average score: ``-(D - y) / sigma``, or ``-(D - z) / sigma`` in the plain form.

    ``D = z - snapped sigma * predicted`` is the model's denoised picture. As published, the level
    that the network is told is the nearest of the table, and the division is by the one asked for.

    Args:
        latents: (b, c, h, w) y, scaled latents of the renders.
        noise: standard normal, same shape.
        sigma: noise level asked for.
        sigmas: the table.
        predict: guided noise prediction.
        variance_reduced: take the clean picture away instead of the noisy one.
    """
    level, timestep = sigmas.snapped(sigma)
    noisy = latents + sigma * noise
    predicted = predict(noisy / (1 + level**2) ** 0.5, timestep)
    denoised = noisy - level * predicted
    return -(denoised - (latents if variance_reduced else noisy)) / sigma
