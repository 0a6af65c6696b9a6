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


#: Pictures that are averaged over windows for each that is compared.
CHANNELS = 10


def correlation(own: Tensor, rgb: Tensor, seen: Tensor, full: Tensor, *, radius: int) -> Tensor:
    """Normalised cross-correlation of windows of pictures.

    Args:
        own: (3, h, w) or (3, k, h, w) colours.
        rgb: (3, k, h, w) colours they are compared with.
        seen: (k, h, w) float32 1 where both are known, else 0.
        full: (h, w) or (k, h, w) sum of the pixels that could be seen over each window.
        radius: half a window's side, pixels.

    Returns:
        (k, h, w) in [-1, 1], -1 where too little is seen.
    """
    if own.dim() < rgb.dim():
        own = own[:, None]
    sums = torch.empty((CHANNELS, *seen.shape), device=seen.device)
    sums[0] = seen
    a, b = torch.mul(rgb, seen, out=sums[1:4]), torch.mul(own, seen, out=sums[4:7])
    for channel, (one, two) in zip(sums[7:], ((a, a), (b, b), (a, b)), strict=True):
        torch.sum(one * two, 0, out=channel)
    sums = box_sum(sums.reshape(-1, *seen.shape[1:]), radius).reshape(sums.shape)
    weight = sums[0]
    mean = sums[1:].div_(weight.clamp(min=1e-6))
    a, b = mean[:3], mean[3:6]
    floor = _TEXTURE**2
    var_a = (mean[6] - a.square().sum(0)).clamp_(min=floor)
    var_b = (mean[7] - b.square().sum(0)).clamp_(min=floor)
    score = (mean[8] - (a * b).sum(0)) / (var_a * var_b).sqrt_()
    return torch.where((weight > _SEEN * full) & (var_b > floor), score, -1.0)


def box_sum(pictures: Tensor, radius: int) -> Tensor:
    """Sums of (c, h, w) over windows, zeros beyond the border."""
    padded = nn.pad(pictures, (radius, radius, radius, radius))
    return _window_sum(_window_sum(padded, 1, 2 * radius + 1), 2, 2 * radius + 1)


def _window_sum(values: Tensor, axis: int, side: int) -> Tensor:
    """Sums of ``side`` neighbours along an axis: of 1, 2, 4, ... by doubling, then put together.

    Running sums would take one pass less and be slower: they do not vectorise, and their
    differences lose digits.
    """
    count = values.shape[axis] - side + 1
    out, done, step = None, 0, 1
    while True:
        if side & step:
            part = values.narrow(axis, done, count)
            out = part if out is None else out + part
            done += step
        if 2 * step > side:
            assert out is not None
            return out
        more = values.shape[axis] - step
        values = values.narrow(axis, 0, more) + values.narrow(axis, step, more)
        step *= 2


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
