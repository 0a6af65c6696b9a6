"""The step rule: a smooth, evenly scaled descent direction for a whole signed-distance grid.

Scaling every voxel by its own statistics (Adam) turns noise in rarely seen voxels into full steps
and gives bumps (measured); one scalar for the whole grid keeps the gradient's shape.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from img2mesh.field.grid import blur
from img2mesh.field.losses import fourth_difference

_MOMENTUM, _RMS_DECAY = 0.9, 0.95
#: No voxel moves by more than this part of a voxel in one step.
_LARGEST = 0.5
#: Share of the fourth difference taken away each step: removes ridges of the voxels' own pitch.
_RIDGE = 0.01


@dataclass
class StepRule:
    """Momentum over one scalar RMS; the only state of the optimiser.

    Attributes:
        momentum: (nx, ny, nz) float32 running mean of blurred gradients.
        square: running mean of their mean square in the band.
        count: steps taken; corrects the running mean's start at zero.
    """

    momentum: Tensor
    square: float = 0.0
    count: int = 0

    def step(
        self,
        field: Tensor,
        gradient: Tensor,
        band: Tensor,
        *,
        voxel: float,
        blur_voxels: float,
        length: float,
    ) -> None:
        """Move the field in place.

        Args:
            field: (nx, ny, nz) signed distances, world units.
            gradient: loss gradient.
            band: (nx, ny, nz) float32 1 near the surface, else 0.
            voxel: grid spacing, world units.
            blur_voxels: Gaussian blur of the gradient.
            length: step length in voxels.
        """
        smooth = blur(gradient, blur_voxels)
        mean = float((smooth.square() * band).sum() / band.sum().clamp(min=1))
        self.count += 1
        self.square = _RMS_DECAY * self.square + (1 - _RMS_DECAY) * mean
        rms = (self.square / (1 - _RMS_DECAY**self.count)) ** 0.5
        self.momentum.mul_(_MOMENTUM).add_(smooth, alpha=1 - _MOMENTUM)
        if rms > 0:
            limit = _LARGEST * voxel
            field -= (self.momentum * (length * voxel / rms)).clamp_(-limit, limit)
        field -= fourth_difference(field).mul_(band).mul_(_RIDGE)
