"""Volume rendering of a signed-distance field through nerfacc's functions.

On CPUs nerfacc works on dense (rays, samples) tensors; its CUDA extension also works on packed
samples. Both are behind :func:`render_weights`; :func:`render_weights_plain` is the same arithmetic
in a few lines of torch and serves the tests as reference.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

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


def render_weights(
    alpha: Tensor, *, ray: Tensor | None = None, n_rays: int | None = None
) -> Tensor:
    """Weight of every sample in its pixel: opacity times what the samples before it let through.

    Args:
        alpha: (rays, samples) dense; or (samples,) packed, then ``ray`` (samples,) int64, sorted,
            names each sample's ray. Packed needs nerfacc's CUDA extension.
        n_rays: number of rays of packed samples.

    Returns:
        Weights in alpha's shape.
    """
    import nerfacc

    return nerfacc.render_weight_from_alpha(alpha, ray_indices=ray, n_rays=n_rays)[0]


def render_weights_plain(
    alpha: Tensor, *, ray: Tensor | None = None, n_rays: int | None = None
) -> Tensor:
    """The reference for both: ``w_i = alpha_i prod_{j<i} (1 - alpha_j)``, along each ray."""
    if ray is None:
        through = torch.cumprod(1 - alpha, dim=-1)
        before = torch.cat([torch.ones_like(alpha[..., :1]), through[..., :-1]], dim=-1)
        return alpha * before
    log = torch.log1p(-alpha.double())
    summed = log.cumsum(0) - log  # of everything before the sample, earlier rays included
    first = torch.ones_like(ray, dtype=torch.bool)
    first[1:] = ray[1:] != ray[:-1]
    start = summed[first][first.long().cumsum(0) - 1]
    return alpha * torch.exp(summed - start).to(alpha.dtype)


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


def render_distances(
    value: Tensor, depth: Tensor, ray: Tensor, column: Tensor, n_rays: int, scale: float
) -> Rendered:
    """Render packed samples of a signed distance.

    Args:
        value: (n,) signed distances.
        depth: (n,) z-depths, ascending within a ray.
        ray: (n,) int64 ray of each sample, ascending.
        column: (n,) int64 number of the sample within its ray.
        n_rays: number of rays r.
        scale: logistic scale b.
    """
    if value.is_cuda and has_packed_rendering():
        return _render_packed(value, depth, ray, n_rays, scale)
    width = (int(column.max()) if len(column) else 0) + 2
    at = ray * width + column
    values = torch.full((n_rays * width,), FAR_OUTSIDE, device=value.device)
    depths = torch.zeros(n_rays * width, device=value.device)
    values = values.index_put((at,), value).reshape(n_rays, width)
    depths = depths.index_put((at,), depth).reshape(n_rays, width)
    front, back = values[:, :-1], values[:, 1:]
    weight = render_weights(opacity(front, back, scale))
    total = weight.sum(1)
    middle = depths[:, :-1] + crossing(front, back) * (depths[:, 1:] - depths[:, :-1])
    expected = (weight * middle).sum(1) / total.clamp(min=1e-6)
    return Rendered(weight[ray, column], total, expected)


def _render_packed(
    value: Tensor, depth: Tensor, ray: Tensor, n_rays: int, scale: float
) -> Rendered:
    """The same without padding; for nerfacc's CUDA functions."""
    ends = torch.ones_like(ray, dtype=torch.bool)
    ends[:-1] = ray[1:] != ray[:-1]
    back = torch.where(ends, FAR_OUTSIDE, torch.roll(value, -1))
    further = torch.where(ends, depth, torch.roll(depth, -1))
    weight = render_weights(opacity(value, back, scale), ray=ray, n_rays=n_rays)
    middle = depth + crossing(value, back) * (further - depth)
    zero = torch.zeros(n_rays, device=value.device)
    total = zero.index_add(0, ray, weight)
    expected = zero.index_add(0, ray, weight * middle) / total.clamp(min=1e-6)
    return Rendered(weight, total, expected)


@lru_cache(maxsize=1)
def has_packed_rendering() -> bool:
    """Whether nerfacc's CUDA extension is really there: tried once with a tiny call.

    Without it nerfacc raises different errors at different calls (NotImplementedError, OSError,
    ImportError), hence the broad net.
    """
    if not torch.cuda.is_available():
        return False
    try:
        alpha = torch.tensor([0.5, 0.5], device="cuda")
        ray = torch.tensor([0, 0], device="cuda")
        weights = render_weights(alpha, ray=ray, n_rays=1)
    except Exception:
        return False
    return bool(torch.allclose(weights.cpu(), torch.tensor([0.5, 0.25])))
