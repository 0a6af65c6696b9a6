"""The visual hull of posed outlines as a signed-distance grid.

Each outline gives a signed distance in pixels to its sub-pixel alpha = 0.5 contour; seen from its
camera that is a distance in world units (times depth over focal length), negative inside the cone
the outline sweeps through space. The hull is the intersection of the cones, so its distance is the
maximum over the views: exact sign, and never more than the true distance outside.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from img2mesh.artifacts import F32, F64, RadianceField, View
from img2mesh.cameras import Camera
from img2mesh.environment import threads
from img2mesh.errors import InputError

#: Grid samples per side of the first look around, which only finds the bounding box.
_SCOUT = 72
#: Points along one marching-squares segment: 5 keep the contour distance within .01 px.
_SEGMENT_POINTS = 5


@dataclass(frozen=True)
class Box:
    """A regular grid: point (i, j, k) is ``origin + voxel * (i, j, k)``.

    Attributes:
        origin: (3,) float64 world position of the first point.
        voxel: edge length in world units.
        shape: points along x, y, z.
    """

    origin: F64
    voxel: float
    shape: tuple[int, int, int]

    @classmethod
    def around(cls, low: F64, high: F64, *, grid: int, margin: float) -> Box:
        """``grid`` points along the longest side of the box, widened by ``margin`` of that side."""
        longest = float((high - low).max())
        low, high = low - margin * longest, high + margin * longest
        voxel = float((high - low).max()) / (grid - 1)
        shape = np.ceil((high - low) / voxel - 1e-9).astype(int) + 1
        centre = (low + high) / 2
        origin = centre - voxel * (shape - 1) / 2
        return cls(origin, voxel, (int(shape[0]), int(shape[1]), int(shape[2])))

    def refined(self, grid: int) -> Box:
        """The same region with ``grid`` points along the longest side."""
        size = self.voxel * (np.array(self.shape) - 1)
        return Box.around(self.origin, self.origin + size, grid=grid, margin=0.0)

    def slab(self, start: int, stop: int) -> F64:
        """(stop - start, ny, nz, 3) float64 world positions of the points of some x layers."""
        axes = [
            self.origin[a] + self.voxel * np.arange(n)
            for a, n in enumerate((stop, *self.shape[1:]))
        ]
        return np.stack(np.meshgrid(axes[0][start:], axes[1], axes[2], indexing="ij"), axis=-1)


@dataclass(frozen=True)
class Outline:
    """What one view says about the shape.

    Attributes:
        distance: (h, w) float32 signed distance to the contour in pixels, negative inside.
        camera: the view's camera.
    """

    distance: F32
    camera: Camera


def hull_sdf(
    views: Sequence[View], *, grid: int, relax_px: float = 0.0, margin: float = 0.05
) -> RadianceField:
    """Intersect the outlines of all views with a known camera.

    Args:
        views: pictures with alpha and camera.
        grid: grid points along the longest side of the hull's bounding box.
        relax_px: outlines are widened by this many pixels first; half the expected misalignment
            for views that do not agree with each other (specification: .75 px for 1.5 px of warp).
        margin: empty space around the box, as a fraction of its longest side.

    Returns:
        The hull in a tight box; ``sharpness`` is one voxel.

    Raises:
        InputError: an empty or full mask, no camera, or outlines without a common volume.
    """
    outlines = relaxed(make_outlines(views), relax_px)
    box = tight_box(outlines, grid=grid, margin=margin)
    return RadianceField(hull_values(outlines, box), box.origin, box.voxel, box.voxel)


def make_outlines(views: Sequence[View]) -> tuple[Outline, ...]:
    """Contour distances of every view with a camera.

    Raises:
        InputError: fewer than two such views, or one whose mask is empty or full.
    """
    posed = [(v, v.camera) for v in views if v.camera is not None]
    if len(posed) < 2:
        raise InputError(
            f"{len(posed)} views have a camera, but a shape needs at least two: give posed views"
        )
    outlines = []
    for number, (view, camera) in enumerate(posed):
        inside = view.alpha > 0.5
        if not inside.any():
            raise InputError(
                f"view {number} shows no object (its alpha is empty): give six views in which "
                "the object is opaque and the background transparent"
            )
        if inside.all():
            raise InputError(
                f"view {number} has no background (its alpha is opaque everywhere): give views "
                "with the background removed"
            )
        outlines.append(Outline(contour_distance(view.alpha), camera))
    return tuple(outlines)


def relaxed(outlines: Sequence[Outline], pixels: float) -> tuple[Outline, ...]:
    """The outlines widened by so many pixels."""
    return tuple(Outline(o.distance - np.float32(pixels), o.camera) for o in outlines)


def contour_distance(alpha: F32) -> F32:
    """Signed distance to the alpha = 0.5 contour in pixels, negative inside.

    The contour is that of marching squares over pixel centres (Lorensen and Cline's cases in two
    dimensions), so an anti-aliased edge is placed to a fraction of a pixel.

    Args:
        alpha: (h, w) float32 in [0, 1], with at least one pixel on either side of 0.5.

    Returns:
        (h, w) float32.
    """
    from scipy.spatial import cKDTree

    a = np.asarray(alpha, np.float64) - 0.5
    a[a == 0] = 1e-9
    points = np.unique(_contour_points(a), axis=0)
    v, u = np.mgrid[: a.shape[0], : a.shape[1]]
    pixels = np.stack([v.ravel(), u.ravel()], axis=1)
    # Most pixels are far from every point: large leaves halve the time.
    distance, _ = cKDTree(points, leafsize=64).query(pixels, workers=threads())
    signed = np.where(a > 0, -1.0, 1.0) * distance.reshape(a.shape)
    return np.asarray(signed, np.float32)


def _contour_points(a: F64) -> F64:
    """(n, 2) dense points (row, column) on the zero contour of ``a``."""
    height, width = a.shape
    # Crossings on the edges between neighbouring pixels; NaN where an edge is not crossed.
    across = _crossing(a[:, :-1], a[:, 1:])  # (h, w - 1) along u
    down = _crossing(a[:-1], a[1:])  # (h - 1, w) along v
    rows, columns = np.mgrid[: height - 1, : width - 1].astype(np.float64)
    sides = np.stack(
        [
            np.stack([rows, columns + across[:-1]], -1),
            np.stack([rows + down[:, 1:], columns + 1], -1),
            np.stack([rows + 1, columns + across[1:]], -1),
            np.stack([rows + down[:, :-1], columns], -1),
        ],
        axis=2,
    )  # (h - 1, w - 1, 4 sides, 2)
    crossed = np.isfinite(sides).all(-1)
    count = crossed.sum(-1)
    single = [p[np.isfinite(p).all(-1)] for p in sides[count > 0].transpose(1, 0, 2)]
    cells, hit = sides[count == 2], crossed[count == 2]
    ends = cells[hit].reshape(-1, 2, 2)
    steps = np.linspace(0, 1, _SEGMENT_POINTS)[1:-1, None, None]
    between = ends[:, 0] * (1 - steps) + ends[:, 1] * steps
    return np.concatenate([*single, between.reshape(-1, 2)])


def _crossing(first: F64, second: F64) -> F64:
    """Where the line between two samples is zero, as a fraction of the way; NaN if it is not."""
    with np.errstate(divide="ignore", invalid="ignore"):
        fraction = first / (first - second)
    return np.where((first > 0) != (second > 0), fraction, np.nan)


def tight_box(outlines: Sequence[Outline], *, grid: int, margin: float) -> Box:
    """The hull's bounding box, found on a coarse grid first.

    Raises:
        InputError: no common volume, or cameras that do not look at one place.
    """
    centre, radius = looked_at([o.camera for o in outlines])
    low, high = centre - radius, centre + radius
    # The second pass only tightens: 1 / 72 of the sphere becomes 1 / 72 of the object.
    for _ in range(2):
        box = Box.around(low, high, grid=_SCOUT, margin=0.0)
        # A point nearer than half a cell's diagonal may hide a thin part between the points.
        near = hull_values(outlines, box) < 0.87 * box.voxel
        if not near.any():
            raise InputError(
                "the outlines of the views have no volume in common: check that the cameras, "
                "their order and the masks belong together"
            )
        index = np.argwhere(near)
        low = box.origin + box.voxel * (index.min(0) - 0.5)
        high = box.origin + box.voxel * (index.max(0) + 0.5)
    return Box.around(low, high, grid=grid, margin=margin)


def looked_at(cameras: Sequence[Camera]) -> tuple[F64, float]:
    """Where the cameras look, and the radius of a sphere around it that holds what they see."""
    lhs, rhs = np.zeros((3, 3)), np.zeros(3)
    for camera in cameras:  # the point nearest to all optical axes, in the least-squares sense
        across = np.eye(3) - np.outer(camera.forward, camera.forward)
        lhs += across
        rhs += across @ camera.origin
    if np.linalg.cond(lhs) > 1e6:
        raise InputError(
            "all cameras look in the same direction, so the shape cannot be found: give views "
            "from around the object"
        )
    centre: F64 = np.asarray(np.linalg.solve(lhs, rhs), np.float64)
    reach = []
    for camera in cameras:
        distance = float((centre - camera.origin) @ camera.forward)
        half = max(camera.width / camera.fx, camera.height / camera.fy) / 2
        reach.append(distance * half * 1.5)  # 1.5: the picture's corner, with room for perspective
    if min(reach) <= 0:
        raise InputError(
            "a camera looks away from the place the others look at: camera matrices must be "
            "camera-to-world with OpenGL axes (looking along -z)"
        )
    return centre, max(reach)


def hull_values(outlines: Sequence[Outline], box: Box) -> F32:
    """(nx, ny, nz) float32 hull distance in world units at every grid point."""
    out = np.empty(box.shape, np.float32)
    layers = max(1, 200_000 // (box.shape[1] * box.shape[2]))
    for start in range(0, box.shape[0], layers):
        stop = min(start + layers, box.shape[0])
        points = box.slab(start, stop)
        value = np.full(points.shape[:-1], -np.inf)
        for outline in outlines:
            np.maximum(value, cone_distance(outline, points), out=value)
        out[start:stop] = value
    return out


def cone_distance(outline: Outline, points: NDArray[np.floating]) -> F64:
    """Signed distance of world points (..., 3) to the cone through one outline, world units.

    Beyond the picture's border the distance continues from the nearest border pixel: an object
    cut off by the border is taken to go on, background stays background.
    """
    from scipy.ndimage import map_coordinates

    camera = outline.camera
    uv, depth = camera.project(points)
    inside_u = np.clip(uv[..., 0], 0.5, camera.width - 0.5)
    inside_v = np.clip(uv[..., 1], 0.5, camera.height - 0.5)
    pixels = map_coordinates(outline.distance, [inside_v - 0.5, inside_u - 0.5], order=1)
    beyond = np.hypot(uv[..., 0] - inside_u, uv[..., 1] - inside_v)
    pixels = np.where(pixels > 0, pixels + beyond, pixels)
    world = pixels * depth / np.sqrt(camera.fx * camera.fy)
    # Behind the camera nothing can be seen: far outside.
    return np.where(depth > 1e-6, world, 1e3 * np.abs(depth) + 1.0)
