"""Do outlines belong to one object? Carve their common volume, then look how much of each it fills.

The cones that outlines sweep through space intersect in the visual hull. Where the cameras are
right, the hull's own silhouette fills every outline; where a camera, an order or a mask is wrong,
the cones carve away what another view shows (silhouette coherence: Hernandez, Schmitt and Cipolla
2007). Everything here is coarse on purpose: outlines of 64 pixels, a few ten thousand points.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations

import numpy as np
from numpy.typing import NDArray

from img2mesh.core.arrays import F32, F64
from img2mesh.core.cameras import Camera, scene_bounds
from img2mesh.geometry.grid import Grid

#: Side of the coarse outlines in pixels, and points along the longest side of the volume.
SIDE, GRID = 64, 56
#: A coarse pixel the object touches may be object: this much slack forgives warped views.
_TOUCHED = 0.02
#: Most views for which every order is tried (720 of six).
_MOST_ORDERED = 6
#: Orders whose scores differ by less are equal: turning a rig by 120 degrees changes nothing.
_TIE = 0.004


@dataclass(frozen=True)
class Coarse:
    """An outline at few pixels, with its camera at that size.

    Attributes:
        share: (SIDE, SIDE) float32 share of each pixel that is object.
        camera: resized to match.
    """

    share: F32
    camera: Camera

    def pixels(self, points: F64) -> NDArray[np.int64]:
        """Flat pixel index (n,) of world points (n, 3); -1 outside the picture or behind it."""
        uv, depth = self.camera.project(points)
        cell = np.floor(np.clip(uv, -1, SIDE)).astype(np.int64)
        inside = (cell >= 0).all(axis=1) & (cell < SIDE).all(axis=1) & (depth > 0)
        return np.where(inside, cell[:, 1] * SIDE + cell[:, 0], -1)

    def allows(self, points: F64, *, reach: int = 0) -> NDArray[np.bool_]:
        """Which points (n, 3) project on the outline, widened by ``reach`` pixels.

        Beyond the picture's border the nearest border pixel decides: an object cut off by the
        border is taken to go on.
        """
        uv, depth = self.camera.project(points)
        cell = np.floor(np.clip(uv, 0, SIDE - 0.5)).astype(np.int64)
        return widened(self.share > _TOUCHED, reach)[cell[:, 1], cell[:, 0]] & (depth > 0)


def coarse(alpha: F32, camera: Camera) -> Coarse:
    """Average a mask (h, w) down to SIDE x SIDE pixels."""
    from PIL import Image

    picture = Image.fromarray(np.ascontiguousarray(alpha, np.float32))
    small = picture.resize((SIDE, SIDE), Image.Resampling.BOX)
    return Coarse(np.asarray(small, np.float32), camera.resized(SIDE, SIDE))


def widened(mask: NDArray[np.bool_], reach: int) -> NDArray[np.bool_]:
    """The mask grown by ``reach`` pixels in every direction, corners included."""
    from scipy.ndimage import maximum_filter

    grown: NDArray[np.bool_] = maximum_filter(mask, size=2 * reach + 1) if reach else mask
    return grown


def common_points(allowed: Sequence[Sequence[Coarse]]) -> tuple[F64, float]:
    """Grid points that, at every camera, at least one of its outlines allows.

    Args:
        allowed: per camera, the outlines that may belong to it; one each gives the hull.

    Returns:
        points (n, 3), none if there is no common volume, and their spacing in world units.
    """
    centre, radius = scene_bounds([outlines[0].camera for outlines in allowed])
    low, high = centre - radius, centre + radius
    for last in (False, False, True):
        box = Grid.around(low, high, grid=GRID, margin=0.0)
        points = box.slab(0, box.shape[0]).reshape(-1, 3)
        for outlines in allowed:
            # Until the box is tight, half a cell's diagonal may hide a thin part between points.
            reach = 0 if last else footprint(points, outlines[0].camera, 0.87 * box.voxel)
            keep = np.zeros(len(points), bool)
            for outline in outlines:
                keep |= outline.allows(points, reach=reach)
            points = points[keep]
            if not len(points):
                return points, box.voxel
        low, high = points.min(axis=0) - box.voxel, points.max(axis=0) + box.voxel
    return points, box.voxel


def footprint(points: F64, camera: Camera, radius: float) -> int:
    """Pixels that a length in the world covers at the points' median depth, rounded up."""
    _, depth = camera.project(points)
    return int(np.ceil(radius * camera.fx / max(float(np.median(depth)), 1e-6)))


def filled(pixels: NDArray[np.int64], outline: Coarse, *, reach: int) -> float:
    """Share of an outline that points fill, given the pixel of each (-1: none)."""
    drawn = np.zeros(SIDE * SIDE, bool)
    drawn[pixels[pixels >= 0]] = True
    body = outline.share > 0.5
    if not body.any():  # thinner than a coarse pixel
        body = outline.share >= outline.share.max()
    return float((widened(drawn.reshape(SIDE, SIDE), reach) & body).sum() / body.sum())


def agreement(alpha: F32, cameras: Sequence[Camera]) -> F64:
    """Share of each outline that the common volume of all outlines fills, (v,) in [0, 1]."""
    return _by_order(alpha, cameras, [tuple(range(len(alpha)))])[0]


def best_order(
    alpha: F32, cameras: Sequence[Camera], *, first: Sequence[tuple[int, ...]] = ()
) -> tuple[tuple[int, ...], F64]:
    """Which picture belongs to which camera, judged by the outlines alone.

    Args:
        alpha: (v, h, w) masks of at most six views.
        cameras: v cameras.
        first: orders to prefer where several are equally good, most likely first.

    Returns:
        order: camera k belongs to picture ``order[k]``.
        shares: (v,) of each picture's outline filled, in the order of the cameras.
    """
    count = len(alpha)
    if count > _MOST_ORDERED:
        raise ValueError(f"at most {_MOST_ORDERED} views can be ordered, got {count}")
    orders = list(dict.fromkeys([tuple(range(count)), *first, *permutations(range(count))]))
    shares = _by_order(alpha, cameras, orders)
    score = shares.min(axis=1) + shares.mean(axis=1)
    best = int(np.flatnonzero(score >= score.max() - _TIE)[0])
    return orders[best], shares[best]


def _by_order(alpha: F32, cameras: Sequence[Camera], orders: Sequence[tuple[int, ...]]) -> F64:
    """(orders, v) shares; an order that cannot be the best any more is left at 0."""
    every = range(len(alpha))
    used = [sorted({order[k] for order in orders}) for k in every]
    outlines = {(k, t): coarse(alpha[t], cameras[k]) for k in every for t in used[k]}
    points, spacing = common_points([[outlines[k, t] for t in used[k]] for k in every])
    shares = np.zeros((len(orders), len(alpha)))
    if not len(points):
        return shares
    if not len(points):
        return shares
    allowed = {key: outline.allows(points) for key, outline in outlines.items()}
    pixels = [outlines[k, used[k][0]].pixels(points) for k in every]
    reach = [max(1, footprint(points, cameras[k].resized(SIDE, SIDE), spacing / 2)) for k in every]
    least = 0.0
    for row, order in zip(shares, orders, strict=True):
        keep = np.flatnonzero(np.logical_and.reduce([allowed[k, order[k]] for k in every]))
        for k in every:
            row[k] = filled(pixels[k][keep], outlines[k, order[k]], reach=reach[k])
            if row[k] < least:
                row[:] = 0
                break
        least = max(least, float(row.min()) - _TIE)
    return shares
