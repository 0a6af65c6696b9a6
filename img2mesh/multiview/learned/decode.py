"""From columns of depth to a closed, upright body."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from img2mesh.core.arrays import F32, F64
from img2mesh.core.cameras import Camera
from img2mesh.multiview.geometric.outline import DISTANCE, FrameSilhouette, look_up
from img2mesh.multiview.learned.frustum import COLUMNS, REACH, SLICES
from img2mesh.multiview.learned.model import Frame, Reading

#: Logits beyond this say no more about where the surface is.
_SURE = 6.0
#: Frame units to a logit near the surface; makes the two bounds of the body comparable.
_UNIT = 0.015
#: Slices at least this likely (a logit) are inside: below a half, because the mean of several
#: possible bodies is thinner than each; the best volume IoU on held-out views.
LEVEL = -0.3
#: Every column of the object holds something: its best slice gets at least the second logit, and
#: the whole column is raised until its best had the first. The second alone makes thin sheets of
#: what the network is unsure of, which measures better (F-score at 10 % .747 for .740) but leaves
#: legs hanging loose; the first alone makes lumps (.734).
_COLUMN_AT_LEAST, _SLICE_AT_LEAST = 0.1, 4.0
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

    from img2mesh.imaging.fill import from_nearest

    logits = reading.occupancy - LEVEL
    if not reading.covered.all():  # beside the object the network was never asked anything
        spread = from_nearest(np.moveaxis(logits, 0, -1), reading.covered)
        logits = np.ascontiguousarray(np.moveaxis(spread, -1, 0))
    best, highest = logits.argmax(0)[None], logits.max(0)
    logits = logits + np.maximum(_COLUMN_AT_LEAST - highest, 0)
    np.put_along_axis(logits, best, np.maximum(highest, _SLICE_AT_LEAST)[None], 0)
    logits = np.clip(logits, -_SURE, _SURE).astype(np.float32)
    fine = torch.nn.functional.interpolate(
        torch.from_numpy(logits)[None, None], scale_factor=2, mode="trilinear", align_corners=False
    )[0, 0].numpy()
    values = gaussian_filter(fine, _BLUR, mode="nearest") * _UNIT
    return Columns(values.astype(np.float32), reading.frame, outline.distance, camera)
