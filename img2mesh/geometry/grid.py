"""Regular grids of points in the world."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from img2mesh.core.arrays import F32, F64


@dataclass(frozen=True)
class Grid:
    """A regular grid: point (i, j, k) is ``origin + voxel * (i, j, k)``.

    Attributes:
        origin: (3,) float64 world position of the first point.
        voxel: edge length in world units.
        shape: points along x, y, z.
    """

    origin: F64
    voxel: float
    shape: tuple[int, int, int]

    @classmethod
    def around(cls, low: F64, high: F64, *, grid: int, margin: float) -> Grid:
        """``grid`` points along the longest side of the box, widened by ``margin`` of that side."""
        longest = float((high - low).max())
        low, high = low - margin * longest, high + margin * longest
        voxel = float((high - low).max()) / (grid - 1)
        shape = np.ceil((high - low) / voxel - 1e-9).astype(int) + 1
        centre = (low + high) / 2
        origin = centre - voxel * (shape - 1) / 2
        return cls(origin, voxel, (int(shape[0]), int(shape[1]), int(shape[2])))

    def refined(self, grid: int) -> Grid:
        """The same region with ``grid`` points along the longest side."""
        size = self.voxel * (np.array(self.shape) - 1)
        return Grid.around(self.origin, self.origin + size, grid=grid, margin=0.0)

    def slab(self, start: int, stop: int) -> F64:
        """(stop - start, ny, nz, 3) float64 world positions of the points of some x layers."""
        axes = [
            self.origin[a] + self.voxel * np.arange(n)
            for a, n in enumerate((stop, *self.shape[1:]))
        ]
        return np.stack(np.meshgrid(axes[0][start:], axes[1], axes[2], indexing="ij"), axis=-1)

    def sample(self, values: F32, points: F64) -> F32:
        """Trilinear signed distance (...,) at world points (..., 3).

        Beyond the grid the nearest point's value, never negative, plus the way to it.
        """
        from scipy.ndimage import map_coordinates

        index = (points - self.origin) / self.voxel
        inside = np.clip(index, 0, np.array(values.shape) - 1)
        beyond = np.linalg.norm(index - inside, axis=-1) * self.voxel
        value = map_coordinates(values, np.moveaxis(inside, -1, 0), order=1, mode="nearest")
        out: F32 = np.where(beyond > 0, np.maximum(value, 0) + beyond, value)
        return out
