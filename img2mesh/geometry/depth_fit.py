"""Do given depths belong to their cameras and outlines, and in which unit?

A surface point of one view lies inside every other outline, never in front of what another view
sees, and often on it. Tools disagree about units and about what depth is: the scale, the offset and
the meaning (along the axis, or along the ray) that fit all views are looked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from img2mesh.core.arrays import F32, F64, Mask
from img2mesh.core.cameras import Camera, scene_bounds

#: Views that are compared, and points of each.
_VIEWS, _POINTS = 8, 160
#: Points so near, as a share of the object's radius, lie on the same surface; exactly, this near.
_NEAR, _EXACT = 0.06, 0.015
#: Share of the points that may contradict another view, and that must be met again by another.
_MOST_WRONG, _LEAST_MET = 0.12, 0.12
#: Depths fit as they are if they meet this share of what the best reading meets, also exactly.
_AS_GOOD = 0.6
#: Scales from the one that puts the depths where the cameras look; a scale this near to a power of
#: ten is one.
_SCALES = np.exp(np.linspace(np.log(0.6), np.log(1.6), 60))
_ROUND = 0.04
#: An offset, or rays for axes, is believed if it meets so many times as many points exactly, and
#: this share of those that it meets at all.
_BETTER, _CRISP = 1.25, 0.5
#: Where so much of what is met is met exactly, no other reading is looked for.
_SHARP = 0.65
#: Where depths cover some of what lies outside the outlines but not most of it, they show another
#: object if more than this share of the outlines' area lies so.
_OUTSIDE, _SCENE = 0.12, 0.5
#: So do depths that are missing from the rim inwards, deeper than the first share of the radius, on
#: more than the second share of the outlines.
_DEEP, _LOST = 0.12, 0.04


@dataclass(frozen=True)
class DepthFit:
    """How to read depths.

    Attributes:
        scale: what to multiply them by.
        offset: what to add then, in world units.
        along_rays: they were measured along the rays, not along the camera's axis.
    """

    scale: float = 1.0
    offset: float = 0.0
    along_rays: bool = False

    @property
    def as_given(self) -> bool:
        """Nothing is to be done."""
        return self == DepthFit()

    def applied(self, depth: F32, cameras: Sequence[Camera]) -> F32:
        """(v, h, w) z-depth in the cameras' unit."""
        if self.along_rays:
            depth = _along_axes(depth, cameras)
        return (depth * self.scale + self.offset).astype(np.float32)


def fit_depth(depth: F32, alpha: F32, cameras: Sequence[Camera]) -> DepthFit | None:
    """How depths are to be read so that they fit cameras and outlines, or None if nothing fits.

    Args:
        depth: (v, h, w) z-depth, NaN where there is none.
        alpha: (v, h, w) masks.
        cameras: v cameras.
    """
    known = [k for k in range(len(depth)) if (np.isfinite(depth[k]) & (alpha[k] > 0.5)).any()]
    if len(known) < 2:
        return DepthFit()
    if _of_another(depth[known], alpha[known] > 0.5):
        return None
    known = [known[k * len(known) // _VIEWS] for k in range(_VIEWS)] if len(known) > 8 else known
    alpha, cameras = alpha[known], [cameras[k] for k in known]
    axes = _Readings(depth[known], alpha, cameras)
    given, given_exact = axes.score(1.0), axes.score(1.0, share=_EXACT).met
    if given.fits and given_exact >= _SHARP * given.met:
        return DepthFit()
    scale, best_score = axes.best_scale()
    best = DepthFit(_rounded(axes, scale))
    exact = axes.score(best.scale, share=_EXACT).met
    if not (best_score.fits and exact >= _SHARP * best_score.met):
        rays = _Readings(_along_axes(depth[known], cameras), alpha, cameras)
        for readings, reading in (
            (axes, DepthFit(*axes.best_affine())),
            (rays, DepthFit(_rounded(rays, rays.best_scale()[0]), along_rays=True)),
        ):
            other = readings.score(reading.scale, reading.offset)
            crisp = readings.score(reading.scale, reading.offset, _EXACT).met
            if other.fits and crisp >= max(_CRISP * other.met, _BETTER * exact):
                best, best_score, exact = reading, other, crisp
    if given.fits and given.met >= _AS_GOOD * best_score.met and given_exact >= _AS_GOOD * exact:
        return DepthFit()
    return best if best_score.fits else None


@dataclass(frozen=True)
class _Score:
    """Shares of the points that contradict another view, and that another view meets."""

    wrong: float
    met: float

    @property
    def fits(self) -> bool:
        """The views agree."""
        return self.wrong <= _MOST_WRONG and self.met >= _LEAST_MET


class _Readings:
    """Depths of some views, scored under any scale and offset."""

    def __init__(self, depth: F32, alpha: F32, cameras: Sequence[Camera]) -> None:
        self._depth, self._cameras = depth, cameras
        self._outlines = [_touched(one) for one in alpha]
        centre, _ = scene_bounds(cameras)
        self._rays: list[F64] = []
        self._values: list[F64] = []
        distances, radii = [], []
        for k, camera in enumerate(cameras):
            pixels = np.argwhere(np.isfinite(depth[k]) & (alpha[k] > 0.5))
            pixels = pixels[:: max(1, len(pixels) // _POINTS)]
            self._rays.append(camera.directions()[pixels[:, 0], pixels[:, 1]])
            self._values.append(depth[k][pixels[:, 0], pixels[:, 1]].astype(np.float64))
            distances.append(float((centre - camera.origin) @ camera.forward))
            area = float((alpha[k] > 0.5).sum())
            radii.append(distances[-1] * float(np.sqrt(area / np.pi)) / camera.fx)
        self.radius, self._distance = float(np.median(radii)), float(np.median(distances))
        medians = [max(float(np.median(values)), 1e-30) for values in self._values]
        self._guess = float(np.median(np.array(distances) / medians))

    def score(self, scale: float, offset: float = 0.0, share: float = _NEAR) -> _Score:
        """How the views agree if the depths are read so, within a share of the radius."""
        near = share * self.radius
        wrong, met = [], []
        for i, (rays, values) in enumerate(zip(self._rays, self._values, strict=True)):
            points = self._cameras[i].origin + rays * (scale * values + offset)[:, None]
            for k in range(len(self._cameras)):
                if i != k:
                    behind = self._behind(points, k, scale, offset)
                    wrong.append(float((behind < -near).mean()))
                    met.append(float((np.abs(behind) <= near).mean()))
        return _Score(float(np.mean(wrong)), float(np.mean(met)))

    def best_scale(self) -> tuple[float, _Score]:
        """The scale on which the views agree most."""
        scales = self._guess * _SCALES
        scores = [self.score(float(scale)) for scale in scales]
        best = int(np.argmax([score.met - score.wrong for score in scores]))
        return float(scales[best]), scores[best]

    def best_affine(self) -> tuple[float, float]:
        """The scale and offset on which the views agree most."""
        values = np.concatenate(self._values)
        low, middle, high = np.quantile(values, [0.05, 0.5, 0.95])
        if high - low <= 0:
            return self._guess, 0.0
        # The depths of an object span about its radius, and lie before where the cameras look.
        scales = self.radius / (high - low) * np.geomspace(0.5, 2.5, 12)
        middles = self._distance + self.radius * np.linspace(-0.9, 0.1, 8)
        share = _NEAR
        for _ in range(3):
            scores = {}
            for scale in scales:
                for at in middles:
                    one = self.score(float(scale), float(at - scale * middle), share)
                    scores[float(scale), float(at)] = one.met - one.wrong
            scale, at = max(scores, key=lambda pair: scores[pair])
            step = float(scales[1] / scales[0]), float(middles[1] - middles[0])
            scales = scale * step[0] ** np.linspace(-1, 1, 7)
            middles = at + step[1] * np.linspace(-1, 1, 7)
            share = max(_EXACT, share / 2)
        return scale, at - scale * float(middle)

    def _behind(self, points: F64, k: int, scale: float, offset: float) -> F64:
        """How far behind a view's surface points lie; -inf outside its outline, inf unknown."""
        camera = self._cameras[k]
        uv, z = camera.project(points)
        column, row = (np.floor(uv[:, axis]).astype(np.int64) for axis in (0, 1))
        inside = (column >= 0) & (row >= 0) & (column < camera.width) & (row < camera.height)
        inside &= z > 0
        column, row = (np.where(inside, index, 0) for index in (column, row))
        inside &= self._outlines[k][row, column]
        here = self._depth[k][row, column].astype(np.float64) * scale + offset
        return np.where(inside, np.where(np.isfinite(here), z - here, np.inf), -np.inf)


def _rounded(readings: _Readings, scale: float) -> float:
    """The scale that meets most exactly; a power of ten if it is near one."""
    power = 10.0 ** round(float(np.log10(scale)))
    if abs(scale / power - 1) < _ROUND:
        return power
    finer = scale * np.linspace(0.985, 1.015, 31)
    return float(finer[int(np.argmax([readings.score(s, share=_EXACT).met for s in finer]))])


def _along_axes(depth: F32, cameras: Sequence[Camera]) -> F32:
    """Lengths of rays as depths along the cameras' axes, (v, h, w)."""
    lengths = [np.linalg.norm(camera.directions(), axis=-1) for camera in cameras]
    return (depth / np.stack(lengths)).astype(np.float32)


def _of_another(depth: F32, inside: Mask) -> bool:
    """Whether the depths' own outlines are another object's; those of a whole scene have none."""
    from img2mesh.imaging.masks import inset

    there = np.isfinite(depth)
    beside = float((there & ~inside).sum())
    whole_scene = beside > _SCENE * float((~inside).sum())
    if not whole_scene and beside > _OUTSIDE * float(inside.sum()):
        return True
    lost = []
    for known, outline in zip(there, inside, strict=True):
        depth_inside = inset(outline)
        deep = depth_inside > _DEEP * np.sqrt(outline.sum() / np.pi)
        # Holes within the surface are a sensor's; what lacks from the rim inwards is not there.
        missing = _reached(outline & ~known, from_mask=~outline)
        lost.append(float((missing & deep).sum()) / max(float(outline.sum()), 1.0))
    return float(np.median(lost)) > _LOST


def _reached(mask: Mask, *, from_mask: Mask) -> Mask:
    """The pieces of a mask that touch another one."""
    from scipy.ndimage import binary_dilation, label

    pieces, count = label(mask)
    touching = np.zeros(count + 1, bool)
    touching[np.unique(pieces[binary_dilation(from_mask) & mask])] = True
    touching[0] = False
    found: Mask = touching[pieces]
    return found


def _touched(alpha: F32) -> Mask:
    """The outline with a pixel and a half of slack."""
    from scipy.ndimage import binary_dilation

    return np.asarray(binary_dilation(alpha > 0.5, np.ones((3, 3), bool), iterations=2))
