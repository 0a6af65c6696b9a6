"""Is the outline that of a surface of revolution, and seen from how high?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from img2mesh.core.arrays import Mask
from img2mesh.imaging.masks import inset
from img2mesh.multiview.geometric.outline import DISTANCE, PIXELS, FrameSilhouette
from img2mesh.multiview.geometric.revolve import refine

# Acceptance thresholds of the prior's specification, measured on 24 reference objects.
_CORE = 0.80  # symmetric core / area
_ROUND = 0.84  # inscribed radius on the axis / half-width
_ARC_RMS = 0.03  # of the rim's radius
_ASPECT = (-0.05, 0.85)
_ROW_SYMMETRY = 0.78
_AGREE_DEG = 11.0
_WIDE_TOP = 0.35  # of the largest half-width
_FLAT = 0.08
_STEEPEST_DEG = 45.0
#: How far inside the rim, in its radii, the wall is looked at, and how fast it may widen.
_WALL_REACH = 0.06
_WALL_SLOPE = 0.7
#: Two straight edges must fit an end this much better than an arc, which must miss by so much.
_CORNER_SHARE = 0.6
_CORNER_PIXELS = 0.8
#: A domed top tells nothing about the elevation, so the rest of the evidence must be stronger.
_DOME_CORE = 0.93
_DOME_ROUND = 0.93


@dataclass(frozen=True)
class Arc:
    """Half an ellipse fitted to an end of the outline, frame units.

    Attributes:
        y: height of its centre.
        radius: horizontal semi-axis.
        aspect: vertical / horizontal semi-axis.
        rms: of the fit, over the radius.
    """

    y: float
    radius: float
    aspect: float
    rms: float


@dataclass(frozen=True)
class Profile:
    """A surface of revolution about a vertical axis, as measured in the frame.

    Attributes:
        axis: x of the axis.
        elevation_deg: of the camera.
        heights: (k,) frame heights of the profile's points, ascending.
        half_widths: (k,) half-widths there.
        core: (PIXELS, PIXELS) the symmetric core of the outline.
    """

    axis: float
    elevation_deg: float
    heights: NDArray[np.float64]
    half_widths: NDArray[np.float64]
    core: Mask


def measure(outline: FrameSilhouette, *, insist: bool = False) -> Profile | None:
    """Fit a profile, or None where the outline is not that of a surface of revolution.

    Args:
        outline: the object.
        insist: the user asked for a lathe: take the best profile whatever the tests say.
    """
    mask = outline.mask
    axis = _axis(mask)
    half, symmetry = _half_widths(outline.distance, axis)
    rows = np.nonzero(half > 0)[0]
    if len(rows) < 12:
        return None
    axis = _centred(outline.distance, axis, half, symmetry)
    half, symmetry = _half_widths(outline.distance, axis)
    core = _core(mask.shape[0], axis, half)
    if not insist and core.sum() < _CORE * mask.sum():
        return None
    good = rows[symmetry[rows] >= _ROW_SYMMETRY]
    if len(good) < 12:
        return None
    top, bottom = int(good[0]), int(good[-1])
    half = np.where((np.arange(len(half)) >= top) & (np.arange(len(half)) <= bottom), half, 0.0)
    core = _core(mask.shape[0], axis, half)
    roundness = _roundness(core, axis, half, top, bottom)
    if not insist and roundness < _ROUND:
        return None
    below, above = _end_arc(core, axis, half, bottom, -1), _end_arc(core, axis, half, top, +1)
    if not insist and (_cornered(mask, axis, below, -1) or _cornered(mask, axis, above, +1)):
        return None
    strong = core.sum() >= _DOME_CORE * mask.sum() and roundness >= _DOME_ROUND
    found = _elevation(below, above, float(half.max()) * 2 / PIXELS, strong)
    if found is None:
        if not insist:
            return None
        found = (0.0, False)
    elevation, flat_top = found
    y = 1 - (np.arange(top, bottom + 1) + 0.5) * 2 / PIXELS
    widths = half[top : bottom + 1] * 2 / PIXELS
    elevation, heights, widths = refine(y, widths, elevation_deg=elevation, flat_top=flat_top)
    heights, widths = heights[::-1], widths[::-1]
    if not flat_top:  # close a dome or a knob at its tip
        heights, widths = np.append(heights, y[0] + 1 / PIXELS), np.append(widths, 0.0)
    return Profile(axis * 2 / PIXELS - 1, elevation, heights, widths, core)


def _axis(mask: Mask) -> float:
    """Column (pixels, half-pixel steps) about which the mask overlaps its mirror image most."""
    width = mask.shape[1]
    spectrum = np.fft.rfft(mask.astype(np.float64), n=2 * width, axis=1)
    overlap = np.fft.irfft((spectrum**2).sum(0), n=2 * width)
    return (float(np.argmax(np.round(overlap, 3))) + 1) / 2


def _centred(
    distance: NDArray[np.floating],
    axis: float,
    half: NDArray[np.float64],
    symmetry: NDArray[np.float64],
) -> float:
    """A finer axis: the median middle of the rows where nothing stands beside the core."""
    middles = []
    for r in np.nonzero((symmetry > 0.95) & (half > 0.3 * half.max()))[0]:
        inside = np.nonzero(distance[r] < 0)[0]
        if (
            inside[-1] - inside[0] + 1 == len(inside)
            and 0 < inside[0] <= inside[-1] < len(half) - 1
        ):
            a, b = inside[0], inside[-1]
            left = a + 0.5 - distance[r, a] / (distance[r, a] - distance[r, a - 1])
            right = b + 0.5 + distance[r, b] / (distance[r, b] - distance[r, b + 1])
            middles.append((left + right) / 2)
    return float(np.median(middles)) if len(middles) >= 8 else axis


def _half_widths(
    distance: NDArray[np.floating], axis: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Per row: half-width (pixels, sub-pixel) of the symmetric run around the axis; its share."""
    height, width = distance.shape
    mask = distance < 0
    half, symmetry = np.zeros(height), np.zeros(height)
    first, last = int(np.ceil(axis)) - 1, int(np.floor(axis))  # the columns beside the axis
    if first < 0 or last >= width:
        return half, symmetry
    for r in np.nonzero(mask[:, first] & mask[:, last])[0]:
        gaps = np.nonzero(~mask[r])[0]
        before, after = gaps[gaps < first], gaps[gaps > last]
        start, end = 0.0, float(width)
        if len(before):
            c = before[-1]
            start = c + 0.5 + distance[r, c] / (distance[r, c] - distance[r, c + 1])
        if len(after):
            c = after[0]
            end = c + 0.5 - distance[r, c] / (distance[r, c] - distance[r, c - 1])
        half[r] = max(min(axis - start, end - axis), 0.0)
        symmetry[r] = min(2 * half[r] / mask[r].sum(), 1.0)
    return half, symmetry


def _core(size: int, axis: float, half: NDArray[np.float64]) -> Mask:
    columns = np.arange(size) + 0.5
    core: Mask = np.abs(columns[None, :] - axis) < half[:, None]
    return core


def _roundness(core: Mask, axis: float, half: NDArray[np.float64], top: int, bottom: int) -> float:
    """Mean over rows of inscribed radius on the axis / what a cylinder would have there."""
    inscribed = inset(core)
    rows = np.arange(top, bottom + 1)
    column = min(max(int(axis), 0), core.shape[1] - 1)
    ends = np.minimum(rows - top, bottom - rows) + 1.0
    possible = np.minimum(half[rows], ends)
    use = ends > 0.25 * half[rows]  # right at the ends everything is round
    if not use.any():
        return 1.0
    ratio = np.minimum(inscribed[rows, column][use] / np.maximum(possible[use], 1), 1)
    return float(np.average(ratio, weights=possible[use]))


def _end_arc(core: Mask, axis: float, half: NDArray[np.float64], end: int, sign: int) -> Arc | None:
    """Fit half an ellipse to the outline's lower (sign -1) or upper (+1) end.

    Its centre lies on a row whose half-width is the ellipse's radius: every such row is tried.
    """
    size = core.shape[0]
    columns = np.nonzero(core.any(0))[0]
    if sign < 0:
        edge = size - np.argmax(core[::-1], axis=0).astype(np.float64)  # lower border, pixels
    else:
        edge = np.argmax(core, axis=0).astype(np.float64)
    best: Arc | None = None
    reach = int(0.9 * half.max()) + 2
    for step in range(reach):
        row = end + sign * step
        if not 0 <= row < size or half[row] < 4:
            continue
        radius = half[row]
        # Behind a rim stands a wall. Where the outline still opens, this is a chord of the arc.
        inner = row + sign * max(2, round(_WALL_REACH * radius))
        if not 0 <= inner < size or half[inner] - radius > _WALL_SLOPE * abs(inner - row):
            continue
        x = (columns + 0.5 - axis) / radius
        use = np.abs(x) <= 0.92
        if use.sum() < 5:
            continue
        shape = np.sqrt(1 - x[use] ** 2)
        centre = row + 0.5
        bulge = (edge[columns[use]] - centre) * (-sign)  # positive outwards
        b = float((shape * bulge).sum() / (shape**2).sum())
        rms = float(np.sqrt(((bulge - b * shape) ** 2).mean()) / radius)
        arc = Arc(1 - centre * 2 / size, radius * 2 / size, b / radius, rms)
        if best is None or arc.rms < best.rms - 1e-4:
            best = arc
    return best


def _cornered(mask: Mask, axis: float, arc: Arc | None, sign: int) -> bool:
    """Whether an end of the outline is two straight edges and a corner rather than an arc.

    So ends a box seen at an angle; both curves are fitted with free offset and compared.
    """
    if arc is None:
        return False
    size = mask.shape[0]
    radius = arc.radius * size / 2
    columns = np.nonzero(mask.any(0) & (np.abs(np.arange(size) + 0.5 - axis) < 0.92 * radius))[0]
    if len(columns) < 8:
        return False
    if sign < 0:
        edge = size - np.argmax(mask[::-1, columns], axis=0).astype(np.float64)
    else:
        edge = np.argmax(mask[:, columns], axis=0).astype(np.float64)
    x = (columns + 0.5 - axis) / radius
    one = np.ones_like(x)

    def misfit(*terms: NDArray[np.float64]) -> float:
        basis = np.stack(terms, axis=1)
        rest = edge - basis @ np.linalg.lstsq(basis, edge, rcond=None)[0]
        return float(np.sqrt((rest**2).mean()))

    # The slope lets a slightly tilted photograph pass.
    round_ = misfit(one, x, np.sqrt(1 - x**2))
    corners = np.linspace(-0.8, 0.8, 33)
    straight = min(misfit(one, x, np.maximum(x - corner, 0)) for corner in corners)
    return round_ > _CORNER_PIXELS and straight < _CORNER_SHARE * round_


def _elevation(
    below: Arc | None, above: Arc | None, widest: float, strong: bool
) -> tuple[float, bool] | None:
    """Camera elevation and whether the top is flat; None = not a surface of revolution."""
    if below is None or below.rms > _ARC_RMS or not _ASPECT[0] < below.aspect < _ASPECT[1]:
        return None
    # The near, lower half of a rim appears 1 + r / D times as tall; the far half 1 - r / D.
    aspect = below.aspect / (1 + below.radius / DISTANCE)
    low = np.rad2deg(np.arcsin(aspect) + np.arctan(below.y / DISTANCE))
    elevation, flat_top = float(low), False
    if above is not None:
        fits = above.rms <= _ARC_RMS and above.aspect < _ASPECT[1]
        tilt = np.rad2deg(np.arcsin(np.clip(above.aspect / (1 - above.radius / DISTANCE), -1, 1)))
        row = np.rad2deg(np.arctan(above.y / DISTANCE))
        high = min((row + tilt, row - tilt), key=lambda e: abs(e - low))
        agree = abs(high - low) <= _AGREE_DEG
        if fits and agree:
            elevation, flat_top = float((low + high) / 2), True
        # Level rims at different heights cannot both be seen edge-on: two flat ends are a box's.
        apart = np.rad2deg(np.arctan(above.y / DISTANCE) - np.arctan(below.y / DISTANCE))
        bend = tilt + np.rad2deg(np.arcsin(max(aspect, 0.0)))
        flat = max(above.aspect, below.aspect) < _FLAT
        if flat and above.radius > _WIDE_TOP * widest and bend < 0.5 * apart:
            return None
        if not (fits and agree) and above.radius > _WIDE_TOP * widest:
            # It bulges more than a flat rim would from there: a dome, which tells no elevation.
            dome = fits and strong and tilt - abs(low - row) > _AGREE_DEG
            if not dome:
                return None
        if not agree and max(abs(above.aspect), abs(below.aspect)) < _FLAT:
            return None
    if elevation > _STEEPEST_DEG:
        return None
    return max(elevation, 0.0), flat_top
