"""Volume rendering of a signed-distance field through nerfacc's functions.

On CPUs nerfacc works on dense (rays, samples) tensors; its CUDA extension also works on packed
samples. Both are behind :func:`render_weights`; :func:`render_weights_plain` is the same arithmetic
in a few lines of torch and serves the tests as reference.
"""

from __future__ import annotations

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

    weights: Tensor
    if ray is None:
        weights, _ = nerfacc.render_weight_from_alpha(alpha)
    else:
        weights, _ = nerfacc.render_weight_from_alpha(alpha, ray_indices=ray, n_rays=n_rays)
    return weights


def render_weights_plain(alpha: Tensor) -> Tensor:
    """The reference for dense samples: ``w_i = alpha_i prod_{j<i} (1 - alpha_j)``."""
    through = torch.cumprod(1 - alpha, dim=-1)
    before = torch.cat([torch.ones_like(alpha[..., :1]), through[..., :-1]], dim=-1)
    return alpha * before


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
