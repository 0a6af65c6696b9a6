"""What the background looks like, judged from the frame of the picture inward."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from img2mesh.core.arrays import F32, Mask
from img2mesh.imaging.masks import ring

#: Width of the frame that counts as background, as a share of the longest side
#: (specification of the offline prior, "Segmentation").
RING = 0.04
#: Weights of a colour difference: lightness less where darker than the background (a shadow),
#: chroma more (ibid.).
_DARKER, _CHROMA = 0.55, 1.25
#: A second surface (floor below wall) is fitted where this much of the frame misses the first.
_SECOND_SURFACE = 0.12
#: Nearest frame colours: how many, out of at most how many, and what a whole picture of distance
#: costs in Lab units. A small price: walls and floors run along the whole frame. Measured on
#: composites of known masks: 20 separates better than 40, 80 or 160.
_NEIGHBOURS, _SAMPLES, _PLACE = 5, 1600, 20.0


def along_frame(shape: tuple[int, int], share: float = RING) -> Mask:
    """(h, w) bool: the pixels along the frame."""
    return ring(shape, max(3, round(share * max(shape))))


def surface_difference(lab: F32, frame: Mask) -> F32:
    """Colour difference to the nearer of two smooth surfaces through the frame's colours.

    Args:
        lab: (h, w, 3) float32 CIE Lab.
        frame: (h, w) bool.

    Returns:
        (h, w) float32, in Lab units.
    """
    first = _to_surface(lab, frame)
    missed = frame & (first > 12)
    if missed.sum() <= _SECOND_SURFACE * frame.sum():
        return first
    # The floor ends where the frame left and right of it no longer shows it; likewise up and down.
    rows = (missed.sum(1) >= 0.4 * frame.sum(1)) & (missed[:, 0] | missed[:, -1])
    columns = (missed.sum(0) >= 0.4 * frame.sum(0)) & (missed[0] | missed[-1])
    second = _to_surface(lab, missed)
    return np.where(rows[:, None] | columns | frame, np.minimum(first, second), first)


def _to_surface(lab: F32, samples: Mask) -> F32:
    """Difference to a quadratic colour surface, fitted robustly (Geman-McClure weights)."""
    h, w = samples.shape
    yy, xx = np.mgrid[-1 : 1 : h * 1j, -1 : 1 : w * 1j]
    basis = np.stack([np.ones_like(xx), xx, yy, xx * yy, xx**2, yy**2], axis=-1)
    rows, colours = basis[samples], lab[samples]
    weight = np.ones(len(rows))
    coefficients = np.zeros((6, 3))
    for _ in range(8):
        root = np.sqrt(weight)[:, None]
        coefficients = np.linalg.lstsq(rows * root, colours * root, rcond=None)[0]
        misfit = np.linalg.norm(colours - rows @ coefficients, axis=1)
        scale = 1.4826 * np.median(misfit) + 1e-3
        weight = 1 / (1 + (misfit / (2 * scale)) ** 2) ** 2
    return _weighted(lab - basis @ coefficients)


def _weighted(difference: NDArray[np.floating]) -> F32:
    light = np.where(difference[..., 0] < 0, _DARKER, 1.0) * difference[..., 0]
    chroma = _CHROMA * difference[..., 1:]
    return np.sqrt(light**2 + (chroma**2).sum(-1)).astype(np.float32)


def frame_difference(lab: F32, frame: Mask) -> F32:
    """Mean distance in colour and place to the nearest colours of the frame; knows textures.

    Args, returns: as :func:`surface_difference`.
    """
    import cv2
    from scipy.spatial import cKDTree

    h, w = frame.shape
    yy, xx = np.mgrid[0:h, 0:w] * np.float32(_PLACE / max(h, w))
    smooth = cv2.GaussianBlur(lab, (0, 0), 1.0)
    features = np.dstack([smooth[..., 0] * 0.8, smooth[..., 1:] * _CHROMA, xx, yy])
    features = features.reshape(-1, 5).astype(np.float32)
    index = np.flatnonzero(frame)
    samples = features[index[:: max(1, len(index) // _SAMPLES)]]
    distance, _ = cKDTree(samples).query(features, k=_NEIGHBOURS)
    return distance.mean(1).reshape(h, w).astype(np.float32)


def behind(lab: F32, visible: Mask) -> F32:
    """The background carried on behind the object, from its surroundings inward.

    Args:
        lab: (h, w, 3) float32.
        visible: (h, w) bool, where the background is seen.

    Returns:
        (h, w, 3) float32: blurred background colours everywhere.
    """
    import cv2

    weight = cv2.erode(visible.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(np.float32)
    weighted = np.dstack([lab * weight[..., None], weight])
    result = np.zeros_like(lab)
    done = np.zeros(visible.shape, np.float32)
    for sigma in (3, 6, 12, 24, 48, 96):  # the finest scale that sees enough background decides
        blurred = _blur(weighted, sigma)
        share = np.clip(blurred[..., 3] / 0.15, 0, 1) * (1 - done)
        result += blurred[..., :3] * (share / np.maximum(blurred[..., 3], 1e-6))[..., None]
        done += share
    mean = weighted[..., :3].sum((0, 1)) / max(float(weight.sum()), 1.0)
    return (result + (1 - done)[..., None] * mean).astype(np.float32)


def _blur(planes: F32, sigma: float) -> F32:
    """Gaussian blur; wide ones on a reduced picture, where they lose nothing."""
    import cv2

    h, w = planes.shape[:2]
    factor = 1 if sigma < 6 else 2 if sigma < 12 else 4 if sigma < 24 else 8
    if factor == 1 or min(h, w) < 8 * factor:
        return np.asarray(cv2.GaussianBlur(planes, (0, 0), sigma), np.float32)
    reduced = cv2.resize(planes, (w // factor, h // factor), interpolation=cv2.INTER_AREA)
    blurred = cv2.GaussianBlur(reduced, (0, 0), sigma / factor)
    return np.asarray(cv2.resize(blurred, (w, h), interpolation=cv2.INTER_LINEAR), np.float32)


def mismatch(lab: F32, hidden: F32, visible: Mask) -> F32:
    """How badly a pixel fits the background behind it, a cast shadow allowed for.

    Args:
        lab: (h, w, 3) float32, slightly smoothed.
        hidden: (h, w, 3) float32 of :func:`behind`.
        visible: (h, w) bool, where the background is seen.

    Returns:
        (h, w) float32 in units of the background's own local variation; about 1 for background.
    """
    import cv2

    weight = cv2.erode(visible.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(np.float32)
    # Above 30 Lab units a difference is an outlier, not variation.
    variance = np.minimum(((lab - hidden) ** 2).sum(-1) / 3, 900) * weight
    overall = float(variance.sum()) / max(float(weight.sum()), 1.0)
    local = _blur(variance, 24) + 0.05 * overall
    sigma = np.sqrt(local / (_blur(weight, 24) + 0.05)) + 2.0
    # A shadow scales all of Lab alike to first order; the best scale down to 0.35 explains it.
    scale = (lab * hidden).sum(-1) / np.maximum((hidden**2).sum(-1), 1)
    scale = np.clip(scale, 0.35, 1.0)
    rest = np.linalg.norm((lab - hidden * scale[..., None]) * [0.8, 1.2, 1.2], axis=-1)
    rest += (1 - scale) * hidden[..., 0] * 0.25
    return (rest / sigma / 1.7).astype(np.float32)
