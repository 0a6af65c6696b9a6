"""The outline of a cutout: one connected region, as a sub-pixel signed distance.

Frame units: the square picture spans [-1, 1] x [-1, 1], x to the right, y *up*. The frame is the
plane z = 0 in front of the assumed camera (:func:`frame_camera`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from img2mesh.artifacts import Cutout
from img2mesh.core.arrays import F32, Mask
from img2mesh.core.cameras import Camera, orbit
from img2mesh.core.parts import Parts
from img2mesh.imaging.lookup import bilinear
from img2mesh.imaging.masks import fill_pinholes, signed_distance

#: Field of view we assume the photo frame had: that of a moderate telephoto product shot, and that
#: of the reference pictures the prior's numbers were measured on.
FOV_DEG = 30.0
#: Distance at which the frame spans two units.
DISTANCE = float(1 / np.tan(np.deg2rad(FOV_DEG) / 2))
#: Side in pixels of the picture the outline and the colours are worked out on.
PIXELS = 512
#: Openings below this share of the object's area are noise of the matte, not design.
_PINHOLE = 5e-4


@dataclass(frozen=True)
class FrameSilhouette:
    """Where the object is in its frame.

    Attributes:
        distance: (PIXELS, PIXELS) float32 signed distance to the outline at pixel centres, frame
            units, negative inside.
        longest: longer side of the region's bounding box, frame units.
        notes: sentences for the user on parts joined or left out.
        parts: how many separate pieces it is in.
    """

    distance: F32
    longest: float
    notes: tuple[str, ...] = ()
    parts: int = 1

    @property
    def mask(self) -> Mask:
        """(PIXELS, PIXELS) the object."""
        return self.distance < 0

    def at(self, size: int) -> F32:
        """(size, size) float32 the signed distance at another resolution."""
        return resize(self.distance, size)


def frame_camera(elevation_deg: float, size: int) -> Camera:
    """The camera the prior assumes took the photo: azimuth 0, looking at the frame's middle."""
    return Camera.from_fov(
        orbit(0.0, elevation_deg, DISTANCE), fov_deg=FOV_DEG, width=size, height=size
    )


def resize(picture: NDArray[np.floating], size: int) -> F32:
    """Resample a square picture (s, s[, c]): area average to shrink, bilinear to grow."""
    import cv2

    if picture.shape[0] == size:
        return np.ascontiguousarray(picture, np.float32)
    how = cv2.INTER_AREA if picture.shape[0] > size else cv2.INTER_LINEAR
    source = np.ascontiguousarray(picture, np.float32)
    result: F32 = cv2.resize(source, (size, size), interpolation=how).astype(np.float32)
    return result


def look_up(picture: F32, x: NDArray[np.floating], y: NDArray[np.floating]) -> F32:
    """Bilinear values (...) of a square picture (s, s) at frame coordinates (...)."""
    size = picture.shape[0]
    return bilinear(picture, np.stack([(x + 1) * size / 2, (1 - y) * size / 2], axis=-1))


def trace(cutout: Cutout, *, parts: Parts) -> FrameSilhouette:
    """Find the outline of a cutout.

    Pin-holes are closed, crumbs dropped, and strands thinner than 1.2 % of the object widened to
    that (1.5 of 128 voxels, so that a later fit can hold them).

    Args:
        cutout: the object alone.
        parts: separate parts are kept, joined by thin bars, or left out but for the largest.
    """

    mask = resize(cutout.alpha, PIXELS) > 0.5
    if not mask.any():  # the object is smaller than a pixel here: keep its strongest pixel
        small = resize(cutout.alpha, PIXELS)
        mask = small >= small.max()
    mask = fill_pinholes(mask, below=_PINHOLE * mask.sum())
    rows, columns = np.nonzero(mask.any(1))[0], np.nonzero(mask.any(0))[0]
    side = max(np.ptp(rows), np.ptp(columns)) + 1
    mask, count, notes = _parted(mask, parts, bar=max(2, round(side / 64)))
    mask = _widen(mask, half_width=0.006 * side)
    distance = _subpixel(mask, resize(cutout.alpha, PIXELS))
    return FrameSilhouette(
        (distance * 2 / PIXELS).astype(np.float32), float(side * 2 / PIXELS), notes, count
    )


def _subpixel(mask: Mask, alpha: F32) -> F32:
    """Signed distance in pixels whose zero follows the antialiased edge, not the pixel steps.

    An edge blurred by a Gaussian of sigma s has the value Phi(d / s) at distance d inside;
    inverting that gives d to a fraction of a pixel within about 1.5 s.
    """
    from scipy.ndimage import gaussian_filter
    from scipy.special import ndtri

    sigma = 1.2
    # Where the mask was mended the alpha has nothing to say.
    edge = np.where(mask == (alpha > 0.5), alpha, mask).astype(np.float32)
    edge = gaussian_filter(edge, sigma)
    near = -np.hypot(sigma, 0.29) * ndtri(np.clip(edge, 0.02, 0.98))  # 0.29 px: a pixel's own blur
    far = signed_distance(mask)
    blend = np.clip((np.abs(near) - 1.0) / 1.2, 0, 1)
    distance = (1 - blend) * near + blend * far
    # Strands as thin as the blur would be lost.
    kept: F32 = np.where(mask & (distance >= 0), np.maximum(0.3 * far, -0.3), distance)
    return kept.astype(np.float32)


def _parted(mask: Mask, how: Parts, *, bar: int) -> tuple[Mask, int, tuple[str, ...]]:
    """Drop crumbs; keep the other parts, join them along the shortest gaps, or keep the largest.

    Returns:
        the mask, how many pieces it is in, and notes.
    """
    from scipy.ndimage import label

    pieces, count = label(mask, structure=np.ones((3, 3)))
    if count <= 1:
        return mask, 1, ()
    sizes = np.bincount(pieces.ravel())
    sizes[0] = 0
    order = [int(i) for i in np.argsort(-sizes, kind="stable") if sizes[i] >= 0.01 * sizes.max()]
    parts = [pieces == index for index in order]
    notes = []
    if len(parts) > 1:
        done = {
            "keep": "they stay separate (--parts join makes one body of them)",
            "join": "they were joined by thin bars, as --parts join asks",
            "largest": "only the largest was kept, as --parts largest asks",
        }[how]
        notes.append(f"the object is in {len(parts)} separate parts in the picture: {done}")
    lost = count - len(order)
    if lost and mask.sum() - sizes[order].sum() > 0.002 * mask.sum():
        notes.append(f"{lost} small loose part(s) of the mask were left out")
    if how == "join":
        return _joined(parts, bar), 1, tuple(notes)
    kept = parts if how == "keep" else parts[:1]
    return np.logical_or.reduce(kept), len(kept), tuple(notes)


def _joined(parts: list[Mask], bar: int) -> Mask:
    """The parts, the largest first, with bars along the shortest gaps."""
    import cv2
    from scipy.ndimage import distance_transform_edt

    joined = parts[0]
    for part in parts[1:]:
        gap, nearest = distance_transform_edt(~joined, return_indices=True)
        flat = int(np.where(part, gap, np.inf).argmin())
        end = np.unravel_index(flat, part.shape)
        start = nearest[:, end[0], end[1]]
        canvas = joined.astype(np.uint8)
        cv2.line(
            canvas, (int(start[1]), int(start[0])), (int(end[1]), int(end[0])), 1, thickness=bar
        )
        joined = canvas.astype(bool) | part
    return joined


def _widen(mask: Mask, *, half_width: float) -> Mask:
    """Give strands thinner than ``2 * half_width`` pixels that width; leave the rest alone."""
    from scipy.ndimage import distance_transform_edt as edt

    if half_width < 1:
        return mask
    core = edt(mask) >= half_width
    opened = edt(~core) <= half_width + 1.0 if core.any() else np.zeros_like(mask)
    thin = mask & ~opened
    if not thin.any():
        return mask
    depth = edt(mask)
    # Grow each strand pixel by what is missing there; a distance field per missing amount.
    grown = mask.copy()
    for missing in range(1, int(np.ceil(half_width)) + 1):
        seeds = thin & (half_width - depth >= missing - 0.5)
        ridge = seeds & (depth >= 0.5 * half_width - 0.5)
        seeds = ridge if ridge.any() else seeds
        if seeds.any():
            grown |= edt(~seeds) <= missing
    return grown
