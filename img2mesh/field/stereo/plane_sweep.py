"""Matching on horizontal planes, seen as from above: flat tops and undersides.

Things stand on something, so flat tops are common; cameras around an object see them at a steep
slant and from opposite sides, where windows along a bulging hull never match. Here the views are
drawn onto horizontal planes of many heights (a plane sweep, Collins 1996) and compared there, where
all of them show the same thing at the same size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from img2mesh.field.grid import Sdf
from img2mesh.field.lookup import DepthMaps, bilinear, nearest_pixel
from img2mesh.field.parallel import each
from img2mesh.field.rays import Rays
from img2mesh.field.stereo.ncc import box_mean, correlation, peak
from img2mesh.geometry.grid import Grid

#: Half the window's side, part of the grid's longest side.
_RADIUS = 0.04
#: Least sine of the elevation at which a camera sees a plane: below, it has too few rows.
_SLANT = 0.12
#: Least score. A plane must fit better than a shifted surface (.5): it is only a guess.
_LEAST_SCORE = 0.7
#: Pairs of views compared at once: bounds the memory.
_PAIRS = 16
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

    def points(self, number: int) -> Tensor:
        """(3, nx * nz) the cells' centres on one plane."""
        shape = (len(self.x), len(self.z))
        x = self.x[:, None].expand(shape).reshape(-1)
        z = self.z[None, :].expand(shape).reshape(-1)
        return torch.stack([x, self.y[number].expand(len(x)), z])


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
    pictures = rays.pictures
    lattice = Planes.through(sdf.grid, planes, sdf.device)
    depth = torch.full((len(rays),), float("nan"), device=sdf.device)
    score = torch.zeros(len(rays), device=sdf.device)
    ray_at = torch.full((len(pictures.rgb),), -1, dtype=torch.int64, device=sdf.device)
    ray_at[rays.pixel] = torch.arange(len(rays), device=sdf.device)
    heights = pictures.origin[:, 1]
    above = heights > float(lattice.y.mean())
    groups = [torch.nonzero(side).reshape(-1).tolist() for side in (above, ~above)]
    groups = [views for views in groups if len(views) > 1]

    def on_plane(number: int) -> Tensor:
        points = lattice.points(number)
        inside = sdf.at(points) < lattice.step
        scores = [_agreement(maps, views, lattice, points, inside, reach) for views in groups]
        return torch.stack(scores) if groups else torch.empty((0, len(inside)))

    volume = torch.stack(each(on_plane, range(len(lattice.y)), sdf.device), dim=1)
    for views, scores in zip(groups, volume, strict=True):
        found, best = peak(scores)
        cell = torch.nonzero(best >= _LEAST_SCORE).reshape(-1)
        # Ascending scores: where two cells share a pixel, the last and best one stays.
        cell = cell[torch.argsort(best[cell], stable=True)]
        height = lattice.y[0] + found[cell] * lattice.step
        point = torch.stack(
            [lattice.x[cell // len(lattice.z)], height, lattice.z[cell % len(lattice.z)]]
        )
        for view in views:
            seen, uv = maps.visible(point, view, reach)
            ray = ray_at[nearest_pixel(pictures, uv, view, maps.stride)]
            use = torch.nonzero(seen & (ray >= 0)).reshape(-1)
            chosen = ray[use]
            depth[chosen] = (height[use] - heights[view]) / rays.direction[1, chosen]
            score[chosen] = best[cell[use]]
    return depth, score


def _agreement(
    maps: DepthMaps,
    views: Sequence[int],
    planes: Planes,
    points: Tensor,
    inside: Tensor,
    reach: float,
) -> Tensor:
    """(nx * nz,) mean correlation of the views on one plane; -1 where fewer than two see it."""
    pictures = maps.pictures
    score = torch.full((len(inside),), -1.0, device=points.device)
    points = points[:, inside]
    drawn = []
    for view in views if points.shape[1] else ():
        away = pictures.origin[view][:, None] - points
        seen, uv = maps.visible(points, view, reach)
        seen &= away[1].square() > _SLANT**2 * away.square().sum(0)
        if bool(seen.any()):
            drawn.append((seen.float(), bilinear(pictures, uv, view)))
    pairs = [(a, b) for a in range(len(drawn)) for b in range(a)]
    if not pairs:
        return score
    where = _cropped(inside.reshape(len(planes.x), len(planes.z)))
    full = box_mean(where.float()[None], planes.radius)[0][where]
    seen, rgb = (torch.stack(parts) for parts in zip(*drawn, strict=True))
    total, count = torch.zeros_like(full), torch.zeros_like(full)
    for first, second in torch.split(torch.tensor(pairs, device=points.device).T, _PAIRS, dim=1):
        both = seen[first] * seen[second]
        for one in correlation(rgb[first], rgb[second], both, where, full, radius=planes.radius):
            total += torch.where(one > -1, one, 0.0)
            count += one > -1
    mean = total / count.clamp(min=1) * torch.where(count == 1, _TWO_VIEWS, 1.0)
    score[inside] = torch.where(count > 0, mean, -1.0)
    return score


def _cropped(where: Tensor) -> Tensor:
    """The rectangle of a picture (h, w) that holds all that is true."""
    row, column = torch.nonzero(where, as_tuple=True)
    return where[row.min() : row.max() + 1, column.min() : column.max() + 1]
