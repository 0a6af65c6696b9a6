"""Picture metrics over (h, w, 3) floats in [0, 1], sRGB-encoded, on one background."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

#: dB given to (nearly) equal pictures, whose PSNR would be infinite.
BEST_PSNR = 100.0


def psnr(a: NDArray[Any], b: NDArray[Any], mask: NDArray[np.bool_] | None = None) -> float:
    """Peak signal-to-noise ratio, ``10 log10(1 / MSE)`` in dB, at most 100.

    Args:
        a, b: pictures of one shape.
        mask: (h, w); only these pixels count. An empty mask gives 100: nothing differs.
    """
    square = (np.asarray(a, np.float64) - np.asarray(b, np.float64)) ** 2
    if mask is not None:
        square = square[mask]
    error = float(square.mean()) if square.size else 0.0
    return min(BEST_PSNR, -10 * float(np.log10(max(error, 1e-10))))


def ssim(a: NDArray[Any], b: NDArray[Any]) -> float:
    """Mean structural similarity (Wang et al. 2004), averaged over channels.

    7x7 uniform window, K1 = 0.01, K2 = 0.03, sample covariance, data range 1: the defaults of
    scikit-image, not the 11x11 Gaussian window of the paper.
    """
    from skimage.metrics import structural_similarity

    return float(
        structural_similarity(
            np.asarray(a, np.float64), np.asarray(b, np.float64), channel_axis=-1, data_range=1.0
        )
    )


def iou(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    """Intersection over union; two empty masks agree fully."""
    union = int((a | b).sum())
    return float((a & b).sum() / union) if union else 1.0


def over_white(rgb: NDArray[Any], alpha: NDArray[Any]) -> NDArray[np.float64]:
    """Composite straight-alpha colour on white, in the encoded values, rounded to 8 bits.

    Rounded, because reference pictures are 8-bit files: both sides get the same treatment.
    """
    a = np.asarray(alpha, np.float64)[..., None]
    out: NDArray[np.float64] = np.floor((rgb * a + 1 - a) * 255 + 0.5) / 255
    return out
