"""A painted checkerboard behind the object: the transparency of a picture that lost it.

Two flat colours alternate along both axes with one period. The pattern is measured on the frame of
the picture and carried on over all of it; what breaks it is the object, also where the object has
one of its two colours, as it then covers the squares of the other.
"""

from __future__ import annotations

import cv2
import numpy as np

from img2mesh.core.arrays import F64, U8, Mask
from img2mesh.imaging.masks import fill_pinholes, ring
from img2mesh.segmentation.matte import main_object, refine_edges
from img2mesh.segmentation.result import Segmentation

#: Sides of a square that are looked for, in pixels; pixels of the frame that are asked.
_SMALLEST, _LARGEST, _SAMPLES = 3.0, 128.0, 3000
#: So much of the frame must follow the pattern, within this many levels; the object may touch it.
_FOLLOWS, _LEVELS = 0.85, 14.0
#: The two colours differ by at least twice so many levels, and each covers this share of the frame.
_APART, _EACH = 5.0, 0.2
#: Width of the frame that is looked at, as a share of the shorter side.
_FRAME = 0.06
#: Share of the picture that is an object, and how sure this is where all of it is one piece.
_LEAST, _SURE = 0.005, 0.85
NOTE = "the background is a painted checkerboard: it was taken for the transparency it stands for"


def segment(rgb: U8) -> Segmentation | None:
    """The object before a painted checkerboard, or None where there is no such thing.

    Args:
        rgb: (h, w, 3) uint8.
    """
    height, width = rgb.shape[:2]
    levels = rgb.astype(np.float64)
    frame = ring((height, width), max(4, round(_FRAME * min(height, width))))
    if frame.all():
        return None
    colours = _two_colours(levels[frame])
    if colours is None:
        return None
    to_first, to_second = (np.abs(levels - colour).max(-1) for colour in colours)
    sign = np.where(to_first < to_second, 1.0, -1.0)
    sign[np.minimum(to_first, to_second) > _LEVELS] = 0
    pattern, side = _pattern(sign, frame)
    if pattern is None:
        return None
    # Where squares meet, a resized or compressed picture mixes their colours.
    seam = cv2.morphologyEx(pattern.astype(np.float32), cv2.MORPH_GRADIENT, np.ones((5, 5))) > 0
    off = np.where(pattern > 0, to_first, to_second)
    usual = float(np.quantile(off[frame & ~seam], 0.9)) if (frame & ~seam).any() else _LEVELS
    broken = ((off > min(_LEVELS, 2 + 4 * usual)) & ~seam).astype(np.uint8)
    # An object of one of the two colours breaks every second square: close over one square.
    near = 2 * int(np.ceil(side / 2 + 4)) + 1
    closed = cv2.morphologyEx(
        cv2.copyMakeBorder(broken, near, near, near, near, cv2.BORDER_CONSTANT),
        cv2.MORPH_CLOSE,
        cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (near, near)),
    )[near:-near, near:-near]
    mask = cv2.morphologyEx(closed, cv2.MORPH_OPEN, np.ones((3, 3))) > 0
    mask = fill_pinholes(mask, below=4 * side**2)
    kept, notes, left = main_object(mask)
    if kept.sum() < _LEAST * kept.size:
        return None
    sureness = _SURE * (1 - min(left, 0.4))
    return Segmentation(refine_edges(rgb, kept), round(sureness, 3), (NOTE, *notes))


def _two_colours(values: F64) -> tuple[F64, F64] | None:
    """The two colours of the frame's pixels (n, 3), the more frequent first; or None."""
    found: list[F64] = []
    rest = values
    for _ in range(2):
        if len(rest) < _EACH * len(values):
            return None
        packed = (rest // 4).astype(np.int64) @ np.array([4096, 64, 1])
        usual = rest[packed == np.bincount(packed).argmax()].mean(0)
        near = np.abs(rest - usual).max(-1) <= _APART
        found.append(rest[near].mean(0))
        rest = rest[~near]
    return (found[0], found[1]) if np.abs(found[0] - found[1]).max() >= 2 * _APART else None


def _pattern(sign: F64, frame: Mask) -> tuple[F64 | None, float]:
    """The checkerboard (h, w) of 1 and -1 that the frame follows, or None; pixels of a side."""
    height, width = sign.shape
    inside = frame & (sign != 0)
    if inside.sum() < _FOLLOWS * frame.sum():
        return None, 0.0
    places = np.argwhere(inside)
    # At random: any stride may beat with the squares.
    places = places[np.random.default_rng(0).integers(len(places), size=_SAMPLES)]
    values = sign[places[:, 0], places[:, 1]]
    rows, columns = (places + 0.5).T
    largest, smallest = min(_LARGEST, min(height, width) / 3), _SMALLEST
    # So fine that a wave of the next step is a quarter of a square off at the far end.
    angles = np.arange(np.pi / largest, np.pi / smallest, np.pi / (4 * max(height, width)))
    strongest, waves = 0.0, (0j, 0j, 0.0)
    for angle in angles:
        down, right = values * np.exp(-1j * angle * rows), np.exp(-1j * angle * columns)
        same, against = (down * right).sum(), (down * right.conj()).sum()
        if abs(same) * abs(against) > strongest:
            strongest, waves = abs(same) * abs(against), (same, against, float(angle))
    same, against, angle = waves
    if not angle:
        return None, 0.0
    # sign = s(y) s(x), so that the phases are the half sum and the half difference.
    a, b = np.angle(same), np.angle(against)
    down = np.cos(angle * (np.arange(height) + 0.5) + (a + b) / 2)
    right = np.cos(angle * (np.arange(width) + 0.5) + (a - b) / 2)
    wave: F64 = np.where(down[:, None] * right[None] >= 0, 1.0, -1.0)
    follows = float((wave == sign)[frame].mean())
    return (wave if follows >= _FOLLOWS else None), np.pi / angle
