"""From columns of depth to a closed, upright body."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from img2mesh.core.arrays import F32, F64, Mask
from img2mesh.core.cameras import Camera
from img2mesh.multiview.geometric.outline import DISTANCE, FrameSilhouette, look_up
from img2mesh.multiview.learned.frustum import COLUMNS, REACH, SLICES
from img2mesh.multiview.learned.model import Frame, Reading

#: Logits beyond this say no more about where the surface is.
_SURE = 6.0
#: Frame units to a logit near the surface; makes the two bounds of the body comparable.
_UNIT = 0.015
#: Slices at least this likely (a logit) are inside: below a half, because the mean of several
#: possible bodies is thinner than each.
LEVEL = -0.4
#: Where no slice of a column is that likely, a sheet stands in for it, at the depth the network
#: likes best there and, so many cells around, nearby. A column's own best slice instead makes poles
#: wobble and lets legs hang loose; raising the column as a whole makes lumps.
_NEARBY = 1.5
#: A sheet's half thickness in slices, what is added for each slice that it is steep by (3 x 3
#: columns; it would tear), at most; and the logits it falls by a slice.
_SHEET, _STEEP, _STEEPEST, _SLOPE = 0.6, 0.25, 3.0, 2.0
#: Smoothing in cells of the refined columns (depth, rows, columns).
_BLUR = (0.4, 0.4, 0.4)
#: Elevations a photograph is believed to have.
LOWEST_DEG, HIGHEST_DEG = -10.0, 45.0


@dataclass(frozen=True)
class Columns:
    """An implicit body: what the network believes, within the outline.

    Attributes:
        values: (2 SLICES, 2 COLUMNS, 2 COLUMNS) float32, positive inside, about frame units.
        frame: what the columns are over.
        distance: signed distance to the outline, negative inside (:class:`FrameSilhouette`).
        camera: that of the photo.
    """

    values: F32
    frame: Frame
    distance: F32
    camera: Camera

    def implicit(self, points: NDArray[np.floating]) -> NDArray[np.floating]:
        """Positive inside, for points (..., 3) in the prior's world."""
        from scipy.ndimage import map_coordinates

        uv, depth = self.camera.project(points)
        x = uv[..., 0] * 2 / self.camera.width - 1
        y = 1 - uv[..., 1] * 2 / self.camera.height
        frame = self.frame
        index = (
            (1 - (DISTANCE - depth) / frame.half / REACH) * SLICES - 0.5,
            (1 - (y - frame.y) / frame.half) * COLUMNS - 0.5,
            (1 + (x - frame.x) / frame.half) * COLUMNS - 0.5,
        )
        inside = map_coordinates(self.values, index, order=1, mode="nearest", output=np.float32)
        # The column's ends are outside.
        ends = REACH * frame.half - np.abs(DISTANCE - depth)
        value: NDArray[np.floating] = np.minimum(
            np.minimum(inside, ends), -look_up(self.distance, x, y)
        )
        return value

    def bounds(self) -> tuple[F64, F64]:
        """Corners of a box around the body."""
        slices, rows, columns = np.nonzero(self.values > 0)
        frame = self.frame
        z = frame.half * REACH * (1 - (slices + 0.5) / SLICES)
        x = frame.x + frame.half * ((columns + 0.5) / COLUMNS - 1)
        y = frame.y + frame.half * (1 - (rows + 0.5) / COLUMNS)
        scale = 1 - z / DISTANCE
        local = np.stack([x * scale, y * scale, z - DISTANCE, np.ones_like(z)], axis=1)
        points = (local @ self.camera.world_from_camera.T)[:, :3]
        margin = 2 * frame.half / COLUMNS
        return points.min(0) - margin, points.max(0) + margin


def columns(reading: Reading, outline: FrameSilhouette, camera: Camera) -> Columns:
    """Refine and smooth the network's logits into an implicit body."""
    import torch
    from scipy.ndimage import gaussian_filter

    logits = reading.occupancy - LEVEL
    if not reading.covered.all():  # beside the object the network was never asked anything
        logits = _spread(logits, reading.covered)
    logits = np.where(logits.max(0) < 0, np.maximum(logits, _sheet(reading)), logits)
    logits = np.clip(logits, -_SURE, _SURE).astype(np.float32)
    fine = torch.nn.functional.interpolate(
        torch.from_numpy(logits)[None, None], scale_factor=2, mode="trilinear", align_corners=False
    )[0, 0].numpy()
    values = gaussian_filter(fine, _BLUR, mode="nearest") * _UNIT
    return Columns(values.astype(np.float32), reading.frame, outline.distance, camera)


def _sheet(reading: Reading) -> F32:
    """(SLICES, COLUMNS, COLUMNS) logits of a thin body where the network likes one best."""
    from scipy.ndimage import gaussian_filter, maximum_filter, minimum_filter
    from scipy.special import expit

    covered, sigma = reading.covered, _NEARBY
    total = gaussian_filter(expit(reading.occupancy) * covered, (0, sigma, sigma))
    mean = total / np.maximum(gaussian_filter(covered.astype(np.float32), sigma), 1e-3)
    weight = _spread(mean, covered) ** 4  # near the likeliest of two bodies, not between them
    slices = np.arange(SLICES, dtype=np.float32)[:, None, None]
    middle = (weight * slices).sum(0) / np.maximum(weight.sum(0), 1e-12)
    steep = maximum_filter(middle, 3) - minimum_filter(middle, 3)
    half = _SHEET + np.minimum(_STEEP * steep, _STEEPEST)
    logits: F32 = (_SLOPE * (half - np.abs(slices - middle))).astype(np.float32)
    return logits


def _spread(values: F32, known: Mask) -> F32:
    """Columns (SLICES, COLUMNS, COLUMNS), where they are not known those of the nearest known."""
    from img2mesh.imaging.fill import from_nearest

    spread: F32 = np.moveaxis(from_nearest(np.moveaxis(values, 0, -1), known), -1, 0)
    return np.ascontiguousarray(spread)
