"""What every segmenter returns."""

from __future__ import annotations

from dataclasses import dataclass

from img2mesh.core.arrays import F32


@dataclass(frozen=True)
class Segmentation:
    """What a segmenter found.

    Attributes:
        matte: (h, w) float32 in [0, 1], the share of each photo pixel the object covers.
        confidence: in [0, 1].
        notes: sentences for the user.
    """

    matte: F32
    confidence: float = 1.0
    notes: tuple[str, ...] = ()
