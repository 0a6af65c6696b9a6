"""How fast a checkpoint samples: what a speed leaves out, how a run is carried out. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf
from typing import Literal

#: ``euler_ancestral`` is what the published examples use; ``dpm++2m`` needs fewer steps, and no
#: noise but the first.
Solver = Literal["euler_ancestral", "dpm++2m"]
#: What ``--speed`` takes.
SpeedName = Literal["exact", "fast", "draft"]


@dataclass(frozen=True)
class Speed:
    """What a sampling run computes, and so what comes out.

    Attributes:
        steps: denoising steps where none are asked for.
        solver: how a step is taken; see :mod:`img2mesh.diffusion.samplers`.
        step_cache: the deep levels of U-Net and ControlNet are computed only every so many steps
            (DeepCache, arXiv 2312.00858); 1: in each.
        guided_above, guided_below: noise levels between which classifier-free guidance acts
            (Kynkäänniemi et al. 2024, arXiv 2404.07724); outside, only the positive branch runs.
    """

    steps: int
    solver: Solver = "euler_ancestral"
    step_cache: int = 1
    guided_above: float = 0.0
    guided_below: float = inf

    def guides(self, sigma: float) -> bool:
        """Whether guidance acts at a noise level."""
        return self.guided_above < sigma <= self.guided_below

    def __str__(self) -> str:
        """The words of a report."""
        parts = [{"euler_ancestral": "Euler ancestral", "dpm++2m": "DPM-Solver++(2M)"}[self.solver]]
        if self.step_cache > 1:
            parts.append(f"deep levels every {self.step_cache} steps")
        if self.guided_above > 0 or self.guided_below < inf:
            parts.append(f"guided where sigma is in ({self.guided_above:g}, {self.guided_below:g}]")
        return ", ".join(parts)


#: ``exact`` is the published sampler. What the others cost and save stands in docs/zero123plus.md;
#: nobody has looked at them with the published weights yet.
SPEEDS: Mapping[SpeedName, Speed] = {
    "exact": Speed(28),
    "fast": Speed(20, "dpm++2m", 2, 0.28, 5.42),
    "draft": Speed(12, "dpm++2m", 3, 0.28, 5.42),
}


@dataclass(frozen=True)
class Execution:
    """How a run is carried out: exact up to the rounding of reordered sums.

    The final latents change by less than 2e-5 of their largest value against ``plain``
    (tests/diffusion/test_speed.py). What no switch is needed for, because nothing speaks against
    it: keys and values of the reference instead of its tokens; keys and values of the prompt
    context and the embedding of the control picture once a run; the write pass ends with its last
    store; layers before the first attention once for both guidance branches; pictures decoded one
    at a time.

    Attributes:
        plain: none of that, only the algorithm: the baseline of parity tests and benchmarks.
        low_memory: every part of the model is on the device only while it works (else the two
            encoders alone, which work once a picture), the ControlNet layer by layer, and the
            guidance branches run one after the other: half the activations.
        channels_last: memory layout of convolutions; helps tensor cores.
    """

    plain: bool = False
    low_memory: bool = False
    channels_last: bool = False
