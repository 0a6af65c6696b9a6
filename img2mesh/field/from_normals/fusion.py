"""The views' depths fused: whoever contradicts what the others see is overruled.

Every pixel chooses among its own depth and what the other views' surfaces would give it. A choice
is supported by the views that see a surface there, facing the same way, and contradicted by those
that look through it; the squarer a view faces its surface, the more it counts (Merrell et al. 2007,
"Real-time visibility-based fusion of depth maps").
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from img2mesh.core.arrays import F64
from img2mesh.core.cameras import Camera
from img2mesh.field.from_normals.integration import PixelGrid

#: Cosine of the largest angle between two normals of one surface.
_ALIKE = 0.94
#: Weight of a view's vote about its own pixel.
_OWN = 0.5
#: How much better supported another depth must be than the view's own.
_LEAD = 0.1
#: Support that every depth has by existing, and its confidence without any other vote.
_PRIOR, _ALONE = 0.2, 0.3
#: Cosine below which a view's depths are no less exact any more.
_SLANT = 0.25
#: A plane is followed from a point to a pixel's ray if it is not seen more grazingly, and if the
#: depth changes by no more than this part.
_GRAZING, _STEP = 0.05, 0.02
_CORNERS = np.array([[-1.0, -1.0], [-1.0, 1.0], [1.0, -1.0], [1.0, 1.0]])


@dataclass(frozen=True)
class FusedDepth:
    """What the views together say about one view's pixels.

    Attributes:
        log_depth: (n,) natural logarithm of the z-depth.
        confidence: (n,) in [0, 1].
    """

    log_depth: F64
    confidence: F64


@dataclass(frozen=True)
class Surfaces:
    """Depth maps of several views.

    Attributes:
        cameras: of the views.
        views: their pixels.
        log_depth: per view (n,) natural logarithm of the z-depth.
        facing: per view (n + 1,) cosine between normal and ray; 1 for number -1.
        around: per view (2, n + 1) least and largest depth of a pixel and its neighbours.
        parts: of what is relative to depth, 1 for near cameras; see :mod:`.depth`.
    """

    cameras: Sequence[Camera]
    views: Sequence[PixelGrid]
    log_depth: Sequence[F64]
    facing: list[F64]
    around: list[F64]
    parts: Sequence[float]

    @classmethod
    def of(
        cls,
        cameras: Sequence[Camera],
        views: Sequence[PixelGrid],
        log_depth: Sequence[F64],
        parts: Sequence[float],
    ) -> Surfaces:
        """Of depths (n,) at the views' pixels."""
        facing = []
        for pixels in views:
            cosine = -(pixels.normal * pixels.ray).sum(1) / np.linalg.norm(pixels.ray, axis=1)
            facing.append(np.append(cosine, 1.0))
        around = [_range_around(p, np.exp(z)) for p, z in zip(views, log_depth, strict=True)]
        return cls(cameras, views, log_depth, facing, around, parts)


def fuse(surfaces: Surfaces, same: float) -> list[FusedDepth]:
    """The best supported depth of every pixel.

    Args:
        surfaces: the views' depths.
        same: surfaces nearer than this are the same, world units.
    """
    fused = []
    for k, own in enumerate(surfaces.log_depth):
        mine = _OWN * surfaces.facing[k][:-1]
        support, conflict = _votes(surfaces, k, own, same)
        support = support + mine
        best = own.copy()
        for other in range(len(surfaces.views)):
            if other == k:
                continue
            depth = _reproject(surfaces, other, k)
            theirs, against = _votes(surfaces, k, depth, same)
            theirs = theirs + mine * (np.abs(np.exp(depth) - np.exp(own)) < same)
            lead = (theirs - against) - (support - conflict)
            better = np.isfinite(depth) & (lead > _LEAD)
            best = np.where(better, depth, best)
            support = np.where(better, theirs, support)
            conflict = np.where(better, against, conflict)
        confidence = (_PRIOR + support) / (_PRIOR + support + conflict)
        fused.append(FusedDepth(best, confidence * np.minimum(1, support + _ALONE)))
    return fused


def disagreement_deg(surfaces: Surfaces, same: float) -> float:
    """Median angle between the normals of two views at points that both see; 180 without any."""
    angles = [np.zeros(0)]
    for k, pixels in enumerate(surfaces.views):
        point = _points(surfaces, k, surfaces.log_depth[k])
        for other, theirs in enumerate(surfaces.views):
            if other == k:
                continue
            uv, depth = surfaces.cameras[other].project(point)
            hit = theirs.number_at(uv)
            low, high = surfaces.around[other][:, hit]
            both = (hit >= 0) & (depth > low - same) & (depth < high + same)
            cosine = (pixels.normal[both] * theirs.normal[hit[both]]).sum(1)
            angles.append(np.rad2deg(np.arccos(cosine.clip(-1, 1))))
    every = np.concatenate(angles)
    return float(np.median(every)) if len(every) else 180.0


def _points(surfaces: Surfaces, view: int, log_depth: F64) -> F64:
    rays = surfaces.views[view].ray
    return surfaces.cameras[view].origin + np.exp(log_depth)[:, None] * rays


def _votes(surfaces: Surfaces, view: int, log_depth: F64, same: float) -> tuple[F64, F64]:
    """(n,) support and conflict of depths (n,) of one view's pixels; NaN depths have neither."""
    pixels = surfaces.views[view]
    point = _points(surfaces, view, np.nan_to_num(log_depth))
    support, conflict = np.zeros(len(pixels)), np.zeros(len(pixels))
    for other, theirs in enumerate(surfaces.views):
        if other == view or not len(theirs):
            continue
        uv, depth = surfaces.cameras[other].project(point)
        hit = theirs.number_at(uv)
        low, high = surfaces.around[other][:, hit]
        facing = surfaces.facing[other][hit]
        margin = same / facing.clip(_SLANT, 1)
        there = (hit >= 0) & (depth > low - margin) & (depth < high + margin)
        alike = (pixels.normal * theirs.normal[hit]).sum(1) > _ALIKE
        support += facing * (there & alike)
        # The other view looks through this point: one of the two is wrong.
        conflict += facing * ((hit >= 0) & (depth < low - margin))
    known = np.isfinite(log_depth)
    return np.where(known, support, 0.0), np.where(known, conflict, 0.0)


def _reproject(surfaces: Surfaces, source: int, view: int) -> F64:
    """(n,) log depth that one view's surface has at another's pixels; NaN where none falls."""
    a, b = surfaces.views[source], surfaces.views[view]
    camera = surfaces.cameras[view]
    point = _points(surfaces, source, surfaces.log_depth[source])
    uv, depth = camera.project(point)
    plane = (a.normal * (point - camera.origin)).sum(1)
    out, step = np.full(len(b), np.inf), _STEP * surfaces.parts[view]
    for corner in _CORNERS * (b.stride / 2):  # the four pixels around: no gaps
        hit = b.number_at(uv + corner)
        used = np.flatnonzero(hit >= 0)
        used = used[(a.normal[used] * b.normal[hit[used]]).sum(1) > _ALIKE]
        hit, straight = hit[used], depth[used]
        # Along the surface's own plane to the pixel's ray.
        slope = np.minimum((a.normal[used] * b.ray[hit]).sum(1), -_GRAZING)
        there = plane[used] / slope
        np.minimum.at(out, hit, np.where(np.abs(there / straight - 1) < step, there, straight))
    return np.where(np.isfinite(out), np.log(out), np.nan)


def _range_around(pixels: PixelGrid, depth: F64) -> F64:
    """(2, n + 1) least and largest depth of each pixel and its neighbours; NaN for number -1."""
    from scipy.ndimage import maximum_filter, minimum_filter

    low = minimum_filter(pixels.picture(depth, np.inf), 3)[pixels.where]
    high = maximum_filter(pixels.picture(depth, -np.inf), 3)[pixels.where]
    return np.stack([np.append(low, np.nan), np.append(high, np.nan)])
