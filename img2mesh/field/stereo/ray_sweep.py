"""Where photo-consistency would rather have the surface: a search along the rays.

The photometric loss only feels its way downhill, and a visual hull may lie a tenth of the object
too far out: whole flanks of a box bulge. Here small windows of every view are compared with its
neighbours at many depths around the current surface (plane sweep, Collins 1996, but along the
current surface instead of planes), scored by normalised cross-correlation, which shading does not
disturb. Depths that stand out, and that two views agree on, become depth supervision for the fit.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from img2mesh.field.grid import length
from img2mesh.field.lookup import DepthMaps, bilinear, nearest_pixel, project
from img2mesh.field.parallel import each
from img2mesh.field.rays import Rays
from img2mesh.field.stereo.ncc import box_mean, correlation, distinctness, peak

#: Half the window's side in lattice pixels.
_RADIUS = 4
#: Cosine of the largest angle between the directions to two cameras that are compared: 80 degrees.
_ANGLE_COSINE = 0.17
#: Depths tried at once: bounds the memory.
_DEPTHS = 16


@dataclass(frozen=True)
class Matches:
    """Depths at which the views look most alike.

    Attributes:
        depth: (r,) z-depth, NaN where nothing stands out.
        score: (r,) its correlation, 0 where there is none.
        distinct: (r,) in [0, 1], how far it stands out from other depths of its ray.
    """

    depth: Tensor
    score: Tensor
    distinct: Tensor


def match_along_rays(
    rays: Rays,
    surface: Tensor,
    maps: DepthMaps,
    *,
    outward: float,
    inward: float,
    spacing: float,
    minimum: float,
) -> Matches:
    """Search along the rays for the depth at which the views look most alike.

    Args:
        rays: (r,) rays, any order.
        surface: (r,) z-depth of the current surface, inf where there is none.
        maps: the same at every pixel; their stride is that of the compared windows.
        outward, inward: how far to search before and behind the surface, world units.
        spacing: between shifts.
        minimum: least score (correlation) of a match.
    """
    zero = torch.zeros(len(rays), device=surface.device)
    found = Matches(torch.full_like(zero, float("nan")), zero, torch.zeros_like(zero))
    shifts = torch.arange(-outward, inward + spacing / 2, spacing, device=surface.device)
    reach = max(outward, inward)

    def match(view: int) -> None:
        lattice = _lattice(rays, view, maps.stride)
        where = lattice >= 0
        where &= torch.isfinite(surface[lattice.clamp(min=0)])
        ray = lattice[where]
        if not len(ray):
            return
        slope = length(rays.direction[:, ray])
        depth = surface[ray] + shifts[:, None] / slope
        scores = _scores(rays.take(ray), surface[ray], depth, view, where, maps, reach)
        at, best = peak(scores)
        at = surface[ray] + (shifts[0] + at * spacing) / slope
        good = best >= minimum
        # Every view writes its own rays only.
        found.depth[ray[good]] = at[good]
        found.score[ray[good]] = best[good]
        found.distinct[ray[good]] = distinctness(scores)[good]

    each(match, range(len(rays.pictures)), surface.device)
    return found


def _lattice(rays: Rays, view: int, stride: int) -> Tensor:
    """(h, w) int64 index of the ray through every stride-th pixel of a view, -1 where none is."""
    pictures = rays.pictures
    mine = torch.nonzero(rays.view == view).reshape(-1)
    width, height = int(pictures.width[view]), int(pictures.height[view])
    local = rays.pixel[mine] - pictures.start[view]
    row, column = local // width, local % width
    on = (row % stride == 0) & (column % stride == 0)
    mine, row, column = mine[on], row[on] // stride, column[on] // stride
    shape = ((height + stride - 1) // stride, (width + stride - 1) // stride)
    grid = torch.full(shape, -1, dtype=torch.int64, device=mine.device)
    grid[row, column] = mine
    if not len(mine):
        return grid
    # Only the object's own rectangle: the box filters below are the most expensive part.
    return grid[row.min() : row.max() + 1, column.min() : column.max() + 1]


def _scores(
    rays: Rays,
    surface: Tensor,
    depth: Tensor,
    view: int,
    where: Tensor,
    maps: DepthMaps,
    reach: float,
) -> Tensor:
    """Best correlation of one view's windows with any other view, at every depth.

    Args:
        rays: (n,) rays of the view.
        surface: (n,) z-depth of the current surface.
        depth: (k, n) z-depths to try.
        view: the view's number.
        where: (h, w) bool, true at the rays' pixels of the lattice, in the same order.
        maps: what hides what.
        reach: search range, world units.

    Returns:
        (k, n), -1 where no other view sees the place.
    """
    pictures = rays.pictures
    full = box_mean(where.float()[None], _RADIUS)[0][where]
    best = torch.full_like(depth, -1.0)
    middle = pictures.origin[view] + (rays.direction * surface).mean(1)
    for other in range(len(pictures)):
        a, b = pictures.origin[view] - middle, pictures.origin[other] - middle
        if other == view or float((a @ b) / (a.norm() * b.norm())) < _ANGLE_COSINE:
            continue
        for some in torch.split(torch.arange(len(depth), device=depth.device), _DEPTHS):
            at = depth[some]
            points = pictures.origin[view][:, None, None] + rays.direction[:, None] * at
            # The true surface lies up to the search range behind the present one.
            seen, uv = maps.visible(points.reshape(3, -1), other, reach)
            score = correlation(
                rays.rgb,
                bilinear(pictures, uv, other).reshape(*at.shape, 3),
                seen.reshape(at.shape).float(),
                where,
                full,
                radius=_RADIUS,
            )
            best[some] = torch.maximum(best[some], score)
    return best


def count_agreements(rays: Rays, depth: Tensor, *, stride: int, tolerance: float) -> Tensor:
    """(r,) int64: how many other views propose the same surface point.

    Args:
        rays: (r,) rays.
        depth: (r,) proposed z-depth, NaN where there is none.
        stride: pixel spacing of the proposals.
        tolerance: difference in z-depth that still counts as the same point, world units.
    """
    known = torch.nonzero(torch.isfinite(depth)).reshape(-1)
    proposed = rays.as_map(depth, float("nan"))
    points = rays.points(depth[known], known)
    agreements = torch.zeros(len(rays), dtype=torch.int64, device=depth.device)
    for other in range(len(rays.pictures)):
        uv, z = project(rays.pictures, points, other)
        there = proposed[nearest_pixel(rays.pictures, uv, other, stride)]
        agreements[known] += ((z - there).abs() < tolerance) & (rays.view[known] != other)
    return agreements
