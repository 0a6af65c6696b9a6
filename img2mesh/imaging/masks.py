"""What masks are made of: pieces, holes, and how far it is to their border."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from img2mesh.core.arrays import F32, F64, I32, Mask


def ring(shape: tuple[int, int], width: int) -> Mask:
    """(h, w): the pixels at most ``width`` pixels from the picture's border."""
    found = np.ones(shape, bool)
    found[width:-width, width:-width] = False
    return found


def keep_pieces(
    mask: Mask, *, diagonal: bool, pixels: float, share: float
) -> tuple[Mask, NDArray[np.int64]]:
    """The connected pieces that are large enough, (h, w), and their areas in pixels.

    Args:
        mask: (h, w).
        diagonal: pixels that share only a corner are connected.
        pixels: least area of a piece.
        share: least area of a piece as a share of the largest one's.
    """
    labels, stats = _pieces(mask, diagonal=diagonal)
    areas = stats[:, 4].astype(np.int64)
    areas[0] = 0
    large = areas >= max(pixels, share * float(areas.max()), 1)
    kept: Mask = large[labels]
    return kept, areas[large]


def pieces(mask: Mask) -> tuple[int, I32]:
    """How many connected pieces, corners included, and their numbers (h, w) from 1; 0 outside."""
    labels, stats = _pieces(mask, diagonal=True)
    return len(stats) - 1, labels


def touching_border(mask: Mask) -> Mask:
    """Those pieces of a mask that reach the picture's border; sides connect, corners do not."""
    labels, stats = _pieces(mask, diagonal=False)
    touching = _at_border(stats, mask.shape)
    touching[0] = False
    found: Mask = touching[labels]
    return found


def fill_pinholes(mask: Mask, *, below: float) -> Mask:
    """Close the holes of fewer than ``below`` pixels that do not touch the picture's border."""
    labels, stats = _pieces(~mask, diagonal=False)
    small = (stats[:, 4] < below) & ~_at_border(stats, mask.shape)
    small[0] = False  # the mask itself
    closed: Mask = mask | small[labels]
    return closed


def _pieces(mask: Mask, *, diagonal: bool) -> tuple[I32, I32]:
    """Numbers of the pieces (h, w), 0 outside; (n, 5) left, top, width, height and area of each.

    OpenCV's: on a large photo several times as fast as labelling and counting with scipy.
    """
    import cv2

    _, labels, stats, _ = cv2.connectedComponentsWithStats(
        mask.astype(np.uint8), connectivity=8 if diagonal else 4
    )
    return np.asarray(labels, np.int32), np.asarray(stats, np.int32)


def _at_border(stats: I32, shape: tuple[int, ...]) -> Mask:
    left, top, width, height = stats[:, :4].T
    at: Mask = (left == 0) | (top == 0) | (left + width == shape[1]) | (top + height == shape[0])
    return at


def inset(mask: Mask) -> F64:
    """How far each pixel (h, w) lies inside the mask: pixels to the nearest one outside it.

    A mask cut by the picture's border ends there.
    """
    from scipy.ndimage import distance_transform_edt

    distance: F64 = distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    return distance


def signed_distance(mask: Mask) -> F32:
    """Pixels from pixel centres to the mask's border, (h, w) float32, negative inside.

    A mask cut by the picture's border ends there.
    """
    from scipy.ndimage import distance_transform_edt

    outside = distance_transform_edt(np.pad(~mask, 1, constant_values=True))[1:-1, 1:-1]
    distance: F32 = np.where(mask, 0.5 - inset(mask), outside - 0.5).astype(np.float32)
    return distance
