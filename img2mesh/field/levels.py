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

from img2mesh.field.grid import locate, look_up
from img2mesh.field.matching import box_mean, correlation, peak, pixels_of, visible
from img2mesh.field.parallel import each
from img2mesh.field.photometric import bilinear, project
from img2mesh.field.rays import Rays
from img2mesh.geometry.grid import Grid

#: Half the window's side, part of the box's longest side.
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
    def through(cls, box: Grid, planes: int, device: torch.device) -> Planes:
        """So many planes along the longest side of a box, and cells along a plane's."""
        size = box.voxel * (np.array(box.shape) - 1)
        step = float(size.max()) / planes
        axes = [
            float(low) + step * torch.arange(int(s / step) + 1, device=device)
            for low, s in zip(box.origin, size, strict=True)
        ]
        return cls(axes[0], axes[1], axes[2], step, round(_RADIUS * planes))


def propose_levels(
    rays: Rays,
    field: Tensor,
    box: Grid,
    depth_maps: Tensor,
    *,
    planes: int,
    stride: int,
    reach: float,
) -> tuple[Tensor, Tensor]:
    """Depths at which rays meet horizontal planes that the views agree on.

    Args:
        rays: (r,) rays.
        field: (nx, ny, nz) signed distances of the present shape; planes are tried inside it.
        box: the field's grid.
        depth_maps: (p,) z-depth of the present surface at every pixel, inf = nothing.
        planes: how many along the longest side of the box.
        stride: pixel spacing of the rays.
        reach: how far behind the present surface a plane may lie, world units.

    Returns:
        depth: (r,) z-depth, NaN where no plane was found.
        score: (r,) correlation in [0, 1], 0 where there is none.
    """
    pictures = rays.pictures
    lattice = Planes.through(box, planes, field.device)
    depth = torch.full((len(rays),), float("nan"), device=field.device)
    score = torch.zeros(len(rays), device=field.device)
    ray_at = torch.full((len(pictures.rgb),), -1, dtype=torch.int64, device=field.device)
    ray_at[rays.pixel] = torch.arange(len(rays), device=field.device)
    heights = pictures.origin[:, 1]
    middle = float(lattice.y.mean())
    for above in (True, False):
        views = torch.nonzero((heights > middle) == above).reshape(-1).tolist()
        if len(views) < 2:
            continue

        def on_plane(level: int, views: Sequence[int] = views) -> Tensor:
            return _level(rays, views, lattice, level, field, box, depth_maps, stride, reach)

        volume = torch.stack(each(on_plane, range(len(lattice.y)), field.device))  # (ny, nx, nz)
        found, best = peak(volume.reshape(len(lattice.y), -1))
        cell = torch.nonzero(best >= _LEAST_SCORE).reshape(-1)
        # Ascending scores: where two cells share a pixel, the last and best one stays.
        cell = cell[torch.argsort(best[cell], stable=True)]
        height = lattice.y[0] + found[cell] * lattice.step
        point = torch.stack(
            [lattice.x[cell // len(lattice.z)], height, lattice.z[cell % len(lattice.z)]]
        )
        for view in views:
            seen = visible(pictures, point, view, depth_maps, reach, stride)
            uv, _ = project(pictures, point, torch.full_like(cell, view))
            ray = ray_at[pixels_of(pictures, uv, view, stride)]
            use = torch.nonzero(seen & (ray >= 0)).reshape(-1)
            chosen = ray[use]
            depth[chosen] = (height[use] - heights[view]) / rays.direction[1, chosen]
            score[chosen] = best[cell[use]]
    return depth, score


def _level(
    rays: Rays,
    views: Sequence[int],
    planes: Planes,
    level: int,
    field: Tensor,
    box: Grid,
    depth_maps: Tensor,
    stride: int,
    reach: float,
) -> Tensor:
    """(nx, nz) mean correlation between the views on one plane; -1 where fewer than two see it."""
    pictures = rays.pictures
    shape = (len(planes.x), len(planes.z))
    x = planes.x[:, None].expand(shape).reshape(-1)
    z = planes.z[None, :].expand(shape).reshape(-1)
    points = torch.stack([x, planes.y[level].expand(len(x)), z])
    inside = look_up(field, locate(box, points)) < planes.step
    score = torch.full((len(x),), -1.0, device=field.device)
    points = points[:, inside]
    drawn = []
    for view in views:
        if not points.shape[1]:
            break
        away = pictures.origin[view][:, None] - points
        seen = visible(pictures, points, view, depth_maps, reach, stride)
        seen &= away[1].square() > _SLANT**2 * away.square().sum(0)
        if bool(seen.any()):
            which = torch.full((points.shape[1],), view, device=field.device)
            uv, _ = project(pictures, points, which)
            drawn.append((seen.float(), bilinear(pictures, uv, which)))
    if len(drawn) >= 2:
        where = inside.reshape(shape)
        full = box_mean(where.float()[None], planes.radius)[0][where]
        total, count = torch.zeros_like(full), torch.zeros_like(full)
        for a in range(len(drawn)):
            for b in range(a):
                pair = (drawn[a][0] * drawn[b][0])[None]
                some = correlation(
                    drawn[a][1], drawn[b][1][None], pair, where, full, radius=planes.radius
                )[0]
                total += torch.where(some > -1, some, 0.0)
                count += some > -1
        mean = total / count.clamp(min=1) * torch.where(count == 1, _TWO_VIEWS, 1.0)
        score[inside] = torch.where(count > 0, mean, -1.0)
    return score.reshape(shape)
