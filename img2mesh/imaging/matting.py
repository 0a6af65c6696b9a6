"""Cutting objects off plain backdrops, without a downloaded model: alpha and colours of their own.

That is an easier problem than matting a photograph: :mod:`img2mesh.imaging.backdrop` knows the
background's colour and where the object is, and in the thin band between the two an alpha follows
from the compositing equation ``I = a F + (1 - a) B``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from img2mesh.core.arrays import F32, F64, Mask
from img2mesh.errors import InputError
from img2mesh.imaging.backdrop import (
    Backdrop,
    along_border,
    fit_plane,
    grainy_body,
    measure,
    steady_body,
)
from img2mesh.imaging.fill import from_nearest

#: The colours generators are trained to put behind the object, sRGB.
NOMINAL: dict[str, float] = {"grey": 127 / 255, "white": 1.0}
#: Half-width in pixels of the band in which alpha is computed before a grainy backdrop: generated
#: outlines are 1 to 2 pixels soft.
_BAND = 2
_RIM = (1.5, 2.5)  # pixels inside the outline that may be mixed: antialiased, or also blurred
_TELLING = 12.0  # levels by which the object must differ from the backdrop to measure alpha


@dataclass(frozen=True)
class Cut:
    """Views without their background.

    Attributes:
        rgb: (v, h, w, 3) float32 straight colours; outside the object the nearest object colour.
        alpha: (v, h, w) float32.
        notes: sentences about views that could not be cut well.
    """

    rgb: F32
    alpha: F32
    notes: tuple[str, ...] = ()


def matte(rgb: F32, *, lossy: bool = False) -> tuple[F32, F32]:
    """Separate an object from the plain backdrop of a picture of unknown making.

    Args:
        rgb: (h, w, 3) in [0, 1], opaque.
        lossy: the file was JPEG or WebP; its backdrop rings around the object.

    Returns:
        The object's colour (h, w, 3), continued outwards, and alpha (h, w).

    Raises:
        InputError: the border has no common colour.
    """
    levels = rgb.astype(np.float64) * 255
    backdrop = measure(levels, lossy=lossy)
    if backdrop.kind == "grainy":
        tile = rgb.astype(np.float64)
        trimap = _trimap(grainy_body(tile, backdrop.colour / 255))
        colour, alpha = _band(tile, *trimap, fit_plane(tile, backdrop.colour / 255)[0])
        return colour.astype(np.float32), alpha.astype(np.float32)
    body = steady_body(backdrop)
    if not body.any():
        return rgb.copy(), np.zeros(rgb.shape[:2], np.float32)
    return _rim(levels, body, backdrop)


def remove_background(tiles: F32, *, background: Literal["grey", "white", "auto"] = "auto") -> Cut:
    """Find the object on each tile by its difference from a plain background.

    Args:
        tiles: (v, h, w, 3) float32 in [0, 1], sRGB.
        background: what the generator draws; ``auto`` takes the nearer to the borders' median.

    Raises:
        InputError: not a stack of colour tiles.
    """
    if tiles.ndim != 4 or tiles.shape[-1] != 3:
        raise InputError(f"expected tiles (v, h, w, 3), got shape {tiles.shape}")
    nominal = _guess(tiles) if background == "auto" else NOMINAL[background]
    foreground, sure_background, notes = [], [], []
    for k, tile in enumerate(tiles.astype(np.float64)):
        body = grainy_body(tile, nominal)
        if not body.any():
            notes.append(f"view {k + 1} shows no object on its background")
        inside, outside = _trimap(body)
        foreground.append(inside)
        sure_background.append(outside)
    cut = cut_out(tiles, np.stack(foreground), np.stack(sure_background), background=nominal)
    return Cut(cut.rgb, cut.alpha, tuple(notes))


def cut_out(tiles: F32, foreground: Mask, sure_background: Mask, *, background: float) -> Cut:
    """Alpha and colours from a trimap, by the compositing equation.

    In the band, F is the mean of the nearest sure foreground and B the fitted background; alpha is
    the projection of I - B on F - B. Where F and B hardly differ the projection says nothing and
    alpha falls back to the position across the band.

    Args:
        tiles: (v, h, w, 3) float32.
        foreground, sure_background: (v, h, w) bool, the trimap.
        background: nominal background colour.
    """
    rgbs, alphas = [], []
    for tile, inside, outside in zip(
        tiles.astype(np.float64), foreground, sure_background, strict=True
    ):
        colour, alpha = _band(tile, inside, outside, fit_plane(tile, background)[0])
        rgbs.append(colour)
        alphas.append(alpha)
    return Cut(np.stack(rgbs).astype(np.float32), np.stack(alphas).astype(np.float32))


def _guess(tiles: F32) -> float:
    h, w = tiles.shape[1:3]
    median = float(np.median(tiles[:, along_border(h, w)]))
    return min(NOMINAL.values(), key=lambda v: abs(v - median))


def _trimap(body: Mask) -> tuple[Mask, Mask]:
    """What is surely object and surely backdrop: all but a band along the outline."""
    from scipy import ndimage

    inside = ndimage.binary_erosion(body, iterations=_BAND)
    return inside, ~ndimage.binary_dilation(body, iterations=_BAND)


def _rim(levels: F64, body: Mask, backdrop: Backdrop) -> tuple[F32, F32]:
    """Colours (h, w, 3) in [0, 1] and alpha (h, w) of a body whose outline is known to a pixel.

    In the rim, alpha solves the compositing equation in the least-squares sense, F being the colour
    just inside, and the colour becomes F.
    """
    from scipy import ndimage

    outside, distance = ~body, backdrop.distance
    inset = ndimage.distance_transform_edt(body) if outside.any() else np.inf
    rim = body & (inset < (_RIM[0] if backdrop.exact else _RIM[1]))
    # Thin parts have no inside; there the pixel that differs most from the backdrop is the purest.
    purest = distance >= ndimage.maximum_filter(np.where(outside, 0, distance), size=3)
    core = body & (~rim | purest)
    foreground = from_nearest(levels, core)
    mixed, full = levels - backdrop.colour, foreground - backdrop.colour
    share = (mixed * full).sum(axis=2) / np.maximum((full * full).sum(axis=2), 1e-9)
    telling = np.abs(full).max(axis=2) > max(_TELLING, 2 * backdrop.tolerance)
    soft = np.where(telling, np.clip(share, 0, 1), 1.0)
    alpha = np.where(outside, 0.0, np.where(rim & ~core, soft, 1.0)).astype(np.float32)
    colour = np.where((rim | outside)[..., None], foreground, levels) / 255
    return np.clip(colour, 0, 1).astype(np.float32), alpha


def _band(tile: F64, inside: Mask, outside: Mask, background: F64) -> tuple[F64, F64]:
    """Colours (h, w, 3) and alpha (h, w) of one tile from its trimap."""
    from scipy import ndimage

    if not inside.any():
        solid = ~outside  # a body thinner than the band: keep it, hard-edged
        if not solid.any():
            return tile, np.zeros(tile.shape[:2])
        inside = solid
        outside = ~solid
    to_inside, nearest = ndimage.distance_transform_edt(
        ~inside, return_distances=True, return_indices=True
    )
    smooth = _mean_inside(tile, inside)
    foreground = smooth[nearest[0], nearest[1]]
    contrast = ((foreground - background) ** 2).sum(axis=-1)
    projected = ((tile - background) * (foreground - background)).sum(axis=-1)
    to_outside = ndimage.distance_transform_edt(~outside) if outside.any() else to_inside * 0 + 1e9
    across = to_outside / (to_outside + to_inside + 1e-9)
    # Below a contrast of about 10 grey levels the projection is mostly noise.
    trust = np.clip(contrast / (10 / 255) ** 2 - 0.5, 0, 1)
    alpha = trust * projected / (contrast + 1e-9) + (1 - trust) * across
    alpha = np.where(inside, 1.0, np.where(outside, 0.0, np.clip(alpha, 0, 1)))
    # The colour that composites to the tile, kept near the object's own where alpha is small.
    solved = (tile - (1 - alpha[..., None]) * background) / np.maximum(alpha[..., None], 0.25)
    weight = np.clip(alpha[..., None] * 2 - 1, 0, 1)
    colour = np.where(inside[..., None], tile, weight * solved + (1 - weight) * foreground)
    return np.clip(colour, 0, 1), alpha


def _mean_inside(tile: F64, inside: Mask) -> F64:
    """3x3 mean over sure foreground alone, so that one odd pixel does not paint the band."""
    from scipy import ndimage

    weight = ndimage.uniform_filter(inside.astype(np.float64), 3)
    total = np.stack([ndimage.uniform_filter(tile[..., c] * inside, 3) for c in range(3)], axis=-1)
    return total / np.maximum(weight, 1e-9)[..., None]
