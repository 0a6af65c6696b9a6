"""Transparency that frees a plate or a window, not the object: app icons, screenshots."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from img2mesh.core.arrays import U8, Mask
from img2mesh.imaging.masks import fill_pinholes, inset, keep_pieces, touching_border

#: A plate fills the picture: its box this share of either side, and itself this share of its box
#: (a circle has .785).
_SPANS, _FILLS = 0.85, 0.76
#: Rectangles and their like, round corners included, cover so much of their box; balls do not.
_RECTANGLE = 0.9
#: Its rim shows one gradient, or at most two flat colours, each within so many levels, that cover
#: so much of it.
_LEVELS, _COVER, _EACH = 6.0, 0.97, 0.15
#: Width of the rim that is looked at, and of the outermost part that is not (share of the box).
_RIM, _SKIP = 0.05, 0.012
#: What lies on it covers this share of the plate.
_LEAST, _MOST = 0.01, 0.85


_PLAIN = (
    "the picture's transparency frees a plain plate: what lies on it was taken for the object; "
    "if the plate is meant, pass --mask"
)
_FULL = (
    "the picture's transparency frees a rectangle that fills it, such as a window or a framed "
    "photo: if the object lies on it, pass --mask of it, or the picture without transparency"
)


@dataclass(frozen=True)
class Plate:
    """A plate that the transparency frees.

    Attributes:
        content: (h, w) what lies on it; None where that cannot be told.
        note: a sentence for the user.
    """

    content: Mask | None
    note: str


def plate(rgb: U8, alpha: U8) -> Plate | None:
    """Whether the transparency frees a plain plate or window, and what lies on it.

    Args:
        rgb: (h, w, 3).
        alpha: (h, w).
    """
    opaque = alpha >= 128
    solid = fill_pinholes(opaque, below=np.inf)
    rows, columns = np.flatnonzero(solid.any(1)), np.flatnonzero(solid.any(0))
    if not len(rows):
        return None
    height, width = rows[-1] + 1 - rows[0], columns[-1] + 1 - columns[0]
    spans = min(height / alpha.shape[0], width / alpha.shape[1])
    if spans < _SPANS or solid.sum() < _FILLS * height * width or not _regular(solid):
        return None
    depth = inset(solid)
    side = min(height, width)
    skip, rim = max(2.0, _SKIP * side), max(5.0, _RIM * side)
    ring = opaque & (depth > skip) & (depth <= rim)
    unknown = Plate(None, _FULL) if solid.sum() >= _RECTANGLE * height * width else None
    far = _off_the_ground(rgb, ring)
    if far is None:
        return unknown
    ground = (far <= 2 * _LEVELS) & opaque & (depth > skip)
    # Connected to the rim: what has the plate's colour inside the object stays.
    inner = depth > skip
    ground = touching_border(ground | ~inner) & inner
    content = cv2.morphologyEx((inner & ~ground).astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3)))
    kept, areas = keep_pieces(content > 0, diagonal=True, pixels=16, share=0.02)
    share = float(areas.sum()) / float(solid.sum())
    return Plate(kept, _PLAIN) if _LEAST <= share <= _MOST else unknown


def _off_the_ground(rgb: U8, ring: Mask) -> np.ndarray | None:
    """How far (h, w) each pixel is from the colours of the rim, or None if those are no ground."""
    levels = rgb.astype(np.int16)
    colours = _flat_colours(rgb[ring])
    if colours is not None:
        return np.asarray(np.min([np.abs(levels - colour).max(-1) for colour in colours], axis=0))
    rows, columns = np.mgrid[: rgb.shape[0], : rgb.shape[1]] / max(rgb.shape[:2])
    plane = np.stack([np.ones_like(rows), rows, columns], axis=-1)
    slope, *_ = np.linalg.lstsq(plane[ring], levels[ring].astype(np.float64), rcond=None)
    far = np.abs(levels - plane @ slope).max(-1)
    return far if (far[ring] <= 2 * _LEVELS).mean() >= _COVER else None


def _regular(solid: Mask) -> bool:
    """A rounded rectangle or an ellipse: convex, and like its own mirror images."""
    outline, _ = cv2.findContours(
        solid.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE
    )
    largest = max(outline, key=cv2.contourArea)
    hull = cv2.contourArea(cv2.convexHull(largest))
    if hull <= 0 or cv2.contourArea(largest) < 0.985 * hull:
        return False
    x, y, w, h = cv2.boundingRect(largest)
    box = solid[y : y + h, x : x + w]
    return all((box ^ np.flip(box, axis)).mean() < 0.015 for axis in (0, 1))


def _flat_colours(values: U8) -> list[np.ndarray] | None:
    """At most two flat colours that cover all these pixels (n, 3), or None."""
    rest, found, total = values.astype(np.int16), [], len(values)
    for _ in range(2):
        if len(rest) < (1 - _COVER) * total:
            break
        packed = (rest // 8).astype(np.int64) @ np.array([1024, 32, 1])
        usual = rest[packed == np.bincount(packed).argmax()]
        colour = np.median(usual, axis=0)
        near = np.abs(rest - colour).max(-1) <= _LEVELS
        if near.sum() < _EACH * total:
            break
        found.append(colour)
        rest = rest[~near]
    return found if found and len(rest) <= (1 - _COVER) * total else None
