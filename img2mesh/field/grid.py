"""A scalar field on a regular grid: trilinear look-up with its gradient, blur, resampling.

The look-up is its own autograd function: eight index selects forward and one scatter-add backward
are about twice as fast on CPUs as torch's three-dimensional grid sampler, and the same pass yields
the spatial gradient, differentiable with respect to the grid values.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from img2mesh.geometry.grid import Grid


@dataclass(frozen=True)
class Sdf:
    """Signed distances on a regular grid, negative inside.

    Attributes:
        values: (nx, ny, nz) float32, world units.
        grid: where its points lie.
    """

    values: Tensor
    grid: Grid

    @property
    def voxel(self) -> float:
        """Spacing of the grid, world units."""
        return self.grid.voxel

    @property
    def device(self) -> torch.device:
        """Where the values live."""
        return self.values.device

    def at(self, points: Tensor) -> Tensor:
        """(n,) trilinear values at world points (3, n), without autograd."""
        return look_up(self.values, locate(self.grid, points))


@dataclass(frozen=True)
class Cells:
    """Where points lie in a grid; positions never carry a gradient.

    Attributes:
        base: (n,) int32 flat index of the cell's lowest corner: half the memory traffic of int64.
        fraction: (3, n) float32 position inside the cell, in [0, 1].
        shape: the grid's points along x, y, z.
        voxel: edge length in world units.
    """

    base: Tensor
    fraction: Tensor
    shape: tuple[int, int, int]
    voxel: float

    @property
    def corners(self) -> Tensor:
        """(8, n) int32 flat indices; corner c has bits (x, y, z) = (c >> 2, c >> 1 & 1, c & 1)."""
        return self.base + _corner_steps(self.shape, self.base.device)

    @property
    def nearest(self) -> Tensor:
        """(n,) int32 flat index of the nearest grid point."""
        x, y, z = (self.fraction > 0.5).int()
        return self.base + (x * self.shape[1] + y) * self.shape[2] + z


@lru_cache(maxsize=16)
def _corner_steps(shape: tuple[int, int, int], device: torch.device) -> Tensor:
    """(8, 1) int32 from a cell's lowest corner to each; kept, as a GPU waits for what is sent."""
    _, ny, nz = shape
    steps = [x * ny * nz + y * nz + z for x in (0, 1) for y in (0, 1) for z in (0, 1)]
    return torch.tensor(steps, dtype=torch.int32, device=device)[:, None]


def locate(grid: Grid, points: Tensor) -> Cells:
    """Cells of world points (3, n); points outside the grid take the nearest border cell."""
    local = torch.empty_like(points)
    base = torch.zeros(points.shape[1:], dtype=torch.int32, device=points.device)
    for axis in range(3):
        p = (points[axis] - float(grid.origin[axis])) / grid.voxel
        p.clamp_(0, grid.shape[axis] - 1)
        whole = p.floor().clamp_(max=grid.shape[axis] - 2)
        torch.sub(p, whole, out=local[axis])
        base.mul_(grid.shape[axis]).add_(whole.int())
    return Cells(base, local, grid.shape, grid.voxel)


def look_up(values: Tensor, cells: Cells) -> Tensor:
    """(n,) trilinear values without autograd; for marching and depth maps."""
    x, y, z = cells.fraction
    v = values.reshape(-1).index_select(0, cells.corners.reshape(-1)).reshape(8, -1)
    v = torch.lerp(v[:4], v[4:], x)
    v = torch.lerp(v[:2], v[2:], y)
    return torch.lerp(v[0], v[1], z)


def look_up_with_gradient(values: Tensor, cells: Cells) -> tuple[Tensor, Tensor]:
    """Trilinear values (n,) and spatial gradients (3, n), differentiable in the grid values."""
    apply: Any = _Trilinear.apply
    value, gradient = apply(values, cells)
    return value, gradient


def look_up_channels(table: Tensor, cells: Cells) -> Tensor:
    """Trilinear values (c, n) of a table (c, points), differentiable in the table."""
    apply: Any = _Channels.apply
    return apply(table, cells)


class _Trilinear(torch.autograd.Function):
    """value = sum_c w_c v_c and gradient = sum_c (dw_c / dx) v_c, both linear in the corners v."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, cells: Cells) -> tuple[Tensor, Tensor]:
        ctx.cells = cells
        x, y, z = cells.fraction
        corners = cells.corners.reshape(-1)
        ctx.corners = corners
        v = values.reshape(-1).index_select(0, corners).reshape(8, -1)
        along_x = v[4:] - v[:4]  # (4, n): corners (y, z)
        v = torch.lerp(v[:4], v[4:], x)
        dx = torch.lerp(along_x[:2], along_x[2:], y)
        dy = v[2:] - v[:2]
        v = torch.lerp(v[:2], v[2:], y)
        gradient = torch.stack(
            [torch.lerp(dx[0], dx[1], z), torch.lerp(dy[0], dy[1], z), v[1] - v[0]]
        )
        return torch.lerp(v[0], v[1], z), gradient.div_(cells.voxel)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        d_value, d_gradient = grads
        cells: Cells = ctx.cells
        x, y, z = cells.fraction
        gx, gy, gz = d_gradient / cells.voxel
        # The transpose of the interpolation, one axis at a time: z first, then y, then x.
        out = torch.empty((8, x.numel()), device=x.device)
        for zbit in (0, 1):
            wz, sz = (z, 1.0) if zbit else (1 - z, -1.0)
            a, ax, ay = d_value * wz + gz * sz, gx * wz, gy * wz
            for ybit in (0, 1):
                wy, sy = (y, 1.0) if ybit else (1 - y, -1.0)
                b, bx = a * wy + ay * sy, ax * wy
                for xbit in (0, 1):
                    wx, sx = (x, 1.0) if xbit else (1 - x, -1.0)
                    torch.mul(b, wx, out=out[4 * xbit + 2 * ybit + zbit])
                    out[4 * xbit + 2 * ybit + zbit].add_(bx, alpha=sx)
        total = torch.zeros(int(np.prod(cells.shape)), device=x.device)
        total.scatter_add_(0, ctx.corners.long(), out.reshape(-1))
        return total.reshape(cells.shape), None


class _Channels(torch.autograd.Function):
    """(c, n) values of a (c, points) table; backward scatters to the eight corners."""

    @staticmethod
    def forward(ctx: Any, table: Tensor, cells: Cells) -> Tensor:
        corners = cells.corners.reshape(-1)
        ctx.cells, ctx.corners, ctx.shape = cells, corners, table.shape
        x, y, z = cells.fraction
        v = table.index_select(1, corners).reshape(len(table), 8, -1)
        v = torch.lerp(v[:, :4], v[:, 4:], x)
        v = torch.lerp(v[:, :2], v[:, 2:], y)
        return torch.lerp(v[:, 0], v[:, 1], z)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (grad,) = grads
        out = torch.empty((len(grad), 8, grad.shape[1]), device=grad.device)
        # The transpose of the interpolation, in place: x splits all in two, then y, then z.
        out[:, 0] = grad
        for step, part in zip((4, 2, 1), ctx.cells.fraction, strict=True):
            low, high = out[:, :: 2 * step], out[:, step :: 2 * step]
            torch.mul(low, part, out=high)
            low.sub_(high)
        total = torch.zeros(ctx.shape, device=grad.device)
        index = ctx.corners.long().expand(len(grad), -1)
        return total.scatter_add_(1, index, out.reshape(len(grad), -1)), None


@lru_cache(maxsize=64)
def _blur_matrix(size: int, sigma: float, device: torch.device) -> Tensor:
    """(size, size) Gaussian along one axis, truncated at 3 sigma, rows sum to one."""
    offset = torch.arange(size)[:, None] - torch.arange(size)[None, :]
    weight = torch.exp(-0.5 * (offset / sigma) ** 2)
    weight[offset.abs() > max(1, int(3 * sigma + 0.5))] = 0
    return (weight / weight.sum(1, keepdim=True)).to(device)


def blur(values: Tensor, sigma: float) -> Tensor:
    """Gaussian blur with ``sigma`` in voxels.

    As three products with banded matrices: on CPUs about twice as fast as a separable convolution.
    """
    if sigma <= 0:
        return values
    kx, ky, kz = (_blur_matrix(n, sigma, values.device) for n in values.shape)
    out = (kx @ values.reshape(values.shape[0], -1)).reshape(values.shape)
    return torch.matmul(ky, out) @ kz.T


def length(vectors: Tensor) -> Tensor:
    """(n,) Euclidean lengths of vectors (3, n); torch.norm is 40 times slower here."""
    x, y, z = vectors
    return (x * x + y * y + z * z).sqrt()


def resample(sdf: Sdf, grid: Grid) -> Tensor:
    """(nx, ny, nz) trilinear values at the points of another grid."""
    out = torch.empty(grid.shape, device=sdf.device)
    layers = max(1, 250_000 // (grid.shape[1] * grid.shape[2]))
    for start in range(0, grid.shape[0], layers):
        stop = min(start + layers, grid.shape[0])
        points = torch.as_tensor(grid.slab(start, stop), dtype=torch.float32, device=sdf.device)
        values = sdf.at(points.reshape(-1, 3).T.contiguous())
        out[start:stop] = values.reshape(out[start:stop].shape)
    return out


def second_difference(values: Tensor, axis: int) -> Tensor:
    """f[i-1] - 2 f[i] + f[i+1] at the inner points along one axis."""
    n = values.shape[axis]
    return (values.narrow(axis, 0, n - 2) + values.narrow(axis, 2, n - 2)).sub_(
        values.narrow(axis, 1, n - 2), alpha=2
    )


def fourth_difference(values: Tensor) -> Tensor:
    """Sum over axes of the fourth difference; zero in a border of two points."""
    out = torch.zeros_like(values)
    for axis in range(3):
        n = values.shape[axis]
        if n >= 5:
            twice = second_difference(second_difference(values, axis), axis)
            out.narrow(axis, 2, n - 4).add_(twice)
    return out
