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

from img2mesh.field.gather import pick, places
from img2mesh.field.grid import length
from img2mesh.field.lookup import DepthMaps, bilinear, nearest_pixel, project
from img2mesh.field.parallel import each, split
from img2mesh.field.rays import Rays
from img2mesh.field.stereo.ncc import CHANNELS, box_sum, correlation, distinctness, peak

#: Half the window's side in lattice pixels.
_RADIUS = 4
#: Cosine of the largest angle between the directions to two cameras that are compared: 80 degrees.
_ANGLE_COSINE = 0.17


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
        lattice = Lattice.of(rays, surface, view, maps.stride)
        if not len(lattice.ray):
            return
        here, own = rays.take(lattice.ray), surface.index_select(0, lattice.ray)
        slope = length(here.direction)
        depth = own + shifts[:, None] / slope
        scores = _scores(here, own, depth, view, lattice, maps, reach)
        at, best = peak(scores)
        good = places(best >= minimum)
        distinct = distinctness(scores.index_select(1, good))
        ray, own, at, best, slope = pick(good, lattice.ray, own, at, best, slope)
        # Every view writes its own rays only.
        found.depth.index_copy_(0, ray, own + (shifts[0] + at * spacing) / slope)
        found.score.index_copy_(0, ray, best)
        found.distinct.index_copy_(0, ray, distinct)

    each(match, range(len(rays.pictures)), surface.device)
    return found


@dataclass(frozen=True)
class Lattice:
    """Every stride-th pixel of a view, cropped to the rectangle that holds its rays.

    Attributes:
        height, width: of the rectangle; N is their product.
        ray: (n,) int64 the rays that meet the surface.
        cell: (n,) int64 flat index of each in the rectangle.
    """

    height: int
    width: int
    ray: Tensor
    cell: Tensor

    @classmethod
    def of(cls, rays: Rays, surface: Tensor, view: int, stride: int) -> Lattice:
        """The lattice of one view; ``surface`` (r,) is inf where a ray meets nothing."""
        mine = places((rays.view == view) & torch.isfinite(surface))
        width = rays.pictures.sizes[view][0]
        local = rays.pixel.index_select(0, mine) - rays.pictures.start[view]
        row, column = local // width, local % width
        ray, row, column = pick(
            places((row % stride == 0) & (column % stride == 0)), mine, row, column
        )
        if not len(ray):
            return cls(0, 0, ray, ray)
        row, column = row // stride, column // stride
        low, high, left, right = torch.stack(
            [row.min(), row.max(), column.min(), column.max()]
        ).tolist()
        width = right - left + 1
        return cls(high - low + 1, width, ray, (row - low) * width + column - left)

    def spread(self, values: Tensor) -> Tensor:
        """(..., height, width) values (..., n) of the rays at their cells, 0 elsewhere."""
        flat = values.reshape(-1, len(self.cell))
        out = torch.zeros((len(flat), self.height * self.width), device=values.device)
        out.scatter_(1, self.cell.expand(len(flat), -1), flat)
        return out.reshape(*values.shape[:-1], self.height, self.width)


def _scores(
    rays: Rays,
    surface: Tensor,
    depth: Tensor,
    view: int,
    lattice: Lattice,
    maps: DepthMaps,
    reach: float,
) -> Tensor:
    """Best correlation of one view's windows with any other view, at every depth.

    Args:
        rays: (n,) rays of the view.
        surface: (n,) z-depth of the current surface.
        depth: (k, n) z-depths to try.
        view: the view's number.
        lattice: where the rays are.
        maps: what hides what.
        reach: search range, world units.

    Returns:
        (k, n), -1 where no other view sees the place.
    """
    pictures = rays.pictures
    # The directions from the middle of what is seen to the cameras.
    middle = pictures.origin[:, view] + (rays.direction * surface).mean(1)
    towards = pictures.origin - middle[:, None]
    towards = towards / length(towards)
    close = (towards * towards[:, view, None]).sum(0) >= _ANGLE_COSINE
    close[view] = False
    others = places(close)[:, None]
    best = torch.full_like(depth, -1.0)
    if not len(others):
        return best
    own = lattice.spread(rays.rgb)
    full = box_sum(lattice.spread(torch.ones_like(surface))[None], _RADIUS)[0]
    size = CHANNELS * len(others) * full.numel()
    for begin, end in split(len(depth), size, depth.device):
        at = depth[begin:end]
        points = pictures.origin[:, view, None, None] + rays.direction[:, None] * at
        uv, z = project(pictures, points.reshape(3, -1), others)
        # The true surface lies up to the search range behind the present one.
        seen = lattice.spread(maps.sees(uv, z, others, reach).float().reshape(-1, *surface.shape))
        rgb, _, _ = bilinear(pictures, uv, others)
        rgb = lattice.spread(rgb.reshape(3, -1, len(surface)))
        scores = correlation(own, rgb, seen, full, radius=_RADIUS)
        scores = scores.reshape(len(others), end - begin, -1).amax(0)
        best[begin:end] = scores.index_select(1, lattice.cell)
    return best


def count_agreements(rays: Rays, depth: Tensor, *, stride: int, tolerance: float) -> Tensor:
    """(r,) int64: how many other views propose the same surface point.

    Args:
        rays: (r,) rays.
        depth: (r,) proposed z-depth, NaN where there is none.
        stride: pixel spacing of the proposals.
        tolerance: difference in z-depth that still counts as the same point, world units.
    """
    pictures = rays.pictures
    known = places(torch.isfinite(depth))
    proposed = rays.as_map(depth, float("nan"))
    view = torch.arange(len(pictures), device=depth.device)[:, None]
    home, near = pick(known, rays.view, depth)
    uv, z = project(pictures, rays.points(near, known), view)
    at = nearest_pixel(pictures, uv, view, stride)
    there = proposed.index_select(0, at.reshape(-1)).reshape(at.shape)
    alike = ((z - there).abs() < tolerance) & (home != view)
    agreements = torch.zeros(len(rays), dtype=torch.int64, device=depth.device)
    return agreements.index_copy_(0, known, alike.sum(0))
