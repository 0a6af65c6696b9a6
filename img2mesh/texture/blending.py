"""Several views' colours of one spot made one colour, without ghosts.

Where views agree they are blended, the one that looks straightest far ahead. Where they do not (a
network's views misplace detail by a pixel or two) a mean would show every edge twice, so the spot
goes to the colour that has most of the weight behind it: its own and that of the views which say
about the same. Agreement fades in continuously, so no border shows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from img2mesh.artifacts import F32
from img2mesh.texture.projection import SHARPEN

#: Colour distance (root mean square over the channels) at which views half agree. Light that
#: turns with the camera and left-over exposure stay below it, a misplaced edge well above.
_AGREEMENT = 0.10

#: Texels handled at once: their colours in all views fit into the processor's cache.
_CHUNK = 50_000


@dataclass(frozen=True)
class Sample:
    """What one view says: the points it sees (s,), how far to believe it (s,), colours (s, 3)."""

    seen: NDArray[np.int64]
    weight: F32
    colour: F32


def blend(samples: list[Sample], count: int, *, exact: bool) -> tuple[F32, F32]:
    """One colour for every point.

    Args:
        samples: of each view.
        count: of all points.
        exact: the views agree by construction: no view is left out.

    Returns:
        colour: (count, 3), 0 where nobody sees.
        weight: (count,) sum of the views' plain weights.
    """
    colour, total = np.zeros((count, 3), np.float32), np.zeros(count, np.float32)
    for begin in range(0, count, _CHUNK):
        end = min(begin + _CHUNK, count)
        says = np.zeros((len(samples), end - begin, 3), np.float32)
        weight = np.zeros((len(samples), end - begin), np.float32)
        for k, sample in enumerate(samples):
            low, high = np.searchsorted(sample.seen, (begin, end))
            at = sample.seen[low:high] - begin
            says[k, at], weight[k, at] = sample.colour[low:high], sample.weight[low:high]
        total[begin:end] = weight.sum(axis=0)
        share = weight**SHARPEN
        if not exact:
            share = share * _agreement(says, share)
        colour[begin:end] = np.einsum("sn,snc->nc", share, says)
        colour[begin:end] /= np.maximum(share.sum(axis=0), 1e-20)[:, None]
    return colour, total


def _agreement(says: F32, share: F32) -> F32:
    """(s, n) how well each view agrees with the best supported one: 1 fully, towards 0 not."""
    count = len(says)
    alike = np.ones((count, count, says.shape[1]), np.float32)
    for i in range(count):
        for j in range(i):
            square = ((says[i] - says[j]) ** 2).mean(axis=1)
            alike[i, j] = alike[j, i] = 1 / (1 + square / _AGREEMENT**2) ** 2
    support = np.einsum("ijn,jn->in", alike, share)
    support[share <= 0] = -1
    best = support.argmax(axis=0)
    out: F32 = alike[best, :, np.arange(says.shape[1])].T
    return out
