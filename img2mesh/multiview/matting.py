"""Cutting generated views off their plain background, without a downloaded model.

Multi-view generators draw the object on one flat colour: grey 127 (Zero123++) or white. That is
an easier problem than matting a photograph: the background colour is known and can be measured on
the border, so background is what has that colour *and* touches the border, and in the thin band
between the two an alpha follows from the compositing equation ``I = a F + (1 - a) B``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from img2mesh.errors import InputError

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
Mask = NDArray[np.bool_]

#: The colours generators are trained to put behind the object, sRGB.
NOMINAL: dict[str, float] = {"grey": 127 / 255, "white": 1.0}
#: Half-width of the ring the background is measured on, as a share of the side.
_RING = 0.02
#: A border whose median is further than this from the nominal colour holds object: use nominal.
_FAR = 0.12
#: Differences below LOW noise widths (at least _FLOOR) count as background. The noise of generated
#: flats is 0.5 to 2 grey levels (VAE ripple); 8-bit rounding alone gives 0.3.
_LOW, _FLOOR, _NOISE_CAP = 4.0, 5 / 255, 4 / 255
#: Half-width in pixels of the band in which alpha is computed: generated outlines are 1 to 2
#: pixels soft.
_BAND = 2
#: An enclosed patch of background colour is a hole when it is this flat against the border's noise
#: and at least this share of the tile; smaller ones are dark or bright spots of the object.
_HOLE_FLAT, _HOLE_AREA = 1.5, 5e-4
#: Islands smaller than this share of the largest one, or of the tile, are specks of the background.
_SPECK, _LEAST = 5e-3, 1e-3
#: Side of the window in which background must be calm, and how calm against the border's noise:
#: shading that passes through the background's colour is steeper than that.
_CALM_SIDE, _CALM = 5, 1.6


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
        body = _body(tile, nominal)
        if not body.any():
            notes.append(f"view {k + 1} shows no object on its background")
        foreground.append(ndimage.binary_erosion(body, iterations=_BAND))
        sure_background.append(~ndimage.binary_dilation(body, iterations=_BAND))
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
        colour, alpha = _matte(tile, inside, outside, _plane(tile, background)[0])
        rgbs.append(colour)
        alphas.append(alpha)
    return Cut(np.stack(rgbs).astype(np.float32), np.stack(alphas).astype(np.float32))


def _guess(tiles: F32) -> float:
    h, w = tiles.shape[1:3]
    median = float(np.median(tiles[:, _ring(h, w)]))
    return min(NOMINAL.values(), key=lambda v: abs(v - median))


def _ring(h: int, w: int) -> Mask:
    width = max(1, round(_RING * min(h, w)))
    ring = np.ones((h, w), bool)
    ring[width:-width, width:-width] = False
    return ring


def _plane(tile: F64, nominal: float) -> tuple[F64, float]:
    """Background colour at every pixel, (h, w, 3), and the width of its noise.

    A plane through the border pixels near the nominal colour: generators shade their flats a
    little. Too few such pixels leave the nominal colour.
    """
    h, w = tile.shape[:2]
    v, u = np.nonzero(_ring(h, w))
    values = tile[v, u]
    near = np.abs(values - nominal).max(axis=-1) < _FAR
    if near.sum() < 0.1 * len(values):
        return np.full_like(tile, nominal), 1 / 255
    # Two rounds: the second without what the first shows to be object.
    for _ in range(2):
        basis = np.stack([np.ones(near.sum()), u[near] / w - 0.5, v[near] / h - 0.5], axis=-1)
        fit = np.linalg.lstsq(basis, values[near], rcond=None)[0]
        fitted = np.stack([np.ones(len(u)), u / w - 0.5, v / h - 0.5], axis=-1) @ fit
        error = np.abs(values - fitted)
        noise = float(np.clip(1.4826 * np.median(error[near]), 0.5 / 255, _NOISE_CAP))
        near = error.max(axis=-1) < max(_LOW * noise, _FLOOR)
        if near.sum() < 0.1 * len(values):
            return np.full_like(tile, nominal), 1 / 255
    vv, uu = np.mgrid[0:h, 0:w]
    everywhere = np.stack([np.ones((h, w)), uu / w - 0.5, vv / h - 0.5], axis=-1)
    return everywhere @ fit, noise


def _body(tile: F64, nominal: float) -> Mask:
    """(h, w) bool: the object, hard-edged."""
    background, noise = _plane(tile, nominal)
    difference = np.abs(tile - background).max(axis=-1)
    flat = difference < max(_LOW * noise, _FLOOR)
    # Shading that passes through the background's colour must not let the background in, nor a
    # gap one or two pixels wide: background is calm around, and fits a 3x3 element.
    calm = _local_deviation(tile - background) < _CALM * max(noise, 1 / 255) + 0.3 / 255
    frame = 3  # wide enough to survive the opening: background surrounds the tile
    core = np.pad(flat & calm, frame, constant_values=True)
    core = ndimage.binary_opening(core, np.ones((3, 3)))
    labels, count = ndimage.label(core)
    outside = labels == labels[0, 0]
    for hole in range(1, count + 1):
        patch = (labels == hole)[frame:-frame, frame:-frame]
        large = patch.mean() > _HOLE_AREA
        if large and np.median(difference[patch]) < _HOLE_FLAT * noise + 1 / 255:
            outside |= labels == hole
    # Beside an outline nothing is calm: grow back to it.
    outside = ndimage.binary_dilation(
        outside[frame:-frame, frame:-frame],
        np.ones((3, 3)),
        iterations=_CALM_SIDE // 2 + 2,
        mask=flat,
    )
    body = ~outside
    labels, count = ndimage.label(body)
    if count:
        areas = np.bincount(labels.ravel())
        areas[0] = 0
        body = (areas >= max(_SPECK * areas.max(), _LEAST * body.size))[labels]
    return body


def _local_deviation(values: F64) -> F64:
    """Standard deviation in a small window, the largest of the channels; (h, w)."""
    window = (_CALM_SIDE, _CALM_SIDE, 1)
    mean = ndimage.uniform_filter(values, window)
    square = ndimage.uniform_filter(values**2, window)
    return np.sqrt(np.maximum(square - mean**2, 0)).max(axis=-1)


def _matte(tile: F64, inside: Mask, outside: Mask, background: F64) -> tuple[F64, F64]:
    """Colours (h, w, 3) and alpha (h, w) of one tile from its trimap."""
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
    weight = ndimage.uniform_filter(inside.astype(np.float64), 3)
    total = np.stack([ndimage.uniform_filter(tile[..., c] * inside, 3) for c in range(3)], axis=-1)
    return total / np.maximum(weight, 1e-9)[..., None]
