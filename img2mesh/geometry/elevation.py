"""How high a camera stands, from matches between pictures around it (the idea of One-2-3-45).

Four neighbours of a picture, ten degrees up, down, left and right of it, look the same whatever is
assumed of its elevation but for one thing: along a circle of latitude ten degrees are a shorter way
the nearer the pole is. So only at the true elevation do the rays of matched points meet.
Differences to the published program: every match counts by itself instead of those found again in
a third view, half of them may be wrong (one that is off by more than a pixel or two just does not
count), no evidence is said and never taken for a perfect fit, the fine search includes its upper
end, and the best degree is refined by a parabola.
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
_COARSE, _FINE = range(30, 141, 5), 5
#: A match off by so many pixels counts as half wrong, one off by many as wholly wrong; noise of
#: .15 px is next to nothing.
_SCALE = 1.0
#: Matches, of all, that must agree within that scale at the best elevation; and how many more (and
#: what share of all) must agree there than anywhere :data:`_ASIDE` degrees or more away. True
#: renders that are answered rightly gain 9 to 400, lathes and poles less, random matches 2 of 600.
_LEAST, _GAIN, _SHARE, _ASIDE = 24, 9.0, 0.05, 15


@dataclass(frozen=True)
class Elevation:
    """What the matches say.

    Attributes:
        degrees: of the picture in the middle, or None where there is no evidence.
        error: median distance of the agreeing matches from meeting, pixels; infinite without any.
        points: matches that agree.
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
    known = _checked(matches)
    count = sum(map(len, known.values()))
    if count < _LEAST:
        return Elevation(None, float("inf"), count, f"only {count} points were found again")
    off = {p: _misses(known, 90.0 - p, focal) for p in _COARSE}
    doubt = {p: _doubt(misses) for p, misses in off.items()}
    best = min(doubt, key=lambda p: doubt[p])
    for p in range(best - _FINE, best + _FINE + 1):
        off[p] = _misses(known, 90.0 - p, focal)
        doubt[p] = _doubt(off[p])
    best = min(doubt, key=lambda p: doubt[p])
    agreeing = off[best][off[best] < _SCALE]
    error = float(np.median(agreeing)) if len(agreeing) else float("inf")
    if len(agreeing) < _LEAST:
        told = f"only {len(agreeing)} of {count} matches agree on any elevation"
        return Elevation(None, error, len(agreeing), told)
    gain = min(d for p, d in doubt.items() if abs(p - best) >= _ASIDE) - doubt[best]
    if gain * count < _GAIN or gain < _SHARE:
        told = "another elevation explains the matches as well"
        return Elevation(None, error, len(agreeing), told)
    return Elevation(90.0 - best - _vertex(doubt, best), error, len(agreeing))


def _checked(
    matches: Mapping[tuple[int, int], NDArray[np.floating]],
) -> dict[tuple[int, int], F64]:
    out: dict[tuple[int, int], F64] = {}
    for pair in PAIRS:
        if pair not in matches:
            raise InputError(f"matches of the pair {pair} are missing; expected {list(PAIRS)}")
        found = np.asarray(matches[pair], np.float64)
        if found.ndim != 2 or found.shape[1] != 5:
            raise InputError(f"matches must be (n, 5): x, y, x, y, confidence; got {found.shape}")
        out[pair] = found
    return out


def _misses(known: Mapping[tuple[int, int], F64], elevation: float, focal: float) -> F64:
    """(n,) pixels between each match and the point that its two rays come nearest to."""
    matrices = [_matrix(elevation + up, side, focal) for up, side in NEIGHBOURS]
    out = []
    for (a, b), pair in known.items():
        points = _triangulated(matrices[a], matrices[b], pair)
        both = []
        for matrix, seen in ((matrices[a], pair[:, :2]), (matrices[b], pair[:, 2:4])):
            local = points @ matrix[:, :3].T + matrix[:, 3]
            both.append(np.linalg.norm(local[:, :2] / local[:, 2:] - seen, axis=1))
        out.append(np.maximum(*both))
    return np.concatenate(out)


def _doubt(misses: F64) -> float:
    """Share of the matches that speak against an elevation (Geman and McClure's kernel)."""
    squared = misses**2
    return float((squared / (squared + _SCALE**2)).mean())


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
