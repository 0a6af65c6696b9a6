"""Pictures ready for comparison: one pixel footprint, no background colour, blurred."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from img2mesh.artifacts import View, ViewSet
from img2mesh.core.arrays import F32
from img2mesh.core.cameras import Camera, scene_bounds
from img2mesh.imaging.fill import from_nearest
from img2mesh.imaging.resize import shrink_rgba


@dataclass(frozen=True)
class Observation:
    """A posed picture and what else is known about its pixels.

    Attributes:
        view: picture with camera.
        depth: (h, w) float32 z-depth, NaN where there is none; or None.
        normals: (h, w, 3) float32 world normals, 0 where there is none; or None.
        confidence: (h, w) float32 in [0, 1] of the depth; or None: 1 everywhere.
        mask_weight: how much its outline counts against the others'.
    """

    view: View
    depth: F32 | None = None
    normals: F32 | None = None
    confidence: F32 | None = None
    mask_weight: float = 1.0

    @property
    def camera(self) -> Camera:
        """The view's camera, which is known here."""
        assert self.view.camera is not None
        return self.view.camera


#: The photo is true where the views are a generator's word: where outlines disagree, it counts
#: more (measured: docs/reconstruction.md).
_PHOTO_MASK_WEIGHT = 4.0


def observations_of(views: ViewSet, *, use_photo: bool) -> tuple[Observation, ...]:
    """The posed views and, if wanted and posed, the photo brought down to their pixel size."""
    out = [
        Observation(
            view,
            None if views.depth is None else views.depth[k],
            None if views.normals is None else views.normals[k],
        )
        for k, view in enumerate(views.views)
    ]
    if use_photo and views.photo is not None and views.photo.camera is not None:
        photo = match_footprint(views.photo, views.cameras)
        out.append(Observation(photo, mask_weight=_PHOTO_MASK_WEIGHT))
    return tuple(out)


def match_footprint(photo: View, cameras: Sequence[Camera]) -> View:
    """Scale a photo down until a pixel covers as much of the object as one of the views does.

    A finer photo would take most of the rays without adding to what the grid can hold; a coarser
    one stays as it is. A pixel's footprint is distance over focal length, the distance being that
    of the place all cameras look at.
    """
    camera = photo.camera
    assert camera is not None
    centre, _ = scene_bounds([*cameras, camera])
    here = float(np.linalg.norm(camera.origin - centre)) / camera.fy
    there = float(np.median([np.linalg.norm(c.origin - centre) / c.fy for c in cameras]))
    factor = here / max(there, 1e-12)
    if not 0 < factor < 0.98:
        return photo
    width, height = (max(16, round(n * factor)) for n in (camera.width, camera.height))
    rgb, alpha = shrink_rgba(photo.rgb, photo.alpha, width=width, height=height)
    return View(rgb, alpha, camera.resized(width, height))


def comparable_colours(view: View, blur_px: float) -> F32:
    """(h, w, 3) float32: background replaced by the nearest object colour, then blurred.

    Otherwise background would bleed into every blurred or interpolated colour near the outline.
    """
    from scipy.ndimage import gaussian_filter

    # Pixels the edge runs through are mixed with whatever was behind: not trusted either.
    solid = view.alpha > 0.95
    if not solid.any():
        solid = view.alpha >= view.alpha.max()
    rgb = from_nearest(view.rgb, solid)
    if blur_px > 0:
        rgb = gaussian_filter(rgb, (blur_px, blur_px, 0))
    return np.ascontiguousarray(rgb, np.float32)
