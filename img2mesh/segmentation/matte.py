"""Mattes: cleaning, and edges that follow the picture."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from img2mesh.artifacts import F32

#: A part beside the largest stays when it has this share of it (a lid, a wheel, an earring) ...
_SIGNIFICANT = 0.03
#: ... and a hole is closed below this share of the object: pinholes are noise, handles are not.
_PINHOLE = 0.0008


def clean(matte: F32) -> tuple[F32, tuple[str, ...]]:
    """Drop specks beside the object and close pinholes in it.

    Args:
        matte: (h, w) float32 in [0, 1].

    Returns:
        the matte, and notes for the user.
    """
    import cv2

    inside = (matte > 0.5).astype(np.uint8)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(inside, connectivity=8)
    if count <= 1:
        return np.zeros_like(matte), ()
    areas = stats[1:, cv2.CC_STAT_AREA]
    kept = np.flatnonzero(areas >= max(_SIGNIFICANT * areas.max(), 8)) + 1
    keep = np.isin(labels, kept)
    # The soft rim of a kept part stays with it; that of a dropped one goes with it.
    reach = cv2.dilate(keep.astype(np.uint8), np.ones((5, 5), np.uint8), iterations=2) > 0
    dropped = (inside > 0) & ~keep
    near_dropped = cv2.dilate(dropped.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    result = np.where(keep | (reach & ~near_dropped), matte, 0).astype(np.float32)
    holes = fill_pinholes(keep, int(_PINHOLE * areas.max())) & ~keep
    result[holes] = 1
    parts = (f"the object is in {len(kept)} separate parts",) if len(kept) > 1 else ()
    return result, parts


def fill_pinholes(mask: NDArray[np.bool_], largest: int) -> NDArray[np.bool_]:
    """Close holes of up to ``largest`` pixels that do not touch the frame."""
    import cv2

    count, labels, stats, _ = cv2.connectedComponentsWithStats(
        (~mask).astype(np.uint8), connectivity=4
    )
    h, w = mask.shape
    left, top = stats[:, cv2.CC_STAT_LEFT], stats[:, cv2.CC_STAT_TOP]
    right = left + stats[:, cv2.CC_STAT_WIDTH]
    bottom = top + stats[:, cv2.CC_STAT_HEIGHT]
    inner = (left > 0) & (top > 0) & (right < w) & (bottom < h)
    small = inner & (stats[:, cv2.CC_STAT_AREA] <= largest)
    small[0] = False  # label 0 is the mask itself
    return mask | small[labels]


def guided_filter(guide: F32, plane: F32, radius: int, eps: float) -> F32:
    """Edge-preserving smoothing of ``plane`` that follows the edges of a colour guide.

    He, Sun, Tang, "Guided Image Filtering" (PAMI 2013), eqs. 14-16, colour guide.

    Args:
        guide: (h, w, 3) float32 in [0, 1].
        plane: (h, w) float32.
        radius: of the box window, in pixels.
        eps: regulariser in squared guide units.
    """
    import cv2

    def mean(x: F32) -> F32:
        return cv2.blur(x, (2 * radius + 1, 2 * radius + 1), borderType=cv2.BORDER_REFLECT_101)

    centre = mean(guide)
    covariance = np.empty((*plane.shape, 3, 3), np.float32)
    for i in range(3):
        for j in range(i, 3):
            product = mean(guide[..., i] * guide[..., j]) - centre[..., i] * centre[..., j]
            covariance[..., i, j] = covariance[..., j, i] = product
    covariance += eps * np.eye(3, dtype=np.float32)
    level = mean(plane)
    cross = np.stack(
        [mean(guide[..., i] * plane) - centre[..., i] * level for i in range(3)], axis=-1
    )
    slope = np.linalg.solve(covariance, cross[..., None])[..., 0]
    offset = level - (slope * centre).sum(-1)
    result = (mean(slope) * guide).sum(-1) + mean(offset)
    return np.clip(result, 0, 1).astype(np.float32)
