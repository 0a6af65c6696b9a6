"""Windows compared by normalised cross-correlation, and the peaks of their scores over depth."""

from __future__ import annotations

import torch
import torch.nn.functional as nn
from torch import Tensor

#: A window must be seen to this part in the other view.
_SEEN = 0.6
#: Windows with a smaller standard deviation (of RGB) hold nothing to match.
_TEXTURE = 0.015
#: Half width of a peak, and the least distance of another one, in steps of the search.
_PEAK, _NEXT = 2, 4
#: A drop, or a lead over the next peak, by this much is as good as any; a lead below this is none.
_DROP, _MARGIN = 0.2, 0.02


def correlation(
    own: Tensor, rgb: Tensor, seen: Tensor, where: Tensor, full: Tensor, *, radius: int
) -> Tensor:
    """Normalised cross-correlation of windows around pixels.

    Args:
        own: (n, 3) or (k, n, 3) colours.
        rgb: (k, n, 3) colours they are compared with.
        seen: (k, n) float32 1 where those are known, else 0.
        where: (h, w) bool, true at the n pixels, in the same order.
        full: (n,) box mean of ``where``: how full each pixel's window is.
        radius: half a window's side, pixels.

    Returns:
        (k, n) in [-1, 1], -1 where too little is seen.
    """
    rgb = rgb * seen[..., None]
    mine = own * seen[..., None]
    channels = torch.cat(
        [
            seen[:, None],
            rgb.permute(0, 2, 1),
            mine.permute(0, 2, 1),
            rgb.square().sum(2)[:, None],
            mine.square().sum(2)[:, None],
            (rgb * mine).sum(2)[:, None],
        ],
        dim=1,
    )  # (k, 10, n)
    k, c, n = channels.shape
    flat = torch.nonzero(where.reshape(-1)).reshape(-1)
    spread = torch.zeros((k * c, where.numel()), device=own.device)
    spread.index_copy_(1, flat, channels.reshape(k * c, n))
    sums = box_mean(spread.reshape(k * c, *where.shape), radius)
    sums = sums.reshape(k * c, -1).index_select(1, flat).reshape(k, c, n)
    weight = sums[:, 0].clamp(min=1e-6)
    a, b = sums[:, 1:4] / weight[:, None], sums[:, 4:7] / weight[:, None]
    var_a = sums[:, 7] / weight - a.square().sum(1)
    var_b = sums[:, 8] / weight - b.square().sum(1)
    cov = sums[:, 9] / weight - (a * b).sum(1)
    floor = _TEXTURE**2
    score = cov / (var_a.clamp(min=floor) * var_b.clamp(min=floor)).sqrt()
    usable = (sums[:, 0] > _SEEN * full) & (var_b > floor)
    return torch.where(usable, score, -1.0)


def box_mean(pictures: Tensor, radius: int) -> Tensor:
    """Box mean of (c, h, w) over windows, zeros beyond the border; by running sums."""
    side = 2 * radius + 1
    pad = (radius + 1, radius, radius + 1, radius)
    out = nn.pad(pictures, pad).cumsum(1)
    out = (out[:, side:] - out[:, :-side]).cumsum(2)
    return (out[:, :, side:] - out[:, :, :-side]) / side**2


def peak(volume: Tensor) -> tuple[Tensor, Tensor]:
    """Where along its first axis (k, n) a volume peaks, in fractions of a step, and how high."""
    best, k = volume.max(0)
    inner = k.clamp(1, len(volume) - 2)
    below, at, above = (volume.gather(0, (inner + d)[None])[0] for d in (-1, 0, 1))
    bend = below - 2 * at + above
    shift = torch.where(bend < -1e-6, 0.5 * (below - above) / bend, 0.0).clamp(-0.5, 0.5)
    # At the end of the range, or next to an unseen depth, there is no peak to speak of.
    honest = (inner == k) & (below > -1) & (above > -1)
    return inner + shift, torch.where(honest, best, 0.0)


def distinctness(volume: Tensor) -> Tensor:
    """(n,) in [0, 1]: how far each column's peak (k, n) stands out, and from the next peak.

    On plain surfaces shading alone correlates at nearly every depth (docs/reconstruction.md).
    """
    best, k = volume.max(0)
    last = len(volume) - 1
    sides = [volume.gather(0, (k + d).clamp(0, last)[None])[0] for d in (-_PEAK, _PEAK)]
    drop = best - 0.5 * (sides[0] + sides[1])
    rest = volume.clone()
    for d in range(-_NEXT, _NEXT + 1):
        rest.scatter_(0, (k + d).clamp(0, last)[None], -1.0)
    margin = best - rest.max(0).values
    return (drop / _DROP).clamp(0, 1) * ((margin - _MARGIN) / _DROP).clamp(0, 1)
