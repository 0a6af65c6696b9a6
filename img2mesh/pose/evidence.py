"""What speaks for a camera of the photo: outlines that cohere, and colours that agree in space.

Both judge one candidate camera against the posed views and their visual hull.

* *Outlines.* A ray through a view's rim touches the object somewhere, so of its part inside the
  hull at least one point lies within the photo's outline; and a ray through the photo's rim touches
  the hull. How many pixels either misses by is zero for the true camera whatever the shape
  (silhouette coherence: Hernandez, Schmitt and Cipolla 2007; viewing edges: Cheung et al. 2003).
* *Colours.* Behind its first hull point a ray of the photo meets the surface: at some depth the
  photo and the nearest views must show one colour. A small plane sweep finds how well they can.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from img2mesh.artifacts import View, ViewSet
from img2mesh.core.arrays import F32, F64
from img2mesh.core.cameras import Camera
from img2mesh.geometry.grid import Grid
from img2mesh.geometry.silhouettes import contour_distance
from img2mesh.geometry.visual_hull import hull_sdf
from img2mesh.imaging.fill import continue_colours
from img2mesh.imaging.lookup import bilinear
from img2mesh.imaging.resize import fitted_size, shrink_rgba

#: Grid of the hull, side of the pictures in pixels, rim pixels a picture, samples along a ray.
GRID, SIDE, RIM, SAMPLES = 64, 128, 96, 40
#: Depth steps of the sweep behind the hull's first point, and how deep, in radii of the object.
_STEPS, _DEEP = 14, 0.55
#: Colour differences (sum over channels) count up to this; more is occlusion or highlight.
_CUT = 0.45
#: Views the sweep looks at: those nearest to the photo in angle.
_NEAREST = 2
#: Pixels of the sweep's photo along its longer side.
_SWEEP_SIDE = 64


@dataclass(frozen=True)
class Evidence:
    """The views, prepared once; ask it about many cameras.

    Attributes:
        hull: (nx, ny, nz) float32 signed distances of the views' hull at the points of ``grid``.
        grid: a tight one.
        centre: (3,) middle of the hull's box.
        radius: half the diagonal of the hull.
        edges: (r, n, 3) points inside the hull along rays through the views' rims.
        valid: (r, n) which of them lie inside the hull.
        colours: the views' blurred pictures with their cameras, for the sweep.
        pixel: size of a view's pixel at the centre, in world units.
        body: (n, 3) points just inside the hull's surface.
    """

    hull: F32
    grid: Grid
    centre: F64
    radius: float
    edges: F64
    valid: NDArray[np.bool_]
    colours: tuple[tuple[F32, Camera], ...]
    pixel: float
    body: F64


@dataclass(frozen=True)
class Subject:
    """The photo, prepared once.

    Attributes:
        distance: (h, w) float32 signed pixels to the outline, negative inside.
        rim: (k, 2) pixel coordinates on the outline.
        colour: (h, w, 3) blurred colours.
        alpha: (h, w).
    """

    distance: F32
    rim: F64
    colour: F32
    alpha: F32


def gather(views: ViewSet) -> Evidence:
    """Prepare posed views: hull, viewing edges, colours."""
    small = [shrunk_view(view, SIDE) for view in views.views]
    hull, grid = hull_sdf(small, grid=GRID)
    inside = np.argwhere(hull < 0)
    low, high = (grid.origin + grid.voxel * inside.min(0), grid.origin + grid.voxel * inside.max(0))
    centre, radius = (low + high) / 2, float(np.linalg.norm(high - low)) / 2
    skin = np.argwhere((hull < 0) & (hull > -1.5 * grid.voxel))
    body = grid.origin + grid.voxel * skin
    edges, valid = [], []
    for view in small:
        assert view.camera is not None
        points = along_rays(view.camera, rim_of(view.alpha), centre, radius)
        inner = grid.sample(hull, points)
        # The ray itself grazes the hull: what is inside up to half a voxel is on the edge.
        edges.append(points)
        valid.append(inner < 0.75 * grid.voxel)
    every, known = np.concatenate(edges), np.concatenate(valid)
    keep = known.any(axis=1)
    pixels = [
        float(np.linalg.norm(v.camera.origin - centre)) / v.camera.fx for v in small if v.camera
    ]
    colours = tuple((_blurred(v), v.camera) for v in small if v.camera is not None)
    return Evidence(
        hull,
        grid,
        centre,
        radius,
        every[keep],
        known[keep],
        colours,
        float(np.median(pixels)),
        body,
    )


def shrunk_view(view: View, side: int) -> View:
    """A view averaged down to ``side`` pixels along its longer side; smaller ones as they are."""
    height, width = view.alpha.shape
    size = fitted_size(width, height, side)
    if size == (width, height):
        return view
    rgb, alpha = shrink_rgba(view.rgb, view.alpha, width=size[0], height=size[1])
    return View(rgb, alpha, None if view.camera is None else view.camera.resized(*size))


def subject(photo: View) -> Subject:
    """Prepare the photo, brought to at most SIDE pixels."""
    small = shrunk_view(photo, SIDE)
    return Subject(contour_distance(small.alpha), rim_of(small.alpha), _blurred(small), small.alpha)


def outline_misfit(evidence: Evidence, photo: Subject, camera: Camera) -> float:
    """Root mean square of the pixels that rims miss by, at the views' pixel size; 0 is perfect."""
    uv, depth = camera.project(evidence.edges)
    scale = float(np.linalg.norm(camera.origin - evidence.centre)) / camera.fx / evidence.pixel
    off = bilinear(photo.distance, uv) + outside_by(uv, photo.distance.shape)
    off = np.where(evidence.valid & (depth > 0), off, np.inf).min(axis=1) * scale
    points = along_rays(camera, photo.rim, evidence.centre, evidence.radius)
    miss = evidence.grid.sample(evidence.hull, points).min(axis=1) / evidence.pixel
    limit = SIDE / 4
    squares = [np.clip(e, 0, limit) ** 2 for e in (off, miss)]
    return float(np.sqrt((squares[0].mean() + squares[1].mean()) / 2))


def colour_misfit(evidence: Evidence, photo: Subject, camera: Camera) -> float:
    """Mean colour difference between photo and nearest views at the best depth, in [0, 1].

    1 where no depth agrees at all. Differences are the mean over a 5x5 window, the depth the best
    for the window.
    """
    step = max(1, round(max(photo.alpha.shape) / _SWEEP_SIDE))
    rows, columns = (np.arange(0, n, step) for n in photo.alpha.shape)
    v, u = np.meshgrid(rows, columns, indexing="ij")
    pixels = np.stack([u, v], axis=-1).reshape(-1, 2) + 0.5
    body = (photo.alpha > 0.9)[v, u]
    rays = _directions(camera, pixels)
    hit = body.ravel().copy()
    near, hit[hit] = _entry(evidence, camera, rays[hit])
    if hit.sum() < 20:
        return 1.0
    near = near[np.isfinite(near)]
    offsets = np.linspace(0, _DEEP * evidence.radius, _STEPS)
    length = np.linalg.norm(rays[hit], axis=1)
    depth = near[:, None] + offsets / length[:, None]
    points = camera.origin + depth[..., None] * rays[hit][:, None]
    mine = photo.colour[v, u].reshape(-1, 3)[hit]
    cost = np.zeros(depth.shape)
    for picture, other in _nearest(evidence, camera):
        uv, _ = other.project(points)
        cost += np.minimum(np.abs(bilinear(picture, uv) - mine[:, None]).sum(axis=-1), _CUT)
    cost /= _NEAREST * _CUT
    # A surface is smooth: the window's pixels share a depth behind the hull.
    grid = np.zeros((*body.shape, _STEPS))
    weight = np.zeros(body.shape)
    grid.reshape(-1, _STEPS)[hit], weight.reshape(-1)[hit] = cost, 1
    total = ndimage.uniform_filter(grid, (5, 5, 1))
    share = ndimage.uniform_filter(weight, 5)
    best = (total.min(axis=2) / np.maximum(share, 1e-9))[weight > 0]
    return float(best.mean())


def rim_of(alpha: F32) -> F64:
    """(RIM, 2) pixel coordinates spread evenly along the outline, on its inner side."""
    distance = contour_distance(alpha)
    v, u = np.nonzero((distance < 0) & (distance > -1.0))
    chosen = np.unique(np.linspace(0, len(u) - 1, RIM).round().astype(int))
    return np.stack([u, v], axis=1)[chosen] + 0.5


def along_rays(camera: Camera, pixels: F64, centre: F64, radius: float) -> F64:
    """(k, SAMPLES, 3) points on the rays through pixels (k, 2), within a sphere's depth range."""
    rays = _directions(camera, pixels)
    middle = float((centre - camera.origin) @ camera.forward)
    depth = np.linspace(max(middle - radius, 1e-3 * middle), middle + radius, SAMPLES)
    points: F64 = camera.origin + depth[None, :, None] * rays[:, None]
    return points


def outside_by(uv: F64, shape: tuple[int, ...]) -> F64:
    """Pixels by which coordinates (..., 2) lie outside a picture of the shape."""
    beyond = uv - np.clip(uv, 0, [shape[1], shape[0]])
    return np.hypot(beyond[..., 0], beyond[..., 1])


def _blurred(view: View) -> F32:
    """Colours for look-ups, continued past the outline and blurred by a pixel."""
    return continue_colours(view.rgb, view.alpha, above=0.9, blur_px=1)


def _directions(camera: Camera, pixels: F64) -> F64:
    """(k, 3) rays of unit z-depth through pixel coordinates (k, 2)."""
    local = np.stack(
        [
            (pixels[:, 0] - camera.cx) / camera.fx,
            (camera.cy - pixels[:, 1]) / camera.fy,
            np.full(len(pixels), -1.0),
        ],
        axis=1,
    )
    return local @ camera.world_from_camera[:3, :3].T


def _entry(evidence: Evidence, camera: Camera, rays: F64) -> tuple[F64, NDArray[np.bool_]]:
    """z-depth (k,) at which rays (k, 3) first enter the hull, and which do (else NaN)."""
    middle = float((evidence.centre - camera.origin) @ camera.forward)
    depth = np.linspace(middle - evidence.radius, middle + evidence.radius, SAMPLES)
    points = camera.origin + depth[None, :, None] * rays[:, None]
    index = np.rint((points - evidence.grid.origin) / evidence.grid.voxel).astype(np.int32)
    shape = np.array(evidence.hull.shape)
    held = np.clip(index, 0, shape - 1)
    inside = evidence.hull[held[..., 0], held[..., 1], held[..., 2]] < 0
    hit: NDArray[np.bool_] = np.asarray(inside.any(axis=1))
    return np.where(hit, depth[inside.argmax(axis=1)], np.nan), hit


def _nearest(evidence: Evidence, camera: Camera) -> Sequence[tuple[F32, Camera]]:
    """The views whose directions are nearest to the camera's."""
    return sorted(evidence.colours, key=lambda one: -float(one[1].forward @ camera.forward))[
        :_NEAREST
    ]
