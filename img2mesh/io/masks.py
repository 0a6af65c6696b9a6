"""Masks in the spellings people have, to one: 0 outside the object, 255 inside.

Understood: grey of any depth and any two shades, 0 and 1, numbered labels (255 beside them is VOC's
border of nobody), palettes (VOC, LabelMe), any colour against a plain ground, transparency, and the
object and its surroundings exchanged.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from img2mesh.core.arrays import F32, U8
from img2mesh.errors import InputError

#: Channels that differ by more make a colour.
_COLOURED = 16
#: A grey mask that gets no lighter than this holds numbers, not brightness.
_LABELS = 16
#: Within so much of the ground's colour a pixel belongs to it; and the least share of the picture's
#: border that does, or the mask is a picture of something.
_GROUND, _PLAIN = 32, 0.25
#: Share of the picture's border that a mask of the surroundings covers, and the least and most of
#: the picture that it leaves for the object.
_BORDER, _LEAST, _MOST = 0.98, 0.005, 0.95
#: Turned by a quarter, the mask's outline must lie on edges so many times as strong.
_CLEARER = 1.3

TURNED_OVER = (
    "the mask covers the surroundings and leaves the object out: it was taken the other way round"
)
WHOLE = "the mask covers the whole picture: nothing was cut away"
STORED = (
    "the mask was drawn on the photo as it is stored, lying: it was turned upright with the photo"
)


def object_mask(rgb: U8, alpha: U8 | None) -> tuple[U8, tuple[str, ...]]:
    """The object's mask (h, w) uint8 of a picture of it, and notes.

    Args:
        rgb: (h, w, 3).
        alpha: (h, w), or None where every pixel is opaque.

    Raises:
        InputError: colours on no plain ground, as in a photo.
    """
    if alpha is not None:
        return _right_way_round(alpha)
    values = rgb.astype(np.int16)
    if (values.max(axis=2) - values.min(axis=2)).max() > _COLOURED:
        away, plain = _away(values)
        if plain < _PLAIN:
            raise InputError(
                "the mask is a picture of many colours: expected the object in white, or in one "
                "colour, on black"
            )
        # Every colour counts fully, however dark its palette entry is.
        away = np.where(away > _GROUND, 255, away * 4)
        return _right_way_round(away.astype(np.uint8))
    from PIL import Image

    grey = np.asarray(Image.fromarray(rgb).convert("L"))
    counts = np.bincount(grey.ravel(), minlength=256)
    shades = np.flatnonzero(counts)
    numbers = shades[(shades > 0) & (shades <= _LABELS)]
    others = shades[shades > _LABELS]
    if len(numbers) and not len(others):
        grey = np.where(grey > 0, 255, 0).astype(np.uint8)
    elif others.tolist() == [255] and counts[numbers].sum() > counts[255]:
        grey = np.where((grey > 0) & (grey < 255), 255, 0).astype(np.uint8)
    elif (shades[-1] <= 127 or shades[0] > 127) and np.ptp(shades) > _COLOURED:
        away, _ = _away(grey[..., None].astype(np.int16))  # two shades, both dark or both light
        grey = (away * 255.0 / away.max()).astype(np.uint8)
    return _right_way_round(grey)


def _away(values: NDArray[np.int16]) -> tuple[NDArray[np.int16], float]:
    """How far (h, w) each pixel of (h, w, c) is from the border's commonest colour, and the share
    of the border that is near it."""
    rim = np.concatenate([values[0], values[-1], values[:, 0], values[:, -1]])
    colours, counts = np.unique(rim, axis=0, return_counts=True)
    ground = colours[counts.argmax()]
    near = np.abs(rim - ground).max(axis=1) <= _GROUND
    return np.abs(values - ground).max(axis=2), float(near.mean())


def _right_way_round(mask: U8) -> tuple[U8, tuple[str, ...]]:
    inside = mask > 127
    rim = np.concatenate([inside[0], inside[-1], inside[:, 0], inside[:, -1]])
    left = 1 - float(inside.mean())
    if rim.mean() >= _BORDER and _LEAST <= left <= _MOST:
        return (255 - mask).astype(np.uint8), (TURNED_OVER,)
    return mask, (WHOLE,) if left == 0 else ()


def edge_strength(rgb: U8, mask: U8) -> float:
    """How strong the picture's edges are along a mask's outline, mean over it; 0 without one."""
    import cv2

    inside = (mask > 127).astype(np.uint8)
    kernel = np.ones((3, 3), np.uint8)
    outline = cv2.dilate(inside, kernel) != cv2.erode(inside, kernel)
    if not outline.any():
        return 0.0
    soft: F32 = cv2.GaussianBlur(rgb, (0, 0), 1.0).astype(np.float32)
    slope = np.abs(np.gradient(soft, axis=0)) + np.abs(np.gradient(soft, axis=1))
    return float(slope.max(axis=2)[outline].mean())


def upright(rgb: U8, mask: U8, turned: U8) -> tuple[U8, tuple[str, ...]]:
    """The mask as it came or turned like its photo, whichever lies on the photo's edges.

    Args:
        rgb: (h, w, 3), the upright photo.
        mask, turned: (h, w).
    """
    if edge_strength(rgb, turned) > _CLEARER * edge_strength(rgb, mask):
        return turned, (STORED,)
    return mask, ()
