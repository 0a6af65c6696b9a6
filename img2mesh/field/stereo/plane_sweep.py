"""Matching on horizontal planes, seen as from above: flat tops and undersides.

Things stand on something, so flat tops are common; cameras around an object see them at a steep
slant and from opposite sides, where windows along a bulging hull never match. Here the views are
drawn onto horizontal planes of many heights (a plane sweep, Collins 1996) and compared there, where
all of them show the same thing at the same size.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from img2mesh.field.gather import pick, places
from img2mesh.field.grid import Sdf
from img2mesh.field.lookup import DepthMaps, bilinear, nearest_pixel, project
from img2mesh.field.parallel import each, split
from img2mesh.field.rays import Rays
from img2mesh.field.stereo.ncc import CHANNELS, box_sum, correlation, peak
from img2mesh.geometry.grid import Grid

#: Half the window's side, part of the grid's longest side.
_RADIUS = 0.04
#: Least sine of the elevation at which a camera sees a plane: below, it has too few rows.
_SLANT = 0.12
#: Least score. A plane must fit better than a shifted surface (.5): it is only a guess.
_LEAST_SCORE = 0.7
#: Factor on the score of two views alone, who agree by chance more easily than three.
_TWO_VIEWS = 0.8


@dataclass(frozen=True)
class Planes:
    """The lattice of the sweep.

    Attributes:
        x, y, z: positions of the cells' centres, ascending; y are the planes' heights.
        step: spacing along all three, world units.
        radius: half a window's side in cells.
    """

    x: Tensor
    y: Tensor
    z: Tensor
    step: float
    radius: int

    @classmethod
    def through(cls, grid: Grid, count: int, device: torch.device) -> Planes:
        """So many planes along the longest side of a grid, and cells along a plane's."""
        size = grid.voxel * (np.array(grid.shape) - 1)
        step = float(size.max()) / count
        axes = [
            float(low) + step * torch.arange(int(s / step) + 1, device=device)
            for low, s in zip(grid.origin, size, strict=True)
        ]
        return cls(axes[0], axes[1], axes[2], step, round(_RADIUS * count))

    def points(self, begin: int, end: int) -> Tensor:
        """(3, n) the cells' centres on some planes, plane by plane, then along x."""
        axes = torch.meshgrid(self.y[begin:end], self.x, self.z, indexing="ij")
        y, x, z = (axis.reshape(-1) for axis in axes)
        return torch.stack([x, y, z])


def match_on_planes(
    rays: Rays, sdf: Sdf, maps: DepthMaps, *, planes: int, reach: float
) -> tuple[Tensor, Tensor]:
    """Depths at which rays meet horizontal planes that the views agree on.

    Args:
        rays: (r,) rays.
        sdf: the present shape; planes are tried inside it.
        maps: its surface as the views see it; their stride is that of the rays.
        planes: how many along the longest side of the grid.
        reach: how far behind the present surface a plane may lie, world units.

    Returns:
        depth: (r,) z-depth, NaN where no plane was found.
        score: (r,) correlation in [0, 1], 0 where there is none.
    """
    lattice = Planes.through(sdf.grid, planes, sdf.device)
    depth = torch.full((len(rays),), float("nan"), device=sdf.device)
    score = torch.zeros(len(rays), device=sdf.device)
    above = rays.pictures.origin[1] > lattice.y.mean()
    for side in (above, ~above):
        views = places(side)[:, None]
        if len(views) > 1:
            volume = _sweep(sdf, maps, views, lattice, reach)
            _hand_to_rays(rays, maps, views, lattice, reach, volume, depth, score)
    return depth, score


def _sweep(sdf: Sdf, maps: DepthMaps, views: Tensor, planes: Planes, reach: float) -> Tensor:
    """(ny, nx * nz) mean correlation of views (k, 1); -1 where fewer than two see the place."""
    pairs = torch.triu_indices(len(views), len(views), 1, device=sdf.device)
    size = CHANNELS * pairs.shape[1] * len(planes.x) * len(planes.z)
    parts = each(
        lambda part: _agreement(sdf, maps, views, pairs, planes, part, reach),
        split(len(planes.y), size, sdf.device),
        sdf.device,
    )
    return torch.cat(parts)


def _agreement(
    sdf: Sdf,
    maps: DepthMaps,
    views: Tensor,
    pairs: Tensor,
    planes: Planes,
    part: tuple[int, int],
    reach: float,
) -> Tensor:
    """The rows of some planes, from one number up to another; ``pairs`` (2, q) of the views."""
    begin, end = part
    score = torch.full((end - begin, len(planes.x) * len(planes.z)), -1.0, device=sdf.device)
    points = planes.points(begin, end)
    inside = sdf.at(points) < planes.step
    cell = places(inside)
    (points,) = pick(cell, points)
    away = maps.pictures.origin[:, views] - points[:, None]
    uv, z = project(maps.pictures, points, views)
    seen = maps.sees(uv, z, views, reach)
    seen &= away[1].square() > _SLANT**2 * away.square().sum(0)
    useful = places(seen.sum(0) > 1)
    if not len(useful):
        return score
    cell, seen, uv = pick(useful, cell, seen.float(), uv)
    rgb, _, _ = bilinear(maps.pictures, uv, views)
    window = _Window.around(cell, planes, len(score))
    seen, rgb = window.spread(cell, seen), window.spread(cell, rgb)
    full = box_sum(window.cut(inside.float()), planes.radius)
    first, second = pairs
    scores = correlation(
        rgb[:, first].flatten(1, 2),
        rgb[:, second].flatten(1, 2),
        (seen[first] * seen[second]).flatten(0, 1),
        full.repeat(len(first), 1, 1),
        radius=planes.radius,
    ).reshape(len(first), *full.shape)
    known = scores > -1
    count = known.sum(0)
    mean = torch.where(known, scores, 0.0).sum(0) / count.clamp(min=1)
    mean = torch.where(count == 1, _TWO_VIEWS * mean, mean)
    mean = torch.where((count > 0) & (window.cut(inside) > 0), mean, -1.0)
    window.paste(mean, score)
    return score


@dataclass(frozen=True)
class _Window:
    """The part of some planes that holds all cells which two views see, and what is around them.

    Attributes:
        planes: their number.
        nx, nz: cells along the whole planes' sides.
        x, z: first and last cell of the part.
    """

    planes: int
    nx: int
    nz: int
    x: tuple[int, int]
    z: tuple[int, int]

    @classmethod
    def around(cls, cell: Tensor, planes: Planes, count: int) -> _Window:
        """Around flat cells (n,): two windows' reach, so that the sums inside are whole."""
        nx, nz, room = len(planes.x), len(planes.z), 2 * planes.radius
        x, z = cell // nz % nx, cell % nz
        a, b, c, d = torch.stack([x.min(), x.max(), z.min(), z.max()]).tolist()
        return cls(
            count,
            nx,
            nz,
            (max(0, a - room), min(nx, b + 1 + room)),
            (max(0, c - room), min(nz, d + 1 + room)),
        )

    def cut(self, values: Tensor) -> Tensor:
        """(planes, h, w) of values of all cells."""
        return values.reshape(self.planes, self.nx, self.nz)[:, slice(*self.x), slice(*self.z)]

    def paste(self, values: Tensor, into: Tensor) -> None:
        """Values (planes, h, w) into those of all cells."""
        self.cut(into).copy_(values)

    def spread(self, cell: Tensor, values: Tensor) -> Tensor:
        """(..., planes, h, w) values (..., n) of flat cells (n,), 0 elsewhere."""
        height, width = self.x[1] - self.x[0], self.z[1] - self.z[0]
        plane, x, z = cell // (self.nx * self.nz), cell // self.nz % self.nx, cell % self.nz
        at = (plane * height + x - self.x[0]) * width + z - self.z[0]
        flat = values.reshape(-1, len(cell))
        out = torch.zeros((len(flat), self.planes * height * width), device=cell.device)
        out.scatter_(1, at.expand(len(flat), -1), flat)
        return out.reshape(*values.shape[:-1], self.planes, height, width)


def _hand_to_rays(
    rays: Rays,
    maps: DepthMaps,
    views: Tensor,
    planes: Planes,
    reach: float,
    volume: Tensor,
    depth: Tensor,
    score: Tensor,
) -> None:
    """Write depths and scores of the cells' best planes to the rays (r,) that see them."""
    pictures = rays.pictures
    found, best = peak(volume)
    cell = places(best >= _LEAST_SCORE)
    found, best = pick(cell, found, best)
    height = planes.y[0] + found * planes.step
    x, z = cell // len(planes.z), cell % len(planes.z)
    point = torch.stack([planes.x.index_select(0, x), height, planes.z.index_select(0, z)])
    uv, far = project(pictures, point, views)
    seen = maps.sees(uv, far, views, reach)
    number = torch.arange(len(rays), device=depth.device)
    ray_at = torch.full((pictures.count,), -1, dtype=torch.int64, device=depth.device)
    ray_at.index_copy_(0, rays.pixel, number)
    at = nearest_pixel(pictures, uv, views, maps.stride)
    ray = ray_at.index_select(0, at.reshape(-1))
    use = places(seen.reshape(-1) & (ray >= 0))
    (ray,) = pick(use, ray)
    best, height = pick(use % max(1, len(cell)), best, height)
    view, slope = pick(ray, rays.view, rays.direction[1])
    along = (height - pictures.origin[1].index_select(0, view)) / slope
    # Where two cells share a pixel the better one stays, in whatever order they are written.
    score.scatter_reduce_(0, ray, best, "amax")
    won = places(best == score.index_select(0, ray))
    ray, along = pick(won, ray, along)
    depth.scatter_reduce_(0, ray, along, "amin", include_self=False)
