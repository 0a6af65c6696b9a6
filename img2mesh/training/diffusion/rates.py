"""Learning rates of the published recipes, as closed forms of the step."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from img2mesh.errors import InputError


@dataclass(frozen=True)
class Rate:
    """A straight warm-up, then constant or half a cosine down to nothing.

    Attributes:
        peak: highest learning rate.
        warmup: steps until it is reached; step 0 has ``peak / warmup``.
        shape: ``cosine`` ends at 0 with the last step, ``constant`` stays.
    """

    peak: float
    warmup: int
    shape: Literal["cosine", "constant"]

    def at(self, step: int, steps: int) -> float:
        """The rate of a step (from 0) of a run of ``steps``.

        Cosine: ``peak / 2 (1 + cos(pi (step - warmup) / (steps - warmup)))`` after the warm-up.
        """
        if step < self.warmup:
            return self.peak * (step + 1) / self.warmup
        if self.shape == "constant":
            return self.peak
        share = (step - self.warmup) / max(steps - self.warmup, 1)
        return self.peak * 0.5 * (1 + math.cos(math.pi * min(share, 1.0)))


#: Zero123++ (arXiv 2310.15110, section 2.3): phase 1 tunes attention, phase 2 the whole U-Net.
ZERO123PLUS = {1: Rate(7e-5, 1000, "cosine"), 2: Rate(5e-6, 2000, "constant")}
#: Not published; that of the second phase's network trained anew.
CONTROLNET = Rate(1e-5, 500, "constant")
#: Zero-1-to-3's released configuration; its projection trains at ten times this.
ZERO123 = Rate(1e-4, 100, "constant")
PROJECTION_FACTOR = 10.0
#: Customary for low-rank adapters of this size.
LORA = Rate(1e-4, 100, "constant")


def checked(rate: Rate, *, peak: float | None = None, warmup: int | None = None) -> Rate:
    """A recipe's rate with the user's own peak or warm-up.

    Raises:
        InputError: a peak that is not positive or a negative warm-up.
    """
    out = Rate(
        rate.peak if peak is None else peak, rate.warmup if warmup is None else warmup, rate.shape
    )
    if not 0 < out.peak < 1 or out.warmup < 0:
        raise InputError(
            f"a learning rate must lie between 0 and 1 with a warm-up of at least 0 steps, got "
            f"{out.peak} and {out.warmup}"
        )
    return out
