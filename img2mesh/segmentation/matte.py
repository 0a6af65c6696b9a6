"""Mattes: cleaning, and edges that follow the picture."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from img2mesh.core.arrays import F32, U8
from img2mesh.imaging.masks import fill_pinholes, keep_pieces

#: A part beside the largest stays when it has this share of it (a lid, a wheel, an earring) ...
_SIGNIFICANT = 0.03
#: What is dropped is told from this share of the object on ...
_LOST = 0.003
#: ... and a hole is closed below this share of the object: pinholes are noise, handles are not.
_PINHOLE = 0.0008
#: Longest side at which the filter's coefficients are found; they are smooth, the guide is not.
_EDGE_SIZE = 512
#: Window radius as a share of the longest side, and regulariser (specification of the offline
#: prior, "Segmentation").
_EDGE_RADIUS, _EDGE_EPS = 0.006, 1e-4
#: Beside the largest part another one belongs to the same object if most of it lies in its box
#: (widened by the first share of its size); one that does not, but is this large, is mentioned.
_SAME_BOX, _IN_BOX, _SECOND_OBJECT = 0.04, 0.5, 0.35


def clean(matte: F32) -> tuple[F32, tuple[str, ...]]:
    """Drop specks beside the object and close pinholes in it.

    Args:
        matte: (h, w) float32 in [0, 1].

    Returns:
        the matte, and notes for the user.
    """
    import cv2

    inside = matte > 0.5
    keep, areas = keep_pieces(inside, diagonal=True, pixels=8, share=_SIGNIFICANT)
    if not keep.any():
        return np.zeros_like(matte), ()
    # The soft rim of a kept part stays with it; that of a dropped one goes with it.
    reach = cv2.dilate(keep.astype(np.uint8), np.ones((5, 5), np.uint8), iterations=2) > 0
    dropped = inside & ~keep
    near_dropped = cv2.dilate(dropped.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    result = np.where(keep | (reach & ~near_dropped), matte, 0).astype(np.float32)
    holes = fill_pinholes(keep, below=int(_PINHOLE * areas.max()) + 1) & ~keep
    result[holes] = 1
    notes = [f"the object is in {len(areas)} separate parts"] if len(areas) > 1 else []
    lost = float(dropped.sum()) / float(keep.sum())
    if lost >= _LOST:
        notes.append(f"specks beside the object ({lost:.1%} of its size) were left out")
    return result, tuple(notes)


def _guided_coefficients(guide: F32, plane: F32, radius: int, eps: float) -> tuple[F32, F32]:
    """Slopes (h, w, 3) and offsets (h, w) that make ``plane`` follow the edges of a colour guide.

    He, Sun, Tang, "Guided Image Filtering" (PAMI 2013), eqs. 14-16; applied to a larger guide as
    in He, Sun, "Fast Guided Filter" (2015).

    Args:
        guide: (h, w, 3) float32 in [0, 1].
        plane: (h, w) float32.
        radius: of the box window, in pixels.
        eps: regulariser in squared guide units.
    """
    import cv2

    def mean(x: F32) -> F32:
        window = (2 * radius + 1, 2 * radius + 1)
        return np.asarray(cv2.blur(x, window, borderType=cv2.BORDER_REFLECT_101))

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
    slope = np.linalg.solve(covariance, cross[..., None])[..., 0].astype(np.float32)
    offset = level - (slope * centre).sum(-1)
    return mean(slope), mean(offset)


def refine_edges(rgb: U8, mask: NDArray[np.bool_]) -> F32:
    """Upsample a coarse mask so that its edge follows the photo's.

    Args:
        rgb: (h, w, 3) uint8 photo.
        mask: bool, any smaller size of the same proportions.

    Returns:
        (h, w) float32 matte in [0, 1], exactly 0 and 1 away from the edge.
    """
    import cv2

    h, w = rgb.shape[:2]
    scale = min(1.0, _EDGE_SIZE / max(h, w))
    size = (max(1, round(w * scale)), max(1, round(h * scale)))
    reduced = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)
    small = np.asarray(reduced, np.float32) / np.float32(255)
    coarse = cv2.resize(mask.astype(np.float32), size, interpolation=cv2.INTER_CUBIC)
    # The cubic staircase of a binary mask, smoothed at its own pixel size.
    coarse = cv2.GaussianBlur(coarse, (0, 0), 0.5 * size[0] / mask.shape[1])
    plane = np.asarray(np.clip((coarse - 0.5) * 2 + 0.5, 0, 1), np.float32)
    radius = max(2, round(_EDGE_RADIUS * max(size)))
    slope, offset = (
        cv2.resize(part, (w, h), interpolation=cv2.INTER_LINEAR)
        for part in _guided_coefficients(small, plane, radius, _EDGE_EPS)
    )
    matte = (slope * (rgb.astype(np.float32) / 255)).sum(-1) + offset
    matte = np.clip((matte - 0.5) * 1.25 + 0.5, 0, 1)
    # Only a band along the edge may differ from the mask.
    band = int(np.ceil(1.5 * radius))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * band + 1, 2 * band + 1))
    solid = (plane > 0.5).astype(np.uint8)
    sure = cv2.erode(solid, kernel, borderValue=1), cv2.dilate(solid, kernel)
    low, high = (
        cv2.resize(part.astype(np.float32), (w, h), interpolation=cv2.INTER_LINEAR) for part in sure
    )
    return np.clip(matte, low, high).astype(np.float32)


def main_object(
    mask: NDArray[np.bool_],
) -> tuple[NDArray[np.bool_], tuple[str, ...], float]:
    """Keep one object: the largest part, the nearer to the middle the better, and what is with it.

    Returns:
        the mask; a note where something was left out; and the size of the largest such part as a
        share of the one that was kept.
    """
    import cv2

    count, labels, stats, centres = cv2.connectedComponentsWithStats(
        mask.astype(np.uint8), connectivity=8
    )
    if count <= 2:
        return mask, (), 0.0
    h, w = mask.shape
    off = np.linalg.norm((centres[1:] / [w, h] - 0.5) * 2, axis=1)
    areas = stats[1:, cv2.CC_STAT_AREA].astype(np.float64)
    main = int(np.argmax(areas * np.exp(-(off**2)))) + 1
    left, top, width, height = stats[main, :4]
    room = _SAME_BOX * max(width, height)
    yy, xx = np.mgrid[0:h, 0:w]
    box = (xx >= left - room) & (xx < left + width + room)
    box &= (yy >= top - room) & (yy < top + height + room)
    keep = labels == main
    largest = 0.0
    for label in range(1, count):
        part = labels == label
        share = float(areas[label - 1] / areas[main - 1])
        if label == main:
            continue
        if (part & box).sum() >= _IN_BOX * part.sum() and share >= _SIGNIFICANT / 3:
            keep |= part
        else:
            largest = max(largest, share)
    if largest >= _SECOND_OBJECT:
        note = "there is more than one object: the larger, more central one was kept"
    elif largest >= _SIGNIFICANT:
        note = f"a part beside the object, {largest:.0%} of its size, was left out"
    else:
        return keep, (), largest
    return keep, (f"{note}; say which with --box or --mask if another was meant",), largest


def refine_alpha(probability: F32) -> F32:
    """A network's probabilities as a matte: exactly 0 and 1 where it is sure."""
    return np.clip((probability - 0.1) / 0.8, 0, 1).astype(np.float32)
