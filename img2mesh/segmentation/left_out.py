"""Parts that hardly differ from a plain backdrop, and outlines that lie on nothing.

White goods on white are the most common product photo. A pale part differs from its backdrop by a
few levels, less than any colour model believes in, but before a plain backdrop it shows by a rim
that is as sharp as the rest of the picture; a shadow's is soft. What is found so joins parts that
it lies between, and else is told: confidence must measure what was left out.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from img2mesh.core.arrays import F32, F64, Mask
from img2mesh.imaging import backdrop
from img2mesh.imaging.masks import inset, pieces, ring, touching_border
from img2mesh.segmentation import background

#: A difference above this many noise widths of the backdrop, and levels, is none of its noise.
_NOISE, _LEAST, _EXACT = 2.5, 1.5, 0.5
#: Of the border must show the backdrop.
_BORDER_SHARE = 0.95
#: JPEG rings so many pixels around an object: what lies nearer says nothing.
_RINGING = 6
#: A part of less than this share of the object is not told of.
_WORTH = 0.02
#: The rim is looked at so many pixels inside and outside the outline, and rises by at least this
#: share of the part's own difference.
_RIM, _STEP = (1.5, 3.5), 0.6
#: A part that so much of the object's rim lies in holds the object: a label, a print.
_AROUND = 0.9
#: Larger differences (levels) are no faint part: whatever segmenter saw them and decided.
_FAINT = 40.0
#: An outline is weak where the colours on its two sides differ by less than this (Lab units), and
#: less than this share of what they usually do.
_WEAK, _WEAK_SHARE, _SIDE = 4.0, 0.2, 3
#: Share of the outline that may be weak, and where it is worth a word.
_WEAK_TOLD = 0.25


#: Thin is what a median over this share of the longest side takes away, and it differs from it by
#: this much (Lab units), or this much in chroma where it is darker. From the first share of the
#: object on it is told of; that and the second take all of the confidence.
_THIN, _ODD, _CHROMA, _HANGING = 0.075, 15.0, 12.0, (0.04, 0.12)
#: A shadow may lie between: so many pixels of the small picture still touch.
_REACH = 8
#: What hangs on nothing counts so many times against it. Measured on 48 composites with their true
#: masks: one false alarm, and the lost legs of three of four objects before calm grounds told.
_CLUTTER = 2


@dataclass(frozen=True)
class Judged:
    """What a mask left out, or may have.

    Attributes:
        sureness: 1 where nothing speaks against the mask, down to 0.
        notes: sentences for the user.
    """

    sureness: float
    notes: tuple[str, ...]


def faint_parts(levels: F64, mask: Mask) -> list[Mask]:
    """Sharply bounded parts beside the mask that differ a little from a plain backdrop.

    Args:
        levels: (h, w, 3) the picture in 8-bit levels.
        mask: (h, w) the object as found.
    """
    difference = _from_backdrop(levels)
    if difference is None or not mask.any():
        return []
    distance, tolerance = difference
    outside = touching_border(distance <= tolerance)
    reach = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * _RINGING + 1,) * 2)
    near = cv2.dilate(mask.astype(np.uint8), reach) > 0
    left = cv2.morphologyEx((~outside & ~near).astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3)))
    count, labels = pieces(left > 0)
    from_outside = inset(~outside)
    found = []
    for label in range(1, count + 1):
        part = labels == label
        if part.sum() >= _WORTH * mask.sum() and _sharp(part, outside, from_outside, distance):
            # Its own share of the ringing zone, up to the mask.
            grown = cv2.dilate(part.astype(np.uint8), reach, iterations=2) > 0
            found.append(part | (grown & ~outside & ~mask))
    return found


def joining(parts: list[Mask], mask: Mask) -> Mask:
    """The mask with those faint parts that lie between two pieces of it, or all around it."""
    result = mask.copy()
    rim = cv2.dilate(mask.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    rim &= ~mask
    count, labels = pieces(mask)
    areas = np.bincount(labels.ravel(), minlength=count + 1)
    for part in parts:
        around = cv2.dilate(part.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
        touched = np.unique(labels[around & mask])
        between = (areas[touched] >= _WORTH * areas[1:].max()).sum() >= 2
        if between or part[rim].mean() >= _AROUND:
            result |= part
    return result


def judge(levels: F64, lab: F32, mask: Mask) -> Judged:
    """How much a mask left out, as far as the picture tells.

    Args:
        levels: (h, w, 3) the picture in 8-bit levels.
        lab: (h, w, 3) the same as CIE Lab.
        mask: (h, w) the object as found.
    """
    notes, sureness = [], 1.0
    parts = faint_parts(levels, mask)
    if parts:
        share = float(np.logical_or.reduce(parts).sum()) / float(mask.sum())
        sureness *= float(np.clip(1 - share / 0.1, 0, 1))
        notes.append(
            f"beside the object lies something {_times(share)} its size that hardly differs from "
            "the background and was left out: if it belongs to it, say so with --mask"
        )
    hanging = attached(lab, mask)
    if hanging > _HANGING[0]:
        notes.append(
            f"something thin, {hanging:.0%} of its size, hangs on the object and was left out: if "
            "it belongs to it, say so with --mask"
        )
    sureness *= 1 - float(np.clip((hanging - _HANGING[0]) / _HANGING[1], 0, 1))
    weak = weak_outline(lab, mask)
    if weak > _WEAK_TOLD:
        notes.append(
            f"along {weak:.0%} of its outline the object hardly differs from what is behind it: "
            "something of it may be missing; look at cutout.png, and pass --mask if it is wrong"
        )
    sureness *= float(np.clip(1 - (weak - 0.15) / 0.35, 0, 1))
    return Judged(sureness, tuple(notes))


def _times(share: float) -> str:
    return f"{share:.0%} of" if share < 2 else f"{share:.0f} times"


def attached(lab: F32, mask: Mask) -> float:
    """How much that is thin and of no colour around it hangs on the mask, as a share of the mask.

    Legs, stands and handles. What hangs on nothing is the clutter of the scene and is taken off;
    what is only darker is a shadow.
    """
    around = cv2.dilate(mask.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    filled = np.where(around[..., None], background.behind(lab, ~around), lab)
    window = 2 * round(_THIN * max(mask.shape) / 2) + 1
    middle = np.array([0, 128, 128], np.float32)
    levels = np.clip(np.rint(filled + middle), 0, 255).astype(np.uint8)
    change = filled - (cv2.medianBlur(levels, window).astype(np.float32) - middle)
    odd = np.linalg.norm(change, axis=-1) > _ODD
    odd &= (change[..., 0] > 0) | (np.linalg.norm(change[..., 1:], axis=-1) > _CHROMA)
    odd &= ~around
    solid = cv2.morphologyEx(odd.astype(np.uint8), cv2.MORPH_OPEN, np.ones((2, 2), np.uint8))
    count, labels = pieces(solid > 0)
    areas = np.bincount(labels.ravel(), minlength=count + 1)
    reach = cv2.dilate(around.astype(np.uint8), np.ones((2 * _REACH + 1,) * 2, np.uint8)) > 0
    # What reaches the frame is the scene's: mortar, floorboards, the edge of a table.
    ours = np.setdiff1d(labels[reach], [0, *labels[ring(mask.shape, 2)]])
    hanging = int(areas[ours].sum())
    clutter = int(areas[1:].sum()) - hanging
    return max(0, hanging - _CLUTTER * clutter) / float(mask.sum())


def weak_outline(lab: F32, mask: Mask) -> float:
    """Share of the outline across which the colours hardly change; the frame's part left out."""
    inside = mask.astype(np.float32)
    outline = cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_GRADIENT, np.ones((3, 3))) > 0
    edge = _SIDE + 1
    outline[:edge] = outline[-edge:] = outline[:, :edge] = outline[:, -edge:] = False
    if not outline.any():
        return 0.0
    window = (2 * _SIDE + 1,) * 2

    def mean(weight: F32) -> F32:
        total = cv2.blur(weight, window)[..., None] + 1e-6
        return np.asarray(cv2.blur(lab * weight[..., None], window) / total, np.float32)

    change = np.linalg.norm(mean(inside) - mean(1 - inside), axis=-1)[outline]
    usual = float(np.median(change))
    return float((change < max(_WEAK, _WEAK_SHARE * usual)).mean())


def _from_backdrop(levels: F64) -> tuple[F64, float] | None:
    """(h, w) difference from a plain backdrop in levels, and the limit of its noise; or None."""
    nominal = np.median(levels[backdrop.along_border(*levels.shape[:2])], axis=0)
    plane, noise = backdrop.fit_plane(levels / 255, nominal / 255)
    border = backdrop.along_border(*levels.shape[:2])
    exact = float(np.median(np.abs(levels - nominal).max(-1)[border])) == 0.0
    seen = levels if exact else cv2.GaussianBlur(levels, (0, 0), 0.7)
    reference = np.broadcast_to(nominal, levels.shape) if exact else plane * 255
    distance: F64 = np.abs(seen - reference).max(-1)
    tolerance = _EXACT if exact else max(_LEAST, _NOISE * noise * 255)
    if (distance[border] <= tolerance).mean() < _BORDER_SHARE:
        return None
    return distance, tolerance


def _sharp(part: Mask, outside: Mask, from_outside: F64, distance: F64) -> bool:
    """Whether a part rises from the backdrop within a few pixels, as no shadow does."""
    near, far = _RIM
    level = float(np.median(distance[part]))
    inner = part & (from_outside > near) & (from_outside <= far)
    from_part = inset(~part)
    outer = outside & (from_part > near) & (from_part <= far + 1)
    if level > _FAINT or inner.sum() < 8 or outer.sum() < 8:
        return False
    rise = float(np.median(distance[inner])) - float(np.median(distance[outer]))
    return rise >= _STEP * level
