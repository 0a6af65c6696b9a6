"""Matte and photo -> the square picture of the object alone."""

from __future__ import annotations

import numpy as np

from img2mesh.core.arrays import F32, F64, U8
from img2mesh.imaging.resize import resample

#: Smallest side of a cutout: the geometry mask is cut from it at 128, with room to filter.
MIN_SIZE = 256
#: A colour is trusted this far inside the outline: pixels, and share of the frame
#: (specification of the offline prior, "Colour").
_TRUST_PIXELS, _TRUST_SHARE, _TRUST_ALPHA = 1.5, 0.008, 0.98
#: Of a limb too thin for that, the inner part by this share of its half-width.
_TRUST_THIN = 0.6


def frame(rgb: U8, matte: F32, *, foreground_ratio: float, max_size: int) -> tuple[F32, F32, F64]:
    """Cut the object's box out, centred, resampled with premultiplied colour.

    Args:
        rgb: (h, w, 3) uint8 photo.
        matte: (h, w) float32 in [0, 1] with some pixel above 0.5.
        foreground_ratio: longest side of the box over the side of the square.
        max_size: limit for the side of the square, in pixels.

    Returns:
        rgb: (s, s, 3) float32, outside the object its own colours extended.
        alpha: (s, s) float32.
        photo_from_cutout: (3, 3) float64 map of homogeneous pixel coordinates.
    """
    inside = matte > 0.5
    rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
    top, bottom = int(rows[0]), int(rows[-1]) + 1
    left, right = int(columns[0]), int(columns[-1]) + 1
    natural = max(bottom - top, right - left) / foreground_ratio
    size = int(np.clip(round(natural), MIN_SIZE, max_size))
    side = natural  # of the square, in photo pixels
    x, y = (left + right - side) / 2, (top + bottom - side) / 2
    premultiplied, alpha = _resample(rgb, matte, x, y, side, size)
    alpha = np.clip((alpha - 2 / 255) / (1 - 4 / 255), 0, 1)  # clean 0 and 1 after ringing
    straight = np.clip(premultiplied / np.maximum(alpha, 1 / 255)[..., None], 0, 1)
    photo_from_cutout = np.array(
        [[side / size, 0, x], [0, side / size, y], [0, 0, 1]], dtype=np.float64
    )
    blur_of_photo = max(1.0, size / side)  # one photo pixel, in cutout pixels
    colour = extend(straight, alpha, blur_of_photo)
    return colour, alpha, photo_from_cutout


def _resample(rgb: U8, matte: F32, x: float, y: float, side: float, size: int) -> tuple[F32, F32]:
    """The square (x, y, side) of the photo, transparent beyond it, at size x size pixels."""
    h, w = matte.shape
    margin = 4 + int(np.ceil(side / size)) * 3  # the bicubic filter's reach
    x0, y0 = int(np.floor(x)) - margin, int(np.floor(y)) - margin
    x1, y1 = int(np.ceil(x + side)) + margin, int(np.ceil(y + side)) + margin
    sx0, sy0, sx1, sy1 = max(x0, 0), max(y0, 0), min(x1, w), min(y1, h)
    planes = np.zeros((y1 - y0, x1 - x0, 4), np.float32)
    patch = matte[sy0:sy1, sx0:sx1]
    window = planes[sy0 - y0 : sy1 - y0, sx0 - x0 : sx1 - x0]
    window[..., 3] = patch
    window[..., :3] = rgb[sy0:sy1, sx0:sx1] * (patch / np.float32(255))[..., None]
    box = (x - x0, y - y0, x - x0 + side, y - y0 + side)
    out = resample(planes, width=size, height=size, how="bicubic", box=box)
    return out[..., :3], out[..., 3]


def extend(rgb: F32, alpha: F32, photo_pixel: float = 1.0) -> F32:
    """Replace colours outside and along the outline by the object's own, extended outward.

    Around an outline the photo's pixels hold some background, and the matte may be a pixel off;
    colours well inside are kept, those on the way are blended.

    Args:
        rgb: (h, w, 3) float32 straight colour.
        alpha: (h, w) float32 with some pixel above 0.5.
        photo_pixel: size of one pixel of the photo, in pixels of this picture.

    Returns:
        (h, w, 3) float32 in [0, 1].
    """
    import cv2

    size = max(alpha.shape)
    reach = max(_TRUST_PIXELS * photo_pixel, _TRUST_SHARE * size)
    inside = (alpha > 0.5).astype(np.uint8)
    depth = cv2.distanceTransform(cv2.copyMakeBorder(inside, 1, 1, 1, 1, 0), cv2.DIST_L2, 5)
    depth = depth[1:-1, 1:-1]
    window = 2 * int(np.ceil(reach)) + 1
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (window, window))
    half_width = cv2.dilate(depth, kernel)  # of a limb thinner than the reach; else above it
    wanted = np.minimum(reach, _TRUST_THIN * half_width)
    trusted = (depth >= wanted) & (alpha > _TRUST_ALPHA)
    if not trusted.any():
        trusted = depth >= depth.max() * 0.99
    distance, labels = cv2.distanceTransformWithLabels(
        (~trusted).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    colours = np.zeros((labels.max() + 1, 3), np.float32)
    colours[labels[trusted]] = rgb[trusted]
    nearest = colours[labels]
    # Streaks of single pixels far out: blur more the farther out.
    soft = cv2.GaussianBlur(nearest, (0, 0), 0.01 * size)
    softer = cv2.GaussianBlur(nearest, (0, 0), 0.04 * size)
    far = np.clip(distance / (0.03 * size), 0, 1)[..., None]
    farther = np.clip(distance / (0.15 * size), 0, 1)[..., None]
    filled = nearest + (soft - nearest) * far
    filled += (softer - filled) * farther
    # True colours from half the reach on, blended in between.
    own = np.clip((depth / np.maximum(wanted, 1e-3) - 0.5) / 0.5, 0, 1)[..., None]
    own = np.where(trusted[..., None], 1.0, own * (alpha > _TRUST_ALPHA)[..., None])
    result = filled + (rgb - filled) * own
    return np.clip(result, 0, 1).astype(np.float32)
