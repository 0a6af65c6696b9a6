"""Do silhouettes belong to one body? Two questions at a glance; pixels are `misplacement`'s.

Aim: is there a point that every camera sees where its mask is? Coherence: the cones that
silhouettes sweep through space intersect in the visual hull; where the cameras are right, the
hull's own silhouette fills every one of them, where a camera, an order or a mask is wrong, the
cones carve away what another view shows (Hernandez, Schmitt and Cipolla 2007). It is coarse on
purpose: masks of 64 pixels, a few ten thousand points.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from img2mesh.core.arrays import F32, F64, Mask
from img2mesh.core.cameras import Camera, scene_bounds
from img2mesh.geometry.grid import Grid

Index = NDArray[np.int64]
#: The pictures of the first cameras, the points they leave, and a bound (v,) of all shares.
_Begun = tuple[tuple[int, ...], Index, F64]

#: Side of the coarse masks in pixels, and points along the longest side of the volume.
SIDE, GRID = 64, 56
#: A coarse pixel the object touches may be object: this much slack forgives warped views.
_TOUCHED = 0.02
#: Most views for which the order is searched (720 orders of six).
MOST_ORDERED = 6
#: Orders whose scores differ by less are equal: turning a rig by 120 degrees changes nothing.
_TIE = 0.004


def aim_errors(alpha: F32, cameras: Sequence[Camera]) -> F64 | None:
    """How far from its mask each camera sees the point that all masks are centred on.

    Args:
        alpha: (v, h, w) masks, none of them empty.
        cameras: v cameras.

    Returns:
        (v,) pixels beyond the mask's bounding box grown by its own size on each side, at most 0
        where the point lies inside, 1e6 where it lies behind the camera; None where all cameras
        look in the same direction, so that there is no such point.
    """
    centres, low, high = [], [], []
    for mask in alpha > 0.5:
        rows, columns = np.nonzero(mask)
        centres.append([columns.mean() + 0.5, rows.mean() + 0.5])
        corner = np.array([columns.min(), rows.min()], float)
        size = np.array([columns.max() + 1, rows.max() + 1], float) - corner
        low.append(corner - size)
        high.append(corner + 2 * size)
    rays = np.concatenate([_rays(c, uv) for c, uv in zip(cameras, np.array(centres), strict=True)])
    rays /= np.linalg.norm(rays, axis=1, keepdims=True)
    # Least squares for the point x: sum of (I - r r^T) (x - origin) = 0.
    across = np.eye(3) - np.einsum("vi,vj->vij", rays, rays)
    system = across.sum(axis=0)
    if np.linalg.eigvalsh(system)[0] < 1e-3 * len(cameras):
        return None
    origins = np.array([c.origin for c in cameras])
    centre = np.linalg.solve(system, np.einsum("vij,vj->i", across, origins))
    errors = []
    for camera, a, b in zip(cameras, low, high, strict=True):
        pixel, depth = camera.project(centre)
        errors.append(1e6 if depth <= 0 else float(np.maximum(a - pixel, pixel - b).max()))
    return np.array(errors)


def _rays(camera: Camera, uv: F64) -> F64:
    """(n, 3) world directions of unit z-depth through pixel positions, (n, 2) or (2,)."""
    u, v = np.atleast_2d(uv).T
    x, y = (u - camera.cx) / camera.fx, (camera.cy - v) / camera.fy
    local = np.stack([x, y, -np.ones_like(x)], axis=1)
    rays: F64 = local @ camera.world_from_camera[:3, :3].T
    return rays


@dataclass(frozen=True)
class _Coarse:
    """Masks that may belong to one camera, at few pixels.

    Attributes:
        camera: at SIDE x SIDE pixels.
        touched: (t, SIDE * SIDE) bool, pixels the object touches.
        body: (t, SIDE, SIDE) bool, pixels that are object.
    """

    camera: Camera
    touched: Mask
    body: Mask

    @classmethod
    def of(cls, alpha: F32, camera: Camera) -> _Coarse:
        """Average masks (t, h, w) down to SIDE x SIDE pixels."""
        from PIL import Image

        small = [
            Image.fromarray(np.ascontiguousarray(mask, np.float32)).resize(
                (SIDE, SIDE), Image.Resampling.BOX
            )
            for mask in alpha
        ]
        share = np.stack([np.asarray(one, np.float32) for one in small])
        most = share.max(axis=(1, 2), keepdims=True)
        # At least its fullest pixel is body, where an object is thinner than a coarse pixel.
        body = np.where(most > 0.5, share > 0.5, share >= most)
        return cls(camera.resized(SIDE, SIDE), (share > _TOUCHED).reshape(len(alpha), -1), body)

    def look(self, points: F64) -> tuple[Index, F64, Mask]:
        """Where points (n, 3) are seen.

        Returns:
            (n,) flat index of the pixel, or of the nearest on the picture's border: an object cut
            off by the border is taken to go on; z-depth; whether the point is in the picture.
        """
        uv, depth = self.camera.project(points)
        cell = np.floor(np.clip(uv, 0, SIDE - 0.5)).astype(np.int64)
        inside = (uv >= 0).all(axis=1) & (uv < SIDE).all(axis=1) & (depth > 0)
        return cell[:, 1] * SIDE + cell[:, 0], depth, inside

    def footprint(self, depth: F64, radius: float) -> int:
        """Pixels that a length in the world covers at the median of depths, rounded up."""
        return int(np.ceil(radius * self.camera.fx / max(float(np.median(depth)), 1e-6)))


def widened(mask: Mask, reach: int) -> Mask:
    """The mask (h, w) grown by ``reach`` pixels in every direction, corners included."""
    return _grown(np.pad(mask, reach), reach)


def _grown(padded: Mask, reach: int) -> Mask:
    """The mask inside a frame of ``reach`` empty pixels, (h + 2 r, w + 2 r), grown by as many."""
    for _ in range(2):  # along the rows, then along the columns
        last = len(padded) - 2 * reach
        grown = padded[:last].copy()
        for start in range(1, 2 * reach + 1):
            grown |= padded[start : start + last]
        padded = grown.T
    return padded


def _common_points(views: Sequence[_Coarse]) -> tuple[F64, float]:
    """Grid points that, at every camera, at least one of its masks allows.

    Returns:
        points (n, 3), none if there is no common volume, and their spacing in world units.
    """
    centre, radius = scene_bounds([view.camera for view in views])
    low, high = centre - radius, centre + radius
    for last in (False, False, True):
        box = Grid.around(low, high, grid=GRID, margin=0.0)
        points = box.slab(0, box.shape[0]).reshape(-1, 3)
        for view in views:
            pixel, depth, _ = view.look(points)
            # Until the box is tight, half a cell's diagonal may hide a thin part between points.
            reach = 0 if last else view.footprint(depth, 0.87 * box.voxel)
            any_mask = widened(view.touched.any(axis=0).reshape(SIDE, SIDE), reach)
            points = points[any_mask.ravel()[pixel] & (depth > 0)]
            if not len(points):
                return points, box.voxel
        low, high = points.min(axis=0) - box.voxel, points.max(axis=0) + box.voxel
    return points, box.voxel


class _Carving:
    """The common volume of silhouettes, for any choice of one mask a camera."""

    def __init__(self, views: Sequence[_Coarse]) -> None:
        points, spacing = _common_points(views)
        self.views, self.count = views, len(points)
        self.allowed: list[Mask] = []  # per camera (t, n): whether each of its masks allows a point
        self.reach, self.pixels = [], []
        for view in views if self.count else ():
            pixel, depth, inside = view.look(points)
            reach = max(1, view.footprint(depth, spacing / 2))
            row, column = np.divmod(pixel, SIDE)
            framed = (row + reach) * (SIDE + 2 * reach) + column + reach
            self.allowed.append(view.touched[:, pixel] & (depth > 0))
            self.reach.append(reach)
            # Beyond the last pixel of the framed picture lies what is outside.
            self.pixels.append(np.where(inside, framed, (SIDE + 2 * reach) ** 2))

    def everything(self) -> Index:
        """Indices of all points."""
        return np.arange(self.count)

    def carved(self, kept: Index, k: int, t: int) -> Index:
        """Indices of the points that camera k's mask t leaves of those there were."""
        return kept[self.allowed[k][t, kept]] if len(kept) else kept

    def filled(self, kept: Index, k: int, t: int) -> float:
        """Share of camera k's mask t that points fill, in [0, 1]."""
        if not len(kept):
            return 0.0
        reach, body = self.reach[k], self.views[k].body[t]
        side = SIDE + 2 * reach
        drawn = np.zeros(side * side + 1, bool)
        drawn[self.pixels[k][kept]] = True
        grown = _grown(drawn[:-1].reshape(side, side), reach)
        return float(np.count_nonzero(grown & body) / np.count_nonzero(body))

    def shares(self, order: Sequence[int]) -> F64:
        """Share that the common volume fills of each camera's chosen mask, (v,)."""
        kept = self.everything()
        for k, t in enumerate(order):
            kept = self.carved(kept, k, t)
        return np.array([self.filled(kept, k, t) for k, t in enumerate(order)])


def agreement(alpha: F32, cameras: Sequence[Camera]) -> F64:
    """Share of each silhouette that the common volume of all fills, (v,) in [0, 1]."""
    carving = _Carving(
        [_Coarse.of(mask[None], camera) for mask, camera in zip(alpha, cameras, strict=True)]
    )
    return carving.shares([0] * len(alpha))


def best_order(
    alpha: F32, cameras: Sequence[Camera], *, first: Sequence[tuple[int, ...]] = ()
) -> tuple[tuple[int, ...], F64]:
    """Which picture belongs to which camera, judged by the silhouettes alone.

    The score of an order is its worst share plus its mean share. Orders are laid camera by camera
    (branch and bound): every further silhouette only carves, so the shares of the cameras placed
    so far, with full shares for the others, bound what an order can still reach.

    Args:
        alpha: (v, h, w) masks of at most six views.
        cameras: v cameras.
        first: orders to prefer where several are equally good, most likely first.

    Returns:
        order: camera k belongs to picture ``order[k]``.
        shares: (v,) of each picture's silhouette filled, in the order of the cameras.
    """
    count = len(alpha)
    if count > MOST_ORDERED:
        raise ValueError(f"at most {MOST_ORDERED} views can be ordered, got {count}")
    carving = _Carving([_Coarse.of(alpha, camera) for camera in cameras])
    likely = list(dict.fromkeys([tuple(range(count)), *first]))
    known = {order: carving.shares(order) for order in likely}

    def longer(order: tuple[int, ...], kept: Index, bound: F64) -> Iterator[_Begun]:
        k = len(order)
        for t in sorted(set(range(count)) - set(order)):
            left, reached = carving.carved(kept, k, t), bound.copy()
            for i, chosen in enumerate((*order, t)):
                reached[i] = carving.filled(left, i, chosen)
            yield (*order, t), left, reached

    def highest(begun: _Begun, best: float) -> float:
        """The best score of all orders that begin so, or ``best`` where none exceeds it."""
        if len(begun[0]) == count:
            return max(best, _score(begun[2]))
        for one in longer(*begun):
            if _score(one[2]) > best:
                best = highest(one, best)
        return best

    def earliest(begun: _Begun, least: float) -> _Begun | None:
        """The first order that begins so and scores more than ``least``."""
        if len(begun[0]) == count:
            return begun
        good = (one for one in longer(*begun) if _score(one[2]) > least)
        return next(filter(None, (earliest(one, least) for one in good)), None)

    nothing: _Begun = (), carving.everything(), np.ones(count)
    least = highest(nothing, max(map(_score, known.values()))) - _TIE
    for order in likely:
        if _score(known[order]) > least:
            return order, known[order]
    found = earliest(nothing, least)
    assert found is not None, "the order with the highest score is one"
    return found[0], found[2]


def _score(shares: F64) -> float:
    return float(shares.min() + shares.mean())
