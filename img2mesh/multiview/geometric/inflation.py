"""Inflation: the outline blown up like a balloon, symmetric about the picture plane."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from img2mesh.core.arrays import F32
from img2mesh.imaging.fill import from_nearest
from img2mesh.multiview.geometric.ground_contact import GroundContact
from img2mesh.multiview.geometric.outline import DISTANCE, PIXELS, FrameSilhouette, look_up
from img2mesh.multiview.geometric.poisson import solve

#: Pixels across the frame the thickness is solved on.
GRID = 192
#: Right-hand side of the Poisson equation: 2 suits limbs, 4 discs; the compromise.
SOURCE = -3.0
#: Smallest half-thickness, as a share of the object. After polygonisation two voxels of a 64-voxel
#: grid are left of the thinnest strand in all.
THINNEST = 1 / 48
#: Smoothing of the rim, pixels of GRID (1.6 pixels at 128).
RIM_BLUR = 2.4


@dataclass(frozen=True)
class Inflation:
    """The squared half-thickness over the frame.

    Attributes:
        squared: (GRID, GRID) float32 squared half-thickness, negative outside, frame units^2.
        rim_radius: (GRID, GRID) float32 radius of curvature of the rim nearby, frame units.
        contact_line: (k,) height of the ground under k columns of the frame, NaN = none; or None.
    """

    squared: F32
    rim_radius: F32
    contact_line: NDArray[np.float64] | None = None

    @property
    def thickest(self) -> float:
        """Largest half-thickness."""
        return float(np.sqrt(max(float(self.squared.max()), 0.0)))

    def implicit(self, points: NDArray[np.floating]) -> NDArray[np.floating]:
        """Positive inside, for points (..., 3) in a world whose camera is at elevation 0.

        ``squared - z^2`` is smooth across the rim, where the thickness itself has infinite slope.
        Thickness is laid off along viewing rays: the outline is kept in perspective.
        """
        scale = DISTANCE / (DISTANCE - points[..., 2])
        x, y = points[..., 0] * scale, points[..., 1] * scale
        value = look_up(self.squared, x, y) - points[..., 2] ** 2
        if self.contact_line is None:
            return value
        column = np.clip(
            ((x + 1) * len(self.contact_line) / 2).astype(int), 0, len(self.contact_line) - 1
        )
        with np.errstate(invalid="ignore"):
            above = points[..., 1] - self.contact_line[column]
        return np.minimum(value, np.where(np.isnan(above), np.inf, above))


def inflate(outline: FrameSilhouette, contact: GroundContact | None = None) -> Inflation:
    """Half-thickness h = sqrt(u) with laplacian u = SOURCE inside and u = 0 on the outline.

    Through the lines of ``contact`` nothing flows: the body goes on at full thickness down to the
    ground and is cut there, level.
    """
    from scipy.ndimage import gaussian_filter, maximum_filter

    pitch = 2 / GRID
    depth = -outline.at(GRID)
    inside = depth > 0
    if contact is None:
        u = solve(inside, source=SOURCE * pitch**2)[..., 0]
    else:
        depth = -contact.open_at(GRID)
        under = contact.below(GRID) & ~inside
        known = np.where(under | inside, np.nan, 0.0)[..., None]
        u = solve(inside, source=SOURCE * pitch**2, known=known)[..., 0]
        u = np.where(under, from_nearest(u, inside), u)
        inside = depth > 0
    # The solver's zero lies half a pixel outside the border pixels.
    slope = np.where(inside, u / (np.maximum(depth, 0) + pitch / 2), 0)
    weight = gaussian_filter(inside.astype(np.float32), RIM_BLUR)
    blurred = gaussian_filter(slope.astype(np.float32), RIM_BLUR)
    typical = float(np.median(slope[inside]))
    slope = np.where(weight > 0.02, blurred / np.maximum(weight, 0.02), typical)
    # slope * depth is the solution near the rim with the sub-pixel outline as its zero.
    blend = np.clip(depth / (3 * pitch), 0, 1)
    squared = (1 - blend) * slope * depth + blend * u
    thinnest = THINNEST * outline.longest
    reach = int(np.ceil(thinnest / pitch)) + 1
    ridge = np.sqrt(maximum_filter(np.maximum(squared, 0), size=2 * reach + 1))
    squared = squared * np.maximum(1, thinnest / np.maximum(ridge, 1e-3)) ** 2
    contact_line = None
    if contact is not None:
        # The ground is level where the front of the foot, not its middle, meets the outline.
        x = (np.arange(PIXELS) + 0.5) * 2 / PIXELS - 1
        ground = np.nan_to_num(contact.line)
        thick = np.sqrt(np.maximum(look_up(squared.astype(np.float32), x, ground), 0))
        contact_line = contact.line * (1 - thick / DISTANCE)
    return Inflation(squared.astype(np.float32), (slope / 2).astype(np.float32), contact_line)


def bounds(
    outline: FrameSilhouette, inflation: Inflation
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Corners of a box around the inflated body."""
    mask = outline.mask
    size = mask.shape[0]
    rows, columns = np.nonzero(mask.any(1))[0], np.nonzero(mask.any(0))[0]
    deep = inflation.thickest
    far = (DISTANCE + deep) / DISTANCE  # the back half widens along the rays
    x = np.array([columns[0], columns[-1] + 1]) * 2 / size - 1
    y = 1 - np.array([rows[-1] + 1, rows[0]]) * 2 / size
    low = np.array([min(x[0], x[0] * far), min(y[0], y[0] * far), -deep])
    high = np.array([max(x[1], x[1] * far), max(y[1], y[1] * far), deep])
    return low, high
