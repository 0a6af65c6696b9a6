"""Volume rendering of a signed-distance field: weights, opacities and depths of packed samples.

Samples are rendered as they lie, ray after ray, in plain torch on every device. nerfacc's functions
are the other way to the same numbers, for comparison: on dense (rays, samples) tensors, which are
mostly padding, and by the packed scans of its CUDA extension.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from img2mesh.field.samples import Samples

#: Stands in for "no further sample": so far outside that it absorbs nothing.
FAR_OUTSIDE = 1e4


def opacity(front: Tensor, back: Tensor, scale: float) -> Tensor:
    """Opacity of the stretch between two neighbouring samples of a ray.

    NeuS (Wang et al. 2021), equation 13: ``max(0, (s(f_i / b) - s(f_i+1 / b)) / s(f_i / b))`` with
    the logistic function s. Unbiased at the surface and aware of occlusion.

    Args:
        front, back: signed distances at the nearer and the farther sample, any equal shapes.
        scale: logistic scale b in the distances' units.

    Returns:
        Opacities in [0, .9999]; the upper bound keeps the transmittance differentiable.
    """
    # s(f) falls below 1e-9 at f = -20 b: clamping there keeps the quotient finite.
    near = torch.sigmoid((front / scale).clamp(min=-20))
    far = torch.sigmoid((back / scale).clamp(min=-20))
    return ((near - far) / near).clamp(0, 0.9999)


def crossing(front: Tensor, back: Tensor) -> Tensor:
    """Where between two samples the surface lies, as a fraction; an end where it does not cross.

    With a logistic scale below the sample spacing nearly all weight falls into one stretch; its
    middle would tie the depth to the sampling lattice and leave it without a gradient.
    """
    fall = front - back
    return torch.where(fall > 1e-9, front / fall.clamp(min=1e-9), 0.5).clamp(0, 1)


def render_weights(alpha: Tensor, samples: Samples) -> Tensor:
    """Weight of every sample in its pixel: ``w_i = alpha_i prod_{j<i} (1 - alpha_j)`` along a ray.

    Args:
        alpha: (n,) opacity below 1 of the stretch that begins at each sample.
        samples: which ray each belongs to.
    """
    return weights_of_depth(-torch.log1p(-alpha.double()), samples.ray, samples.start).float()


def weights_of_depth(tau: Tensor, ray: Tensor, start: Tensor) -> Tensor:
    """The same from optical depths: ``w_i = (1 - exp(-tau_i)) exp(-sum_{j<i} tau_j)``.

    Args:
        tau: (n,) float64 optical depth of each sample's stretch.
        ray: (n,) int64 its ray, ascending.
        start: (r + 1,) int64 first sample of each ray.
    """
    apply: Any = _Weights.apply
    return apply(tau, ray, start)


class _Weights(torch.autograd.Function):
    """Sums along each ray are differences of one running sum over all rays, hence float64."""

    @staticmethod
    def forward(ctx: Any, tau: Tensor, ray: Tensor, start: Tensor) -> Tensor:
        before = tau.cumsum(0) - tau
        first = start[:-1].clamp(max=len(tau) - 1)
        before -= before.index_select(0, first).index_select(0, ray)
        through = before.neg_().exp_()
        weight = through * torch.expm1(-tau).neg_()
        ctx.save_for_backward(through, weight, ray, start)
        return weight

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        """A deeper stretch shows more of itself and dims all that lie behind it."""
        through, weight, ray, start = ctx.saved_tensors
        (grad,) = grads
        summed = (grad * weight).cumsum(0)
        last = (start[1:] - 1).clamp(min=0)
        behind = summed.index_select(0, last).index_select(0, ray) - summed
        return grad * (through - weight) - behind, None, None


@dataclass(frozen=True)
class Rendered:
    """What the samples of some rays add up to.

    Attributes:
        weight: (n,) weight of the stretch that begins at each sample.
        opacity: (r,) sum of a ray's weights.
        depth: (r,) expected z-depth of the surface; meaningless where the opacity is 0.
    """

    weight: Tensor
    opacity: Tensor
    depth: Tensor


#: Signed distances (n,) at samples, the samples, and the logistic scale b: what they add up to.
Renderer = Callable[[Tensor, Samples, float], Rendered]


def render_packed(
    value: Tensor,
    samples: Samples,
    scale: float,
    weights: Callable[[Tensor, Samples], Tensor] = render_weights,
) -> Rendered:
    """Render packed samples of a signed distance.

    Args:
        value: (n,) signed distances at the samples.
        samples: r rays with one sample or more each.
        scale: logistic scale b.
        weights: how opacities become weights.
    """
    from nerfacc import accumulate_along_rays

    # A ray's last sample has nothing behind it.
    further = torch.cat([samples.depth[1:], samples.depth[-1:]])
    back = torch.cat([value[1:], value[-1:]])
    last = samples.start[1:] - 1
    back = back.index_fill(0, last, FAR_OUTSIDE)
    weight = weights(opacity(value, back, scale), samples)
    middle = samples.depth + crossing(value, back) * (further - samples.depth)
    both = torch.stack([torch.ones_like(middle), middle], dim=1)
    total, summed = accumulate_along_rays(weight, both, samples.ray, len(last)).unbind(1)
    return Rendered(weight, total, summed / total.clamp(min=1e-6))


def render_by_nerfacc(value: Tensor, samples: Samples, scale: float) -> Rendered:
    """The same by nerfacc: its extension's packed scans on CUDA, dense tensors elsewhere."""
    if value.device.type == "cuda":
        return render_packed(value, samples, scale, _weights_by_scans)
    return render_dense(value, samples, scale)


def _weights_by_scans(alpha: Tensor, samples: Samples) -> Tensor:
    from nerfacc import render_weight_from_alpha

    count = len(samples.start) - 1
    return render_weight_from_alpha(alpha, ray_indices=samples.ray, n_rays=count)[0]


def render_dense(value: Tensor, samples: Samples, scale: float) -> Rendered:
    """The same on (rays, samples) tensors, each ray padded to the longest."""
    from nerfacc import accumulate_along_rays, render_weight_from_alpha

    ray, start = samples.ray, samples.start
    column = torch.arange(len(ray), device=ray.device) - start[ray]
    rows, width = len(start) - 1, int(column.max()) + 2
    at = ray * width + column
    values = torch.full((rows * width,), FAR_OUTSIDE, device=value.device)
    depths = torch.zeros(rows * width, device=value.device)
    values = values.index_put((at,), value).reshape(rows, width)
    depths = depths.index_put((at,), samples.depth).reshape(rows, width)
    front, back = values[:, :-1], values[:, 1:]
    weight, _ = render_weight_from_alpha(opacity(front, back, scale))
    middle = depths[:, :-1] + crossing(front, back) * (depths[:, 1:] - depths[:, :-1])
    both = torch.stack([torch.ones_like(middle), middle], dim=2)
    total, summed = accumulate_along_rays(weight, both).unbind(1)
    return Rendered(weight[ray, column], total, summed / total.clamp(min=1e-6))


#: By the names of the setting ``renderer``.
RENDERERS: dict[str, Renderer] = {"torch": render_packed, "nerfacc": render_by_nerfacc}
