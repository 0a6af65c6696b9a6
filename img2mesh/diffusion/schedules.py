"""Which noise levels a sampler visits: betas, timesteps and sigmas, as data.

Notation of Karras et al. 2022 (arXiv 2206.00364) over a variance-preserving training process:
``abar_t = prod(1 - beta)``, ``sigma_t = sqrt((1 - abar_t) / abar_t)``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast, get_args

import numpy as np
import torch

from img2mesh.errors import InputError

Spacing = Literal["trailing", "linspace", "leading"]
Prediction = Literal["v_prediction", "epsilon"]
BetaSchedule = Literal["linear", "scaled_linear"]


@dataclass(frozen=True)
class TrainingSchedule:
    """The noise process a network was trained on.

    Attributes:
        train_steps: number of training timesteps T.
        beta_start, beta_end: ends of the beta curve.
        beta_schedule: ``linear`` in beta, or ``scaled_linear`` (linear in sqrt(beta), SD's own).
        prediction: what the network puts out, ``v_prediction`` (Salimans and Ho 2022) or
            ``epsilon``.
        steps_offset: added to every timestep of the ``leading`` spacing.
    """

    train_steps: int = 1000
    beta_start: float = 0.00085
    beta_end: float = 0.012
    beta_schedule: BetaSchedule = "linear"
    prediction: Prediction = "v_prediction"
    steps_offset: int = 1

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> TrainingSchedule:
        """Read a diffusers ``scheduler_config.json``; its spacing is a sampling choice, left out.

        Raises:
            InputError: a beta curve, prediction type or rescaling that is not implemented.
        """
        beta_schedule = config.get("beta_schedule", "linear")
        prediction = config.get("prediction_type", "epsilon")
        if beta_schedule not in get_args(BetaSchedule) or prediction not in get_args(Prediction):
            raise InputError(
                f"the scheduler asks for {beta_schedule!r} betas and {prediction!r}; implemented "
                f"are {', '.join(get_args(BetaSchedule))} and {', '.join(get_args(Prediction))}"
            )
        if config.get("rescale_betas_zero_snr") or config.get("trained_betas"):
            raise InputError(
                "the scheduler asks for rescaled or tabulated betas, which are not implemented; "
                "use a checkpoint with plain betas"
            )
        return cls(
            train_steps=int(config.get("num_train_timesteps", 1000)),
            beta_start=float(config.get("beta_start", 0.0001)),
            beta_end=float(config.get("beta_end", 0.02)),
            beta_schedule=cast(BetaSchedule, beta_schedule),
            prediction=cast(Prediction, prediction),
            steps_offset=int(config.get("steps_offset", 0)),
        )

    def alphas_cumprod(self) -> torch.Tensor:
        """(T,) float32 abar; float32 throughout because the published networks were trained so."""
        if self.beta_schedule == "linear":
            betas = torch.linspace(
                self.beta_start, self.beta_end, self.train_steps, dtype=torch.float32
            )
        else:
            ends = self.beta_start**0.5, self.beta_end**0.5
            betas = torch.linspace(*ends, self.train_steps, dtype=torch.float32) ** 2
        return torch.cumprod(1.0 - betas, dim=0)


@dataclass(frozen=True)
class SamplingSchedule:
    """The noise levels of one run.

    Attributes:
        timesteps: (n,) float32, descending.
        sigmas: (n + 1,) float32, descending, the last is 0.
        initial_sigma: standard deviation of the first latents.
    """

    timesteps: torch.Tensor
    sigmas: torch.Tensor
    initial_sigma: float

    def __len__(self) -> int:
        return len(self.timesteps)


def timesteps(steps: int, schedule: TrainingSchedule, spacing: Spacing) -> np.ndarray:
    """(steps,) float32 timesteps, descending (table 2 of arXiv 2305.08891).

    ``trailing`` is ``round(T - i T / n) - 1``: it starts at the last training timestep, where the
    picture is all noise.

    Raises:
        InputError: steps outside 1..T, or an unknown spacing.
    """
    total = schedule.train_steps
    if not 1 <= steps <= total:
        raise InputError(f"the number of steps must lie in 1..{total}, got {steps}")
    if spacing == "trailing":
        # arange in floating point may add one entry (n = 61, 103, ...): the cut makes n steps n.
        return (np.arange(total, 0, -total / steps)[:steps].round() - 1).astype(np.float32)
    if spacing == "linspace":
        return np.linspace(0, total - 1, steps, dtype=np.float32)[::-1].copy()
    if spacing == "leading":
        stride = total // steps
        return ((np.arange(steps) * stride)[::-1] + schedule.steps_offset).astype(np.float32)
    raise InputError(f"unknown spacing {spacing!r}; choose from {', '.join(get_args(Spacing))}")


def sampling_schedule(
    steps: int, schedule: TrainingSchedule, spacing: Spacing = "trailing"
) -> SamplingSchedule:
    """Lay ``steps`` noise levels through the training process.

    Raises:
        InputError: see :func:`timesteps`.
    """
    visited = timesteps(steps, schedule, spacing)
    abar = schedule.alphas_cumprod()
    levels = (((1 - abar) / abar) ** 0.5).numpy()
    sigmas = np.interp(visited, np.arange(len(levels)), levels)
    largest = np.float32(sigmas.max())
    # Leading spacing starts below the noisiest level; its latents still have unit extra variance.
    initial = float((largest**2 + 1) ** 0.5) if spacing == "leading" else float(largest)
    return SamplingSchedule(
        torch.from_numpy(visited),
        torch.from_numpy(np.append(sigmas, 0.0).astype(np.float32)),
        initial,
    )
