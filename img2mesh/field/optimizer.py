"""The optimiser: a smooth, evenly scaled descent direction for a whole signed-distance grid.

Scaling every voxel by its own statistics (Adam) turns noise in rarely seen voxels into full steps
and gives bumps (measured); one scalar for the whole grid keeps the gradient's shape.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from img2mesh.field.grid import Sdf, blur, fourth_difference

_MOMENTUM, _RMS_DECAY = 0.9, 0.95
#: No voxel moves by more than this part of a voxel in one step.
_LARGEST = 0.5
#: Share of the fourth difference taken away each step: removes ridges of the voxels' own pitch.
_RIDGE = 0.01
#: Least root mean square: nothing moves where no gradient ever was.
_TINY = 1e-30


@dataclass
class MomentumStep:
    """Momentum over one scalar RMS; the only state of the optimiser.

    Attributes:
        momentum: (nx, ny, nz) float32 running mean of blurred gradients.
        square: running mean of their mean square in the band; a float64 scalar on the device, which
            nobody waits for, once a step was taken.
        count: steps taken; corrects the running mean's start at zero.
    """

    momentum: Tensor
    square: Tensor | float = 0.0
    count: int = 0

    def step(
        self, sdf: Sdf, gradient: Tensor, band: Tensor, *, blur_voxels: float, length: float
    ) -> None:
        """Move the signed distances in place.

        Args:
            sdf: the signed distances.
            gradient: (nx, ny, nz) of the loss.
            band: (nx, ny, nz) float32 1 near the surface, else 0.
            blur_voxels: Gaussian blur of the gradient.
            length: step length in voxels.
        """
        smooth = blur(gradient, blur_voxels)
        mean = (smooth.square() * band).sum() / band.sum().clamp(min=1)
        self.count += 1
        self.square = _RMS_DECAY * self.square + (1 - _RMS_DECAY) * mean.double()
        rms = (self.square / (1 - _RMS_DECAY**self.count)).sqrt().clamp(min=_TINY)
        self.momentum.mul_(_MOMENTUM).add_(smooth, alpha=1 - _MOMENTUM)
        limit = _LARGEST * sdf.voxel
        sdf.values.sub_((self.momentum * (length * sdf.voxel / rms)).clamp_(-limit, limit))
        sdf.values.sub_(fourth_difference(sdf.values).mul_(band).mul_(_RIDGE))
