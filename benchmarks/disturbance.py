"""Views made inconsistent the way a network's are: warped and tinted, each in its own way."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy import ndimage

from img2mesh.artifacts import Provenance, ViewSet


def disturb(views: ViewSet, *, pixels: float, tint: float, rng: np.random.Generator) -> ViewSet:
    """Warp every view smoothly by so many pixels (root mean square) and scale its channels.

    Args:
        views: consistent views.
        pixels: size of the warp, which varies over an eighth of the picture.
        tint: largest relative change of a channel.
        rng: source of the disturbance.
    """
    count, height, width, _ = views.rgb.shape
    rgb, alpha = np.empty_like(views.rgb), np.empty_like(views.alpha)
    rows, columns = np.mgrid[:height, :width].astype(np.float64)
    for k in range(count):
        shift = []
        for _ in range(2):
            field = ndimage.gaussian_filter(rng.normal(size=(height, width)), width / 8)
            shift.append(field * pixels / np.sqrt(2) / np.sqrt((field**2).mean()))
        at = [rows + shift[0], columns + shift[1]]
        alpha[k] = ndimage.map_coordinates(views.alpha[k], at, order=1, mode="nearest")
        gain = 1 + rng.uniform(-tint, tint, 3)
        for c in range(3):
            premultiplied = views.rgb[k, ..., c] * views.alpha[k]
            moved = ndimage.map_coordinates(premultiplied, at, order=1, mode="nearest")
            rgb[k, ..., c] = np.clip(moved / np.maximum(alpha[k], 1e-3) * gain[c], 0, 1)
    return replace(
        views,
        rgb=rgb,
        alpha=np.clip(alpha, 0, 1),
        provenance=Provenance(generator="given", exact=False),
    )
