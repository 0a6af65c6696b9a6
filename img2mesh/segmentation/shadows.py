"""Soft shadows that a picture's transparency holds: no part of the object."""

from __future__ import annotations

import numpy as np

from img2mesh.core.arrays import U8

#: Alpha of what is solid, and of what is there at all.
_SOLID, _THERE = 247, 8
#: Shadows are dark and colourless: brightest channel, and spread of the channels.
_DARK, _COLOURLESS = 64, 24
#: Half-transparent pixels further than this from solid ones are no soft rim (share of the longest
#: side, and pixels at least); below this share of the object they are not worth a word.
_RIM, _RIM_PIXELS, _WORTH = 0.008, 3, 0.01


def without_shadow(rgb: U8, alpha: U8) -> tuple[U8, tuple[str, ...]]:
    """The alpha without dark half-transparent areas beside the solid object, and notes.

    Args:
        rgb: (h, w, 3).
        alpha: (h, w).
    """
    import cv2

    solid = alpha >= _SOLID
    half = (alpha > _THERE) & ~solid
    if not solid.any() or not half.any():
        return alpha, ()
    away = cv2.distanceTransform((~solid).astype(np.uint8), cv2.DIST_L2, 5)
    rim = max(_RIM_PIXELS, _RIM * max(alpha.shape))
    worth = _WORTH * float(solid.sum())
    if float((half & (away > rim)).sum()) < worth:
        return alpha, ()
    brightest = rgb.max(axis=2)
    dark = half & (brightest <= _DARK) & (brightest - rgb.min(axis=2) <= _COLOURLESS)
    if float((dark & (away > rim)).sum()) < worth:
        return alpha, (
            "much of the picture's transparency is half transparent: it is taken as part of the "
            "object where it covers more than half",
        )
    # What touches the object keeps one pixel of soft rim.
    kept = np.where(dark & (away > 1.5), 0, alpha).astype(np.uint8)
    return kept, (
        "a half-transparent shadow in the picture's transparency was left out of the object",
    )
