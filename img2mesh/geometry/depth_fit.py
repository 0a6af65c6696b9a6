"""Do given depths belong to their cameras and outlines, and in which unit?

A surface point of one view lies inside every other outline, never in front of what another view
sees, and often on it. Tools disagree about units, so the scale that fits all views is looked for.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from img2mesh.core.arrays import F32, F64, Mask
from img2mesh.core.cameras import Camera, scene_bounds

#: Views that are compared, and points of each.
_VIEWS, _POINTS = 8, 300
#: Points so near, as a share of the object's radius, lie on the same surface.
_NEAR = 0.06
#: Share of the points that may contradict another view, and that must be met again by another.
_MOST_WRONG, _LEAST_MET = 0.12, 0.12
#: Depths fit as they are if they meet this share of what the best scale meets.
_AS_GOOD = 0.6
#: Scales from the one that puts the depths where the cameras look; a scale this near to a power of
#: ten is one.
_SCALES = np.exp(np.linspace(np.log(0.6), np.log(1.6), 120))
_ROUND = 0.04


def depth_scale(depth: F32, alpha: F32, cameras: Sequence[Camera]) -> float | None:
    """What to multiply the depths by: 1 where they fit; None where no one scale fits all views.

    Args:
        depth: (v, h, w) z-depth, NaN where there is none.
        alpha: (v, h, w) masks.
        cameras: v cameras.
    """
    known = [k for k in range(len(depth)) if (np.isfinite(depth[k]) & (alpha[k] > 0.5)).any()]
    if len(known) < 2:
        return 1.0
    known = [known[k * len(known) // _VIEWS] for k in range(_VIEWS)] if len(known) > 8 else known
    centre, _ = scene_bounds(cameras)
    parts, guesses, radii = [], [], []
    for k in known:
        pixels = np.argwhere(np.isfinite(depth[k]) & (alpha[k] > 0.5))
        pixels = pixels[:: max(1, len(pixels) // _POINTS)]
        rays = cameras[k].directions()[pixels[:, 0], pixels[:, 1]]
        values = depth[k][pixels[:, 0], pixels[:, 1]].astype(np.float64)
        parts.append((cameras[k].origin, rays * values[:, None]))
        distance = float((centre - cameras[k].origin) @ cameras[k].forward)
        guesses.append(distance / max(float(np.median(values)), 1e-30))
        radii.append(distance * float(np.sqrt((alpha[k] > 0.5).sum() / np.pi)) / cameras[k].fx)
    radius = float(np.median(radii))
    outlines = {k: _touched(alpha[k]) for k in known}

    def score(scale: float, share: float = _NEAR) -> tuple[float, float]:
        near = share * radius
        wrong, met = [], []
        for i, (origin, reach) in enumerate(parts):
            for j, k in enumerate(known):
                if i != j:
                    one = _against(origin + scale * reach, depth[k], outlines[k], cameras[k], scale)
                    wrong.append(float((one < -near).mean()))
                    met.append(float((np.abs(one) <= near).mean()))
        return float(np.mean(wrong)), float(np.mean(met))

    scales = float(np.median(guesses)) * _SCALES
    scores = [score(float(scale)) for scale in scales]
    best = int(np.argmax([met - wrong for wrong, met in scores]))
    wrong, met = score(1.0)
    if wrong <= _MOST_WRONG and met >= max(_AS_GOOD * scores[best][1], _LEAST_MET):
        return 1.0
    wrong, met = scores[best]
    if wrong > _MOST_WRONG or met < _LEAST_MET:
        return None
    power = 10.0 ** round(float(np.log10(scales[best])))
    if abs(scales[best] / power - 1) < _ROUND:
        return power
    finer = float(scales[best]) * np.linspace(0.985, 1.015, 31)
    return float(finer[int(np.argmax([score(float(s), _NEAR / 4)[1] for s in finer]))])


def _against(points: F64, depth: F32, outline: Mask, camera: Camera, scale: float) -> F64:
    """How far behind a view's surface points lie; -inf outside its outline, inf unknown there."""
    uv, z = camera.project(points)
    column, row = (np.floor(uv[:, axis]).astype(np.int64) for axis in (0, 1))
    inside = (column >= 0) & (row >= 0) & (column < camera.width) & (row < camera.height) & (z > 0)
    column, row = (np.where(inside, index, 0) for index in (column, row))
    inside &= outline[row, column]
    here = depth[row, column].astype(np.float64) * scale
    return np.where(inside, np.where(np.isfinite(here), z - here, np.inf), -np.inf)


def _touched(alpha: F32) -> Mask:
    """The outline with a pixel and a half of slack."""
    from scipy.ndimage import binary_dilation

    return np.asarray(binary_dilation(alpha > 0.5, np.ones((3, 3), bool), iterations=2))
