"""How high a camera stands, from matches between pictures around it (the idea of One-2-3-45).

Four neighbours of a picture, ten degrees up, down, left and right of it, look the same whatever is
assumed of its elevation but for one thing: along a circle of latitude ten degrees are a shorter way
the nearer the pole is. So matches between the four, triangulated from two, meet the other two only
at the true elevation. Differences to the published program: no evidence is said and never taken
for a perfect fit, wrong matches count up to a limit, the fine search includes its upper end, and
the best degree is refined by a parabola.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from img2mesh.core.arrays import F64
from img2mesh.core.cameras import Camera
from img2mesh.errors import InputError

#: The neighbours: changes of elevation and azimuth from the picture in the middle, degrees.
NEIGHBOURS = ((10.0, 0.0), (-10.0, 0.0), (0.0, -10.0), (0.0, 10.0))
#: Pairs of neighbours that are matched.
PAIRS = ((0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3))
#: Lens of the neighbours in pixels of 256, and their distance (published; the distance is free).
FOCAL, SIZE, DISTANCE = 280.0, 256, 1.2
#: Polar angles of the first search and reach of the second, degrees.
_COARSE, _FINE = range(30, 141, 10), 10
#: A keypoint of another pair within this many pixels is the same point.
_SAME = 1.0
#: A wrong match counts as so many pixels, however far off it is.
_CUT = 4.0
#: Points that two pairs share, below which nothing is said; mean error in pixels above which the
#: matches contradict each other; and how much the error must rise within ten degrees. Noise of
#: .15 px ends at .2 to .3 px and rises by more than .5; random matches end near the cut.
_LEAST, _WORST, _RISE = 24, 2.0, 0.08


@dataclass(frozen=True)
class Elevation:
    """What the matches say.

    Attributes:
        degrees: of the picture in the middle, or None where there is no evidence.
        error: mean error at the best elevation, pixels; infinite without any.
        points: that two pairs or more share.
        reason: why there is no evidence, in words; empty where there is.
    """

    degrees: float | None
    error: float
    points: int
    reason: str = ""


def estimate_elevation(
    matches: Mapping[tuple[int, int], NDArray[np.floating]], *, focal: float = FOCAL
) -> Elevation:
    """The elevation at which matches between the four neighbours agree.

    Args:
        matches: for each of :data:`PAIRS`, (n, 5): x and y in the one, x and y in the other, in
            pixels of 256, and a confidence.
        focal: of the neighbours' lens, pixels of 256.

    Raises:
        InputError: a pair is missing, or an array of another shape.
    """
    known = _both_ways(matches)
    shared = _Shared.of(known)
    if shared.points < _LEAST:
        return Elevation(
            None, float("inf"), shared.points, f"only {shared.points} points were found again"
        )
    curve = {p: shared.error(float(p), focal) for p in _COARSE}
    best = min(curve, key=lambda p: curve[p])
    for p in range(best - _FINE, best + _FINE + 1):
        if p not in curve:
            curve[p] = shared.error(float(p), focal)
    best = min(curve, key=lambda p: curve[p])
    error = curve[best]
    if error > _WORST:
        return Elevation(None, error, shared.points, f"the matches are off by {error:.1f} pixels")
    around = [curve[p] for p in (best - 10, best + 10) if p in curve]
    if min(around, default=error) - error < _RISE:
        return Elevation(None, error, shared.points, "any elevation explains the matches as well")
    return Elevation(90.0 - best - _vertex(curve, best), error, shared.points)


def _both_ways(
    matches: Mapping[tuple[int, int], NDArray[np.floating]],
) -> dict[tuple[int, int], F64]:
    out: dict[tuple[int, int], F64] = {}
    for pair in PAIRS:
        if pair not in matches:
            raise InputError(f"matches of the pair {pair} are missing; expected {list(PAIRS)}")
        found = np.asarray(matches[pair], np.float64)
        if found.ndim != 2 or found.shape[1] != 5:
            raise InputError(f"matches must be (n, 5): x, y, x, y, confidence; got {found.shape}")
        out[pair], out[pair[::-1]] = found, found[:, [2, 3, 0, 1, 4]]
    return out


@dataclass(frozen=True)
class _Shared:
    """Points that are seen in a view, its next one, and a third.

    Attributes:
        groups: view, next and third; matches (n, 5) of the first two; pixels (n, 2) in the third.
    """

    groups: tuple[tuple[tuple[int, int, int], F64, F64], ...]

    @classmethod
    def of(cls, known: Mapping[tuple[int, int], F64]) -> _Shared:
        from scipy.spatial import cKDTree

        groups = []
        for base in range(4):
            following = (base + 1) % 4
            pair = known[base, following]
            for third in range(4):
                other = known.get((base, third))
                if third in (base, following) or other is None or not len(other) or not len(pair):
                    continue
                distance, nearest = cKDTree(other[:, :2]).query(pair[:, :2])
                same = distance < _SAME
                if same.any():
                    triple = (base, following, third)
                    groups.append((triple, pair[same], other[nearest[same], 2:4]))
        return cls(tuple(groups))

    @property
    def points(self) -> int:
        """How many there are in all."""
        return sum(len(pair) for _, pair, _ in self.groups)

    def error(self, polar: float, focal: float) -> float:
        """Mean over the groups, pixels."""
        return float(np.mean(self.errors(polar, focal)))

    def errors(self, polar: float, focal: float) -> list[float]:
        """Confidence-weighted mean reprojection error of each group, pixels."""
        matrices = [_matrix(90.0 - polar + up, side, focal) for up, side in NEIGHBOURS]
        out = []
        for (base, following, third), pair, seen in self.groups:
            points = _triangulated(matrices[base], matrices[following], pair)
            local = points @ matrices[third][:, :3].T + matrices[third][:, 3]
            pixels = local[:, :2] / local[:, 2:]
            error = np.minimum(np.linalg.norm(pixels - seen, axis=1), _CUT)
            out.append(float((error * pair[:, 4]).sum() / max(pair[:, 4].sum(), 1e-12)))
        return out


def _matrix(elevation: float, azimuth: float, focal: float) -> F64:
    """(3, 4) homogeneous world point -> pixel of a neighbour."""
    # Over the pole and down the other side: the camera turns with the meridian.
    camera = Camera.orbit(
        azimuth, elevation, distance=DISTANCE, fov_deg=90, width=SIZE, height=SIZE
    )
    turn = np.diag([1.0, -1.0, -1.0])  # to x right, y down, z forward
    lens = np.array([[focal, 0, SIZE / 2], [0, focal, SIZE / 2], [0, 0, 1]])
    matrix: F64 = lens @ turn @ camera.camera_from_world[:3]
    return matrix


def _triangulated(first: F64, second: F64, pair: F64) -> F64:
    """(n, 3) points by the linear transform, as least squares: they lie around the origin."""
    rows = [
        pair[:, i, None] * matrix[2] - matrix[axis]
        for matrix, columns in ((first, (0, 1)), (second, (2, 3)))
        for axis, i in enumerate(columns)
    ]
    equations = np.stack(rows, axis=1)
    left, right = equations[..., :3], -equations[..., 3:]
    across = left.transpose(0, 2, 1)
    points: F64 = np.linalg.solve(across @ left, across @ right)[..., 0]
    return points


def _vertex(curve: Mapping[int, float], best: int) -> float:
    """Where between the degrees the parabola through the best three has its vertex."""
    if best - 1 not in curve or best + 1 not in curve:
        return 0.0
    low, middle, high = curve[best - 1], curve[best], curve[best + 1]
    bend = low - 2 * middle + high
    return 0.0 if bend <= 1e-12 else float(np.clip(0.5 * (low - high) / bend, -0.5, 0.5))
