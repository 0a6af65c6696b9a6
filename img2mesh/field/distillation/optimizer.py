"""Adam and Adamax (Kingma and Ba 2015) on one table, with a memory that can be stored."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from img2mesh.field.distillation.recipe import Optimiser

_DECAYS, _TINY = (0.9, 0.99), 1e-8


@dataclass
class Moments:
    """The optimiser's memory.

    Attributes:
        mean: running mean of the gradients, like the table.
        size: running mean of their squares (adam), or their decayed largest (adamax).
        count: steps taken.
    """

    mean: Tensor
    size: Tensor
    count: int = 0

    def step(self, table: Tensor, gradient: Tensor, *, rate: float, kind: Optimiser) -> None:
        """Move the table in place."""
        self.count += 1
        self.mean.lerp_(gradient, 1 - _DECAYS[0])
        rate = rate / (1 - _DECAYS[0] ** self.count)
        if kind == "adamax":
            torch.maximum(self.size.mul_(_DECAYS[1]), gradient.abs() + _TINY, out=self.size)
            table.addcdiv_(self.mean, self.size, value=-rate)
            return
        self.size.mul_(_DECAYS[1]).addcmul_(gradient, gradient, value=1 - _DECAYS[1])
        unbiased = (1 - _DECAYS[1] ** self.count) ** 0.5
        table.addcdiv_(self.mean, self.size.sqrt().add_(_TINY * unbiased), value=-rate * unbiased)
