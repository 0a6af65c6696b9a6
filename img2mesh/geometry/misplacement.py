"""How far the outlines of the views contradict each other, in pixels.

All planes through two camera centres cut both pictures in lines. The first and the last of these
planes that touch a body touch its outline in both pictures: so do they in views of one body, and
where they do not, the gap measures how far the outlines are misplaced (epipolar tangency; Cipolla,
Astrom and Giblin 1995, "Motion from the frontier of curved surfaces").
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from img2mesh.core.arrays import F64
from img2mesh.core.cameras import Camera, scene_bounds
from img2mesh.geometry.silhouettes import Silhouette

#: Pictures whose planes span more than this angle are left out: the camera centres lie nearly in
#: line with the object, and their planes fan out all around it.
_WIDEST = np.radians(100)
#: Misplacement above which views are not of one body. Over eight objects: renders .05 to .2 px,
#: renders warped by .5 px .35 to .65, by 1.5 px 1.0 to 2.0.
LIMIT_PX = 0.4


def misalignment(silhouettes: Sequence[Silhouette]) -> float:
    """Estimated root mean square misplacement of outlines, pixels; 0 where they agree.

    Each gap is the difference of two misplacements, but only of their parts along one axis: the
    two factors of root two cancel. Returns 0 too where no two cameras allow the comparison.
    """
    found = gaps(silhouettes)
    return float(np.sqrt(np.square(found).mean())) if len(found) else 0.0


def gaps(silhouettes: Sequence[Silhouette]) -> F64:
    """(n,) signed gaps between the touching planes of all pairs of views, pixels."""
    centre, _ = scene_bounds([o.camera for o in silhouettes])
    rims = [_rim(o) for o in silhouettes]
    found = []
    for a in range(len(silhouettes)):
        for b in range(a):
            first, second = silhouettes[a].camera, silhouettes[b].camera
            line = second.origin - first.origin
            length = float(np.linalg.norm(line))
            if length < 1e-9:
                continue
            line = line / length
            toward = centre - first.origin
            across = toward - (toward @ line) * line
            away = float(np.linalg.norm(across))
            if away < 1e-9:
                continue
            axes = np.stack([across / away, np.cross(line, across / away)])
            spans = [_span(rims[k], axes) for k in (a, b)]
            if max(high - low for low, high in spans) > _WIDEST:
                continue
            pixel = (_pixel(first, centre) + _pixel(second, centre)) / 2
            found += [(x - y) * away / pixel for x, y in zip(*spans, strict=True)]
    return np.array(found)


def _rim(silhouette: Silhouette) -> F64:
    """(n, 3) rays through the outline's pixels, moved onto the contour itself."""
    distance = silhouette.distance.astype(np.float64)
    down: F64 = np.gradient(distance, axis=0)
    right: F64 = np.gradient(distance, axis=1)
    row, column = np.nonzero(np.abs(distance) < 1)
    step = distance[row, column] / np.maximum(np.hypot(down, right), 0.5)[row, column] ** 2
    uv = np.stack(
        [
            column + 0.5 - step * right[row, column],
            row + 0.5 - step * down[row, column],
        ],
        axis=1,
    )
    c = silhouette.camera
    local = np.stack(
        [(uv[:, 0] - c.cx) / c.fx, -(uv[:, 1] - c.cy) / c.fy, -np.ones(len(uv))], axis=1
    )
    return local @ c.world_from_camera[:3, :3].T


def _span(rays: F64, axes: F64) -> tuple[float, float]:
    """Least and greatest angle of the planes through the line of centres and some rays."""
    angle = np.arctan2(rays @ axes[1], rays @ axes[0])
    return float(angle.min()), float(angle.max())


def _pixel(camera: Camera, centre: F64) -> float:
    """What one pixel covers at the object, world units."""
    return float((centre - camera.origin) @ camera.forward) / float(np.sqrt(camera.fx * camera.fy))
