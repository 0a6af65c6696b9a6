"""Where a picture shows its plain backdrop, and where the object.

Two kinds of backdrop. A *steady* one is a single value, as renderers leave it, or that value with
JPEG's ringing around the object. A *grainy* one is what networks draw: grain of 0.5 to 2 levels all
over and shading by a few levels from side to side; there background is what lies near a fitted
plane of colour, is calm, and is connected to the border.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from img2mesh.core.arrays import F64, Mask
from img2mesh.errors import InputError
from img2mesh.imaging.masks import keep_pieces, ring, touching_border

Kind = Literal["exact", "ringing", "grainy"]

#: Steady backdrops. Colour distances are in 8-bit levels, the largest channel's.
_EXACT_TOLERANCE = 0.5  # a rendered backdrop is one single value
_RINGING_TOLERANCE = (6.0, 20.0)  # bounds on 4 + 4 sigma
_SMOOTHING = 1.0  # pixels: averages a backdrop's grain away, or tolerance would eat the object
_BORDER_SHARE = 0.6  # of the border pixels must show the backdrop; the object may touch the rest
_LOOSE = 1e-3  # of the largest piece: smaller ones are noise of the backdrop
_CLIPPED_HOLE = 0.003  # of the picture: holes below this on white may as well be highlights

#: Grainy backdrops, in [0, 1].
#: Half-width of the ring the background is measured on, as a share of the side.
_RING = 0.02
#: A border whose median is further than this from the nominal colour holds object: use nominal.
_FAR = 0.12
#: Differences below LOW noise widths (at least _FLOOR) count as background. The noise of generated
#: flats is 0.5 to 2 grey levels (VAE ripple); 8-bit rounding alone gives 0.3.
_LOW, _FLOOR, _NOISE_CAP = 4.0, 5 / 255, 4 / 255
#: An enclosed patch of background colour is a hole when it is this flat against the border's noise
#: and at least this share of the tile; smaller ones are dark or bright spots of the object.
_HOLE_FLAT, _HOLE_AREA = 1.5, 5e-4
#: Islands smaller than this share of the largest one, or of the tile, are specks of the background.
_SPECK, _LEAST = 5e-3, 1e-3
#: Side of the window in which background must be calm, and how calm against the border's noise:
#: shading that passes through the background's colour is steeper than that.
_CALM_SIDE, _CALM = 5, 1.6


@dataclass(frozen=True)
class Backdrop:
    """A plain backdrop, measured on a picture's border; colours in 8-bit levels.

    Attributes:
        colour: (3,) float64.
        kind: ``exact``: all of it has one value, as renderers leave it; ``ringing``: one value but
            for what JPEG adds around the object; ``grainy``: as networks draw.
        tolerance: how far from the colour it may lie.
        seen: (h, w, 3) the picture, without its grain unless exact.
    """

    colour: F64
    kind: Kind
    tolerance: float
    seen: F64

    @property
    def exact(self) -> bool:
        """One value all over."""
        return self.kind == "exact"

    @property
    def clipped(self) -> bool:
        """White or black."""
        return _clipped(self.colour)

    @property
    def distance(self) -> F64:
        """How far each pixel is from the colour, in the channel where it is farthest; (h, w)."""
        return np.abs(self.seen - self.colour).max(axis=2)


def _clipped(colour: F64) -> bool:
    return bool((colour > 252).all() or (colour < 3).all())


def measure(levels: F64, *, lossy: bool) -> Backdrop:
    """The backdrop of a picture (h, w, 3) in 8-bit levels, from its border.

    Args:
        levels: the picture.
        lossy: the file was JPEG or WebP, which never leaves a backdrop exact.

    Raises:
        InputError: the border has no common colour.
    """
    from scipy import ndimage

    colour = np.median(_border(levels), axis=0)
    grain = float(np.median(np.abs(_border(levels) - colour).max(axis=1)))
    exact = grain == 0.0 and not lossy
    seen = levels if exact else ndimage.gaussian_filter(levels, (_SMOOTHING, _SMOOTHING, 0))
    spread = np.abs(_border(seen) - colour).max(axis=1)
    low, high = _RINGING_TOLERANCE
    sigma = 1.4826 * float(np.median(spread))
    tolerance = _EXACT_TOLERANCE if exact else float(np.clip(4 + 4 * sigma, low, high))
    if (spread <= tolerance).mean() < _BORDER_SHARE:
        raise InputError(
            "the picture has neither transparency nor a plain background: give RGBA pictures, "
            "or views on one uniform colour"
        )
    # Clipping cuts most of the grain off, so that ringing is the greater evil on white.
    steady = grain == 0.0 or (lossy and _clipped(colour))
    kind: Kind = "exact" if exact else "ringing" if steady else "grainy"
    return Backdrop(colour, kind, tolerance, seen)


def steady_body(backdrop: Backdrop) -> Mask:
    """(h, w) bool: the object before a steady backdrop.

    Whatever has the backdrop's colour *and* is connected to the border is backdrop, so that parts
    of the object which happen to share the colour stay. Holes seen through the object (a mug's
    handle) are backdrop too if they have its colour all over, with no shading, and a clear edge: a
    surface is hardly ever so flat. On a clipped (white or black) backdrop, where small highlights
    and pupils are just as flat, only large holes count.
    """
    exact, clipped, distance = backdrop.exact, backdrop.clipped, backdrop.distance
    outside = touching_border(distance <= backdrop.tolerance)
    outside |= _flat_holes(
        backdrop,
        ~outside,
        smallest=_CLIPPED_HOLE * distance.size if clipped else 4 if exact else 24,
        # A smoothed edge rises over a few pixels; shading by a level or two a pixel.
        reach=1 if exact else 5,
        edge=4.0 if exact else 30.0 if clipped else 1.5 * backdrop.tolerance,
    )
    if exact:
        return ~outside
    return keep_pieces(~outside, diagonal=True, pixels=3, share=_LOOSE)[0]


def _border(values: F64) -> F64:
    """The picture's outermost pixels, (n, c)."""
    return np.concatenate([values[0], values[-1], values[1:-1, 0], values[1:-1, -1]])


def _flat_holes(
    backdrop: Backdrop, body: Mask, *, smallest: float, reach: int, edge: float
) -> Mask:
    """Enclosed regions that show the backdrop: its colour all over, and a clear edge around.

    At least ``smallest`` pixels, and around them, within ``reach`` pixels, a median distance from
    the backdrop of more than ``edge`` levels. A band of the body whose shading just passes through
    the backdrop's colour has no such edge.
    """
    from scipy import ndimage

    distance = backdrop.distance
    labels, count = ndimage.label(body & (distance <= backdrop.tolerance))
    if not count:
        return np.zeros(body.shape, bool)
    names = np.arange(1, count + 1)
    area = np.bincount(labels.ravel(), minlength=count + 1)[1:]
    off = np.zeros(count)
    for channel in range(3):
        mean = ndimage.mean(backdrop.seen[..., channel], labels, names)
        off = np.maximum(off, np.abs(mean - backdrop.colour[channel]))
    around = ndimage.grey_dilation(labels, size=(3, 3)) * (labels == 0)
    contrast = ndimage.median(ndimage.maximum_filter(distance, size=reach), around, names)
    hole = (off <= 0.25 * backdrop.tolerance) & (area >= smallest)
    hole &= contrast > edge
    return np.concatenate([[False], hole])[labels]


def along_border(h: int, w: int) -> Mask:
    """(h, w): the pixels that a grainy backdrop is measured on."""
    return ring((h, w), max(1, round(_RING * min(h, w))))


def fit_plane(tile: F64, nominal: float | F64) -> tuple[F64, float]:
    """Background colour at every pixel, (h, w, 3), and the width of its noise.

    A plane through the border pixels near the nominal colour: generators shade their flats a
    little. Too few such pixels leave the nominal colour.

    Args:
        tile: (h, w, 3) in [0, 1].
        nominal: the colour it was meant to have: a grey, or (3,).
    """
    h, w = tile.shape[:2]
    v, u = np.nonzero(along_border(h, w))
    values = tile[v, u]
    near = np.abs(values - nominal).max(axis=-1) < _FAR
    if near.sum() < 0.1 * len(values):
        return np.zeros_like(tile) + nominal, 1 / 255
    # Two rounds: the second without what the first shows to be object.
    for _ in range(2):
        basis = np.stack([np.ones(near.sum()), u[near] / w - 0.5, v[near] / h - 0.5], axis=-1)
        fit = np.linalg.lstsq(basis, values[near], rcond=None)[0]
        fitted = np.stack([np.ones(len(u)), u / w - 0.5, v / h - 0.5], axis=-1) @ fit
        error = np.abs(values - fitted)
        noise = float(np.clip(1.4826 * np.median(error[near]), 0.5 / 255, _NOISE_CAP))
        near = error.max(axis=-1) < max(_LOW * noise, _FLOOR)
        if near.sum() < 0.1 * len(values):
            return np.zeros_like(tile) + nominal, 1 / 255
    vv, uu = np.mgrid[0:h, 0:w]
    everywhere = np.stack([np.ones((h, w)), uu / w - 0.5, vv / h - 0.5], axis=-1)
    return everywhere @ fit, noise


def grainy_body(tile: F64, nominal: float | F64) -> Mask:
    """(h, w) bool: the object before a grainy backdrop; arguments as for :func:`fit_plane`."""
    from scipy import ndimage

    background, noise = fit_plane(tile, nominal)
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
    least = _LEAST * outside.size
    return keep_pieces(~outside, diagonal=False, pixels=least, share=_SPECK)[0]


def _local_deviation(values: F64) -> F64:
    """Standard deviation in a small window, the largest of the channels; (h, w)."""
    from scipy import ndimage

    window = (_CALM_SIDE, _CALM_SIDE, 1)
    mean = ndimage.uniform_filter(values, window)
    square = ndimage.uniform_filter(values**2, window)
    return np.sqrt(np.maximum(square - mean**2, 0)).max(axis=-1)
