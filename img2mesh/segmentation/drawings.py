"""Drawings and lettering: flat ink on a flat ground, of which no depth can be known."""

from __future__ import annotations

import cv2
import numpy as np

from img2mesh.core.arrays import F64, U8, Mask
from img2mesh.imaging.masks import fill_pinholes, inset, pieces, ring

#: Longest side at which strokes are measured, in pixels.
_SIZE = 512
#: Ink is flat: so much of it, away from its rim, lies within so many levels of one colour.
_FLAT, _LEVELS = 0.9, 24.0
#: Lines: their width against the size of the figure they draw.
_THIN = 0.07
#: A drawing encloses at least this many times its ink.
_ENCLOSED = 1.5
#: Lettering: so many pieces of like height on one line.
_LETTERS, _LIKE, _LEAST_LETTER = 3, 0.5, 0.01


def recognised(rgb: U8, inside: Mask) -> tuple[Mask | None, str | None]:
    """What a flat picture is, if it is a drawing or lettering.

    Args:
        rgb: (h, w, 3) the photo.
        inside: (h, w) the object as found.

    Returns:
        the figure that a drawing's lines enclose at the photo's size, or None; and a note, or None.
    """
    scale = min(1.0, _SIZE / max(inside.shape))
    size = (max(8, round(inside.shape[1] * scale)), max(8, round(inside.shape[0] * scale)))
    mask = cv2.resize(inside.astype(np.float32), size, interpolation=cv2.INTER_AREA) > 0.5
    levels = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA).astype(np.float64)
    if not mask.any():
        return None, None
    # The object that was found may be one letter of many.
    ink = _ink(levels)
    if ink is not None and _flat(levels, ink) and _lettering(ink):
        return None, (
            "this looks like lettering or a logo, one flat colour on a line: a picture of that "
            "tells no depth, and the shape is made up"
        )
    if not _flat(levels, mask):
        return None, None
    whole = fill_pinholes(mask, below=np.inf)
    width = 2 * float(np.quantile(inset(mask)[mask], 0.95))
    if width > _THIN * float(np.sqrt(mask.any(0).sum() * mask.any(1).sum())):
        return None, None
    if (whole & ~mask).sum() < _ENCLOSED * mask.sum():
        return None, (
            "this looks like a line drawing or lettering: only its lines were found, and a drawing "
            "tells no depth"
        )
    return fill_pinholes(inside, below=np.inf), (
        "this looks like a line drawing: what its lines enclose was taken for the figure; a "
        "drawing tells no depth, and the shape is made up"
    )


def _ink(levels: F64) -> Mask | None:
    """(h, w) what stands out of a plain ground, or None where the ground is not plain."""
    border = ring(levels.shape[:2], 2)
    ground = np.median(levels[border], axis=0)
    far = np.abs(levels - ground).max(-1)
    plain = (far[border] <= _LEVELS / 4).mean() >= _FLAT
    ink: Mask = far > 2 * _LEVELS
    return ink if plain and ink.any() else None


def _flat(levels: F64, mask: Mask) -> bool:
    """Whether the mask holds one colour, but for its rim."""
    depth = inset(mask)
    core = depth >= min(2.0, float(np.quantile(depth[mask], 0.7)))
    ink = np.median(levels[core], axis=0)
    return bool((np.abs(levels[core] - ink).max(-1) <= _LEVELS).mean() >= _FLAT)


def _lettering(mask: Mask) -> bool:
    count, labels = pieces(mask)
    if count < _LETTERS:
        return False
    areas = np.bincount(labels.ravel(), minlength=count + 1)[1:]
    spans = []
    for label in np.flatnonzero(areas >= _LEAST_LETTER * mask.sum()) + 1:
        rows = np.flatnonzero((labels == label).any(1))
        spans.append((rows[0], rows[-1] + 1))
    if len(spans) < _LETTERS:
        return False
    heights = np.array([bottom - top for top, bottom in spans], np.float64)
    usual = float(np.median(heights))
    middles = np.array([(top + bottom) / 2 for top, bottom in spans])
    row = np.abs(middles - np.median(middles)) <= 0.35 * usual
    like = np.abs(heights / usual - 1) <= _LIKE
    return bool((row & like).sum() >= max(_LETTERS, 0.6 * len(spans)))
