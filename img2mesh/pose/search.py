"""Where the photo was taken from, relative to posed views whose generator does not say.

A search over elevation, azimuth, zoom, shift and distance for the camera that the outlines and
colours of :mod:`img2mesh.pose.evidence` speak for: a coarse scan over directions with the
frame fitted to the hull's, then a simplex from the best ones.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from img2mesh.artifacts import View, ViewSet
from img2mesh.core.arrays import F64
from img2mesh.core.cameras import Camera, orbit
from img2mesh.pose import evidence

#: Directions of the scan, degrees. The photo is azimuth 0 by definition of the rigs; generators
#: stray from it by a few degrees.
_ELEVATIONS = tuple(range(-24, 65, 8))
_STARTS = 3
#: One of misfit: pixels of outline (in pictures of 128), and this share of colour difference.
_COLOUR = 5.0
#: How far the search may stray before it costs: azimuth in degrees, log of the distance.
_AZIMUTH_SPREAD, _DISTANCE_SPREAD = 5.0, 0.5
_STRAYING = 0.1
#: First steps of the simplex: elevation, azimuth (degrees), log zoom, shifts (of the picture's
#: width), log distance.
_STEPS = np.array([4.0, 3.0, 0.03, 0.01, 0.01, 0.25])
#: Evaluations of the three searches: outlines alone (4 ms each), with colours (12 ms), profile.
_OUTLINE_CALLS, _BOTH_CALLS, _PROFILE_CALLS = 70, 90, 32
#: Elevations beside the best at which the others are fitted anew, and the rise that tells.
_PROFILE, _TELLING = (-5.0, 5.0), 0.1
#: Where confidence is halved: outline in pixels, colour, spread in degrees. Photos of the object
#: end at 0 to .2, .2 to .54, 2 to 4 (errors of .2 to 2 degrees; one at 7.4 with an error of 4);
#: photos of other objects at 1.5 to 3.5, .7 to .97, 5 to 90.
_HALF = (0.7, 0.8, 4.0)


@dataclass(frozen=True)
class Pose:
    """An estimated camera of the photo.

    Attributes:
        camera: for the photo at its own size.
        elevation_deg, azimuth_deg: its direction.
        confidence: in [0, 1].
        outline_px: misfit of the outlines in pixels of a picture of 128.
        colour: mean difference of colours at the best depth, 0 to 1.
        spread_deg: how far the elevation can be moved before the misfit clearly grows.
    """

    camera: Camera
    elevation_deg: float
    azimuth_deg: float
    confidence: float
    outline_px: float
    colour: float
    spread_deg: float


class Candidates:
    """Cameras of the photo by six numbers: elevation, azimuth, log zoom, two shifts, log distance.

    Args:
        views: posed views, whose lens is the photo's until the search finds otherwise.
        centre: what the camera circles.
        width, height: of the photo, in pixels.
    """

    def __init__(self, views: ViewSet, centre: F64, width: int, height: int) -> None:
        first = views.cameras[0]
        self._centre, self._size = centre, (width, height)
        self._distance = float(
            np.median([np.linalg.norm(c.origin - centre) for c in views.cameras])
        )
        self._focal = first.fx / first.width  # in widths of the picture

    def camera(self, x: F64, size: tuple[int, int] | None = None) -> Camera:
        """The candidate's camera, at the photo's size or another of the same shape."""
        width, height = size or self._size
        elevation, azimuth, zoom, right, down, far = x
        pose = orbit(float(azimuth), float(np.clip(elevation, -89, 89)), 1.0)
        pose[:3, 3] = self._centre + pose[:3, 3] * self._distance * np.exp(far)
        focal = self._focal * width * float(np.exp(zoom + far))
        side = max(width, height)
        return Camera(
            pose, focal, focal, width / 2 + right * side, height / 2 + down * side, width, height
        )

    def framed(self, x: F64, body: F64, box: F64, size: tuple[int, int]) -> F64:
        """Zoom and shift such that the points (n, 3) fill the box (2, 2) of pixels."""
        for _ in range(2):
            uv, _ = self.camera(x, size).project(body)
            low, high = uv.min(axis=0), uv.max(axis=0)
            ratio = float(np.sqrt(np.prod((box[1] - box[0]) / (high - low))))
            x = x + np.log(ratio) * np.eye(6)[2]
            uv, _ = self.camera(x, size).project(body)
            off = (box.sum(axis=0) - uv.min(axis=0) - uv.max(axis=0)) / 2 / max(size)
            x = x + np.array([0, 0, 0, off[0], off[1], 0])
        return x


def estimate(views: ViewSet, photo: View) -> Pose:
    """Find the camera of a photo of the views' object.

    Args:
        views: posed views.
        photo: picture with alpha; a camera it has is not looked at.

    Raises:
        InputError: the views' outlines have no common volume, or the photo's is empty or full.
    """
    known = evidence.gather(views)
    given = evidence.subject(photo)
    height, width = photo.alpha.shape
    small_height, small_width = given.alpha.shape
    size = (small_width, small_height)
    candidates = Candidates(views, known.centre, width, height)

    def parts(x: F64) -> tuple[float, float]:
        camera = candidates.camera(x, size)
        return (
            evidence.outline_misfit(known, given, camera),
            evidence.colour_misfit(known, given, camera),
        )

    def stray(x: F64) -> float:
        return _STRAYING * float((x[1] / _AZIMUTH_SPREAD) ** 2 + (x[5] / _DISTANCE_SPREAD) ** 2)

    def outline_cost(x: F64) -> float:
        return evidence.outline_misfit(known, given, candidates.camera(x, size)) + stray(x)

    def cost(x: F64) -> float:
        outline, colour = parts(x)
        return outline + _COLOUR * colour + stray(x)

    body = known.body
    rows, columns = np.nonzero(given.alpha > 0.5)
    box = np.array([[columns.min(), rows.min()], [columns.max() + 1, rows.max() + 1]], np.float64)
    scan = []
    for elevation in _ELEVATIONS:
        x = candidates.framed(np.array([elevation, 0, 0, 0, 0, 0.0]), body, box, size)
        scan.append((outline_cost(x), x))
    scan.sort(key=lambda one: one[0])
    starts = [_simplex(outline_cost, x, _OUTLINE_CALLS)[1] for _, x in scan[:_STARTS]]
    _, x = _simplex(cost, min(starts, key=cost), _BOTH_CALLS)
    value, x = _simplex(cost, x, _BOTH_CALLS, steps=_STEPS / 3)
    profile = [_simplex(cost, x + off * np.eye(6)[0], _PROFILE_CALLS, fixed=0) for off in _PROFILE]
    better, start = min(profile, key=lambda one: one[0])
    if better < value:
        value, x = _simplex(cost, start, _BOTH_CALLS)
    outline, colour = parts(x)
    spread = _spread(value, float(x[0]), profile)
    return Pose(
        candidates.camera(x),
        float(x[0]),
        float(x[1]),
        confidence(outline, colour, spread),
        outline,
        colour,
        spread,
    )


def _simplex(
    cost: Callable[[F64], float],
    start: F64,
    calls: int,
    *,
    fixed: int | None = None,
    steps: F64 = _STEPS,
) -> tuple[float, F64]:
    """Nelder and Mead's search from a start, over all numbers but the fixed one."""
    from scipy.optimize import minimize

    free = [k for k in range(len(start)) if k != fixed]

    def partly(values: F64) -> float:
        x = start.copy()
        x[free] = values
        return cost(x)

    simplex = np.vstack([start[free], start[free] + np.diag(steps[free])])
    options = {"initial_simplex": simplex, "maxfev": calls, "xatol": 1e-3, "fatol": 1e-4}
    found = minimize(partly, start[free], method="Nelder-Mead", options=options)
    x = start.copy()
    x[free] = found.x
    return float(found.fun), x


def confidence(outline_px: float, colour: float, spread_deg: float) -> float:
    """Product of three factors, each falling from 1 through 1/2 at its limit of _HALF."""
    doubts = (outline_px / _HALF[0], colour / _HALF[1], spread_deg / _HALF[2])
    return float(np.prod([1 / (1 + d**4) for d in doubts]))


def _spread(value: float, elevation: float, profile: list[tuple[float, F64]]) -> float:
    """How many degrees the elevation can be moved until the cost has risen by _TELLING.

    From the least curved side of the profile, taking the cost as quadratic around the best.
    """
    widths = [
        abs(float(x[0]) - elevation) * np.sqrt(_TELLING / max(other - value, 1e-6))
        for other, x in profile
        if abs(float(x[0]) - elevation) > 1
    ]
    return float(min(max(widths, default=90.0), 90.0))
