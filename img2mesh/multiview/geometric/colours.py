"""Colours worked out in the picture: trusted pixels, and what unseen sides are made of."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from img2mesh.artifacts import Cutout
from img2mesh.core.arrays import F32, Mask
from img2mesh.multiview.geometric.outline import PIXELS, FrameSilhouette, resize
from img2mesh.multiview.geometric.poisson import solve

#: Side the low-detail colours are worked out on.
_COARSE = 128
#: Share of the featureless front in the calm colours; the rest is the membrane from the rim.
_PLAIN = 0.5


@dataclass(frozen=True)
class Palette:
    """Pictures over the frame to take colours from.

    Attributes:
        front: (PIXELS, PIXELS, 3) float32: the photo inside, its nearest trusted colours beyond.
        calm: (PIXELS, PIXELS, 3) float32 low-detail version: the colours of the object's rim
            spread over its inside like a membrane. What the far side is painted with.
        grain: (PIXELS, PIXELS, 3) float32 fine texture around 0, too faint to show a feature.
        median: (3,) the object's median colour.
    """

    front: F32
    calm: F32
    grain: F32
    median: F32


def palette(cutout: Cutout, outline: FrameSilhouette) -> Palette:
    """Prepare the colours of a cutout."""
    from scipy.ndimage import gaussian_filter

    alpha, rgb = resize(cutout.alpha, PIXELS), _resize(cutout)
    trusted = _trusted(alpha, outline)
    front = _extend(rgb, trusted)
    calm = _membrane(front, outline)
    soft = np.stack([gaussian_filter(front[..., k], 3.0) for k in range(3)], axis=-1)
    grain = front - soft
    # Keep weave, fur and wood; drop whatever is strong enough to be a feature (Wiener-like gain).
    strength = gaussian_filter(np.abs(grain).max(axis=-1), 4.0)[..., None]
    grain = np.clip(grain, -0.05, 0.05) / (1 + (strength / 0.012) ** 4)
    return Palette(
        front, calm, grain.astype(np.float32), np.median(rgb[trusted], axis=0).astype(np.float32)
    )


def front_without(colours: Palette, region: Mask) -> F32:
    """(PIXELS, PIXELS, 3) the front with a region painted over by what surrounds it."""
    if not region.any() or region.all():
        return colours.front
    return _extend(colours.front, ~region)


def sample(picture: F32, x: NDArray[np.floating], y: NDArray[np.floating]) -> F32:
    """Bilinear colours (n, 3) of a picture at frame coordinates (n,), to 1/32 of a pixel.

    A body is painted at millions of points: OpenCV's fixed-point look-up is several times as fast
    as :func:`img2mesh.imaging.lookup.bilinear`.
    """
    import cv2

    size = picture.shape[0]
    count = len(x)
    if count == 0:
        return np.zeros((0, 3), np.float32)
    wide = 16384  # cv2 limits the side of a picture to 32767
    padded = -(-count // wide) * wide
    u, v = np.zeros(padded, np.float32), np.zeros(padded, np.float32)
    u[:count] = (x + 1) * size / 2 - 0.5
    v[:count] = (1 - y) * size / 2 - 0.5
    found = cv2.remap(
        np.asarray(picture),
        u.reshape(-1, wide),
        v.reshape(-1, wide),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    result: F32 = np.asarray(found, np.float32).reshape(padded, -1)[:count]
    return result


def _resize(cutout: Cutout) -> F32:
    """Premultiplied resampling, so that what lies under alpha = 0 never mixes in."""
    weight = np.maximum(cutout.alpha, 1e-4)[..., None]
    top = resize(cutout.rgb * weight, PIXELS)
    rgb: F32 = np.clip(top / resize(weight[..., 0], PIXELS)[..., None], 0, 1).astype(np.float32)
    return rgb


def _trusted(alpha: F32, outline: FrameSilhouette) -> Mask:
    """Pixels far enough inside not to hold background: 1.5 px or .8 % of the frame.

    Strands thinner than that are trusted along their middle.
    """
    from scipy.ndimage import maximum_filter

    pitch = 2 / PIXELS
    depth = -outline.distance / pitch  # pixels
    margin = max(1.5, 0.008 * PIXELS)
    ridge = maximum_filter(depth, size=2 * int(np.ceil(margin)) + 1)
    trusted: Mask = (depth >= np.minimum(margin, 0.75 * ridge)) & (depth > 0) & (alpha > 0.98)
    if not trusted.any():
        trusted = (depth > 0) & (alpha >= 0.9 * alpha.max())
    if not trusted.any():
        trusted = alpha >= alpha.max()
    return trusted


def _extend(rgb: F32, trusted: Mask) -> F32:
    """Nearest trusted colours outside the trusted pixels, blurrier the farther away."""
    from scipy.ndimage import distance_transform_edt, gaussian_filter

    away, nearest = distance_transform_edt(~trusted, return_indices=True)
    filled = rgb[nearest[0], nearest[1]]
    out = filled.copy()
    for sigma, start, full in ((1.5, 1.0, 4.0), (4.0, 5.0, 12.0), (10.0, 14.0, 36.0)):
        blurred = np.stack([gaussian_filter(filled[..., k], sigma) for k in range(3)], axis=-1)
        t = np.clip((away - start) / (full - start), 0, 1)[..., None]
        out = (1 - t) * out + t * blurred
    return np.ascontiguousarray(out, np.float32)


def _membrane(front: F32, outline: FrameSilhouette) -> F32:
    """Rim colours spread over the inside: the far side's colours continue those of the rim.

    A face, a label or a cut surface sits in the middle of the front; what one sees near the rim
    is what goes on round the back. Band: 3 to 8 % of the object inside the outline.
    """
    from scipy.ndimage import gaussian_filter

    depth = -outline.at(_COARSE)
    colours = resize(front, _COARSE)
    inside = depth > 0
    width = 0.05 * outline.longest
    # Weight of a pixel as a witness of the rim; it never quite vanishes in thin parts.
    band = inside & (depth < width)
    known = np.full((*depth.shape, 3), np.nan)
    weight = gaussian_filter(band.astype(np.float32), 2.0)
    for k in range(3):
        blurred = gaussian_filter(np.where(band, colours[..., k], 0).astype(np.float32), 2.0)
        known[..., k] = np.where(band, blurred / np.maximum(weight, 1e-6), np.nan)
    spread = solve(inside & ~band, source=0.0, known=known)
    plain = _without_features(colours, longest=outline.longest)
    return resize(_extend((1 - _PLAIN) * spread + _PLAIN * plain, inside), PIXELS)


def _without_features(colours: F32, *, longest: float) -> F32:
    """A wide median: keeps legs, collars and tails apart, drops eyes, buttons and letters."""
    import cv2
    from scipy.ndimage import gaussian_filter

    width = int(0.055 * longest * colours.shape[0]) | 1
    levels = np.round(np.clip(colours, 0, 1) * 255).astype(np.uint8)
    median = cv2.medianBlur(levels, max(width, 3)).astype(np.float32) / 255
    return np.stack([gaussian_filter(median[..., k], 1.5) for k in range(3)], axis=-1)
