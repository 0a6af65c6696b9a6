"""What one view says about the shape: signed distances to its outline, in pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from img2mesh.core.arrays import F32, F64
from img2mesh.core.cameras import Camera
from img2mesh.core.runtime import threads
from img2mesh.errors import InputError

#: Points along one marching-squares segment: 5 keep the contour distance within .01 px.
_SEGMENT_POINTS = 5


class Posed(Protocol):
    """A picture's alpha (h, w) float32 and its camera, or None where that is not known."""

    @property
    def alpha(self) -> F32: ...
    @property
    def camera(self) -> Camera | None: ...


@dataclass(frozen=True)
class Silhouette:
    """What one view says about the shape.

    Attributes:
        distance: (h, w) float32 signed distance to the contour in pixels, negative inside.
        camera: the view's camera.
    """

    distance: F32
    camera: Camera


def make_silhouettes(views: Sequence[Posed]) -> tuple[Silhouette, ...]:
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
        outlines.append(Silhouette(contour_distance(view.alpha), camera))
    return tuple(outlines)


def relaxed(outlines: Sequence[Silhouette], pixels: float) -> tuple[Silhouette, ...]:
    """The outlines widened by so many pixels."""
    return tuple(Silhouette(o.distance - np.float32(pixels), o.camera) for o in outlines)


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
