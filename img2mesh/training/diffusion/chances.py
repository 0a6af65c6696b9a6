"""Every chance of a training sample follows from (seed, step, number in the step).

Not from the process or the micro-batch: two processes or two accumulated halves see what one whole
batch sees, and a run that is killed and resumed repeats what it would have done.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Chance:
    """The chances of one sample.

    Attributes:
        seed, step: of the run.
        number: of the sample among all of its step, over processes and micro-batches.
    """

    seed: int
    step: int
    number: int

    def rng(self, purpose: int = 0) -> np.random.Generator:
        """For numbers; each purpose has its own stream."""
        return np.random.default_rng([self.seed, self.step, self.number, purpose])

    def normal(self, shape: tuple[int, ...], purpose: int) -> Tensor:
        """Standard normal float32 values, drawn on the CPU: the same on every device."""
        state = np.random.SeedSequence([self.seed, self.step, self.number, 1000 + purpose])
        generator = torch.Generator().manual_seed(int(state.generate_state(1, np.uint64)[0] >> 1))
        return torch.randn(shape, generator=generator)
