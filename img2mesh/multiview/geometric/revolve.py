"""The largest body of revolution whose picture stays inside an outline."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from img2mesh.multiview.geometric.outline import DISTANCE, PIXELS

Column = NDArray[np.float64]

#: How far from the first estimate the elevation is looked for, degrees.
_REACH_DEG = 4
#: A row belongs to the body proper where the inscribed radius is nearly the half-width seen;
#: outside these rows one sees only the front or back of a rim.
_FULL = 0.97
#: Preference for the first estimate: misfit a degree.
_LOYALTY = 2e-3


def refine(
    y: Column, widths: Column, *, elevation_deg: float, flat_top: bool
) -> tuple[float, Column, Column]:
    """The elevation near a first estimate whose body explains the outline best.

    Args:
        y: (k,) rows of the outline in the frame, descending, a pixel apart.
        widths: (k,) half-widths there.
        elevation_deg: first estimate.
        flat_top: whether the body ends in a flat top rather than a tip.

    Returns:
        elevation in degrees, (m,) rows the body occupies, descending, and (m,) its radii there,
        both in frame units.
    """
    best: tuple[float, float, Column, Column] | None = None
    for step in range(-_REACH_DEG, _REACH_DEG + 1):
        elevation = elevation_deg + step
        if elevation < 0 and step < 0:
            continue
        sine = _sine(y, elevation)
        radii = _inscribed(y, widths, sine)
        full = np.nonzero(radii >= _FULL * widths)[0]
        if len(full) < 3:
            continue
        body = slice(int(full[0]) if flat_top else 0, int(full[-1]) + 1)
        seen = _seen(y, y[body], radii[body], sine[body])
        misfit = float(np.abs(seen - widths).mean() / widths.mean()) + _LOYALTY * abs(step)
        if best is None or misfit < best[0]:
            best = (misfit, elevation, y[body], radii[body])
    if best is None:
        return elevation_deg, y, widths
    return best[1], best[2], best[3]


def _sine(y: Column, elevation_deg: float) -> Column:
    """Signed sine of the angle from which level circles at the rows are seen."""
    return np.asarray(np.sin(np.deg2rad(elevation_deg) - np.arctan(y / DISTANCE)))


def _tilt(rows: Column, y: Column, radii: Column, sine: Column) -> Column:
    """(rows, circles): how many radii away row v is from the middle of the circle at row y.

    The near half of a circle appears 1 + r / D times as tall as its middle tells, the far half
    1 - r / D times; the near half is the lower one of circles seen from above.
    """
    away = rows[:, None] - y[None, :]
    near = np.where(away * sine[None, :] < 0, 1.0, -1.0)
    tall = np.maximum(np.abs(sine), 1e-3)[None, :] * (1 + near * radii[None, :] / DISTANCE)
    tilt: Column = away / tall
    return tilt


def _inscribed(y: Column, widths: Column, sine: Column) -> Column:
    """Radii whose ellipses stay inside the outline.

    A circle of radius r centred on row y appears as an ellipse, r sqrt(1 - ((v - y) / (r s))^2)
    wide at row v. It is inside the half-widths w(v) if r^2 <= w(v)^2 + ((v - y) / s)^2 for every
    row v. Otherwise the ellipse of a wide rim would pass for a bulge of the rows around it.
    """
    pitch = 2 / PIXELS
    rows = np.concatenate([[y[0] + pitch / 2], y, [y[-1] - pitch / 2]])
    squares = np.concatenate([[0.0], widths, [0.0]]) ** 2
    steep = _tilt(rows, y, widths, sine) ** 2
    radii = np.sqrt((squares[:, None] + steep).min(0))
    return np.asarray(np.minimum(radii, widths))


def _seen(rows: Column, y: Column, radii: Column, sine: Column) -> Column:
    """Half-widths (k,) the circles show together at ``rows``."""
    squares = radii[None, :] ** 2 - _tilt(rows, y, radii, sine) ** 2
    return np.asarray(np.sqrt(np.maximum(squares.max(1), 0)))
