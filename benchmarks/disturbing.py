"""Views that do not quite agree, as a network draws them: each one warped and tinted on its own."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.ndimage import gaussian_filter, map_coordinates

from img2mesh.artifacts import ViewSet
from img2mesh.core.arrays import F32

#: The warp's smoothness, as a part of the picture's width: parts of the object move, not pixels.
_SMOOTH = 0.1


def disturb(views: ViewSet, *, warp_px: float, colour: float, seed: int) -> ViewSet:
    """Warp every view smoothly and change its colours; depths and normals are dropped.

    Args:
        views: exact views.
        warp_px: root mean square length of the displacements, pixels.
        colour: standard deviation of the gain of each view and channel, relative.
        seed: of both.
    """
    rng = np.random.default_rng(seed)
    rgb, alpha = np.empty_like(views.rgb), np.empty_like(views.alpha)
    for k, view in enumerate(views.views):
        shift = _smooth_shifts(view.alpha.shape, rng) * warp_px
        rows, columns = np.mgrid[: view.alpha.shape[0], : view.alpha.shape[1]]
        at = [rows + shift[0], columns + shift[1]]
        layers = [*(view.rgb * view.alpha[..., None]).transpose(2, 0, 1), view.alpha]
        *paint, cover = (map_coordinates(x, at, order=1, mode="nearest") for x in layers)
        gain = 1 + colour * rng.standard_normal(3)
        solid = np.maximum(cover, 1e-6)[..., None]
        rgb[k] = (np.stack(paint, 2) / solid * gain).clip(0, 1)
        alpha[k] = cover.clip(0, 1)
    return replace(views, rgb=rgb, alpha=alpha, depth=None, normals=None)


def _smooth_shifts(shape: tuple[int, ...], rng: np.random.Generator) -> F32:
    """(2, h, w) random displacements with a root mean square length of one."""
    noise = rng.standard_normal((2, *shape))
    sigma = _SMOOTH * shape[1]
    smooth = gaussian_filter(noise, (0, sigma, sigma), mode="wrap")
    return np.asarray(smooth / np.sqrt(np.square(smooth).sum(0).mean()), np.float32)
