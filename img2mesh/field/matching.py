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
import torch.nn.functional as nn
from torch import Tensor

from img2mesh.field.grid import length
from img2mesh.field.photometric import bilinear, project
from img2mesh.field.rays import Pictures, Rays

#: Half the window's side in lattice pixels.
_RADIUS = 4
#: A window must be seen to this part in the other view.
_SEEN = 0.6
#: Windows with a smaller standard deviation (of RGB) hold nothing to match.
_TEXTURE = 0.015
#: Directions to the two cameras may differ by at most this angle's cosine: 80 degrees.
_ANGLE_COSINE = 0.17


@dataclass(frozen=True)
class Lattice:
    """One view's used pixels as a picture: rows and columns of the stride.

    Attributes:
        view: index of the view.
        ray: (h, w) int64 index into the rays, -1 where there is none.
    """

    view: int
    ray: Tensor


def propose_depths(
    rays: Rays,
    surface: Tensor,
    depth_maps: Tensor,
    *,
    stride: int,
    offsets: Tensor,
    minimum: float,
) -> tuple[Tensor, Tensor]:
    """Search along the rays for the depth at which the views look most alike.

    Args:
        rays: (r,) rays, any order.
        surface: (r,) z-depth of the current surface, inf where there is none.
        depth_maps: (p,) the same at every pixel.
        stride: pixel spacing of the rays.
        offsets: (k,) ascending shifts along the ray, world units.
        minimum: least score (correlation) of a proposal.

    Returns:
        depth: (r,) proposed z-depth, NaN where nothing stands out.
        score: (r,) its correlation, 0 where there is none.
    """
    pictures = rays.pictures
    depth = torch.full((len(rays),), float("nan"), device=surface.device)
    score = torch.zeros(len(rays), device=surface.device)
    for k in range(len(pictures)):
        lattice = _lattice(rays, k, stride)
        with_surface = lattice.ray >= 0
        with_surface &= torch.isfinite(surface[lattice.ray.clamp(min=0)])
        index = lattice.ray[with_surface]
        if not len(index):
            continue
        volume = _scores(rays, index, with_surface, surface[index], depth_maps, k, stride, offsets)
        best, at = _peak(volume, offsets)
        good = best >= minimum
        step = at / length(rays.direction[:, index])
        depth[index[good]] = (surface[index] + step)[good]
        score[index[good]] = best[good]
    return depth, score


def _lattice(rays: Rays, view: int, stride: int) -> Lattice:
    pictures = rays.pictures
    mine = torch.nonzero(rays.view == view).reshape(-1)
    width, height = int(pictures.width[view]), int(pictures.height[view])
    local = rays.pixel[mine] - pictures.start[view]
    row, column = local // width, local % width
    on = (row % stride == 0) & (column % stride == 0)
    mine, row, column = mine[on], row[on] // stride, column[on] // stride
    grid = torch.full(
        ((height + stride - 1) // stride, (width + stride - 1) // stride),
        -1,
        dtype=torch.int64,
        device=mine.device,
    )
    grid[row, column] = mine
    return Lattice(view, grid)


def _scores(
    rays: Rays,
    index: Tensor,
    where: Tensor,
    surface: Tensor,
    depth_maps: Tensor,
    view: int,
    stride: int,
    offsets: Tensor,
) -> Tensor:
    """(k, n) best correlation with any other view at every offset; -1 where none sees it."""
    pictures = rays.pictures
    direction = rays.direction[:, index]
    reach = float(offsets.abs().max())
    step = offsets[:, None] / length(direction)
    points = pictures.origin[view][:, None, None] + direction[:, None] * (surface + step)
    flat = points.reshape(3, -1)
    own = rays.rgb[index]  # (n, 3)
    one = _box(_spread(torch.ones(1, len(index), device=own.device), where))
    mean = _box(_spread(own.T, where)) / one.clamp(min=1e-6)
    square = _box(_spread(own.square().sum(1)[None], where)) / one.clamp(min=1e-6)
    variance = (square[0] - mean.square().sum(0))[where]
    best = torch.full(step.shape, -1.0, device=own.device)
    middle = pictures.origin[view] + (direction * surface).mean(1)
    for other in range(len(pictures)):
        if other == view:
            continue
        a, b = pictures.origin[view] - middle, pictures.origin[other] - middle
        if float((a @ b) / (a.norm() * b.norm())) < _ANGLE_COSINE:
            continue
        seen, rgb = _look(pictures, flat, other, depth_maps, reach, stride)
        seen, rgb = seen.reshape(step.shape), rgb.reshape(*step.shape, 3)
        best = torch.maximum(best, _correlation(own, rgb, seen, where, variance, one[0][where]))
    return best


def _look(
    pictures: Pictures, points: Tensor, other: int, depth_maps: Tensor, reach: float, stride: int
) -> tuple[Tensor, Tensor]:
    """Whether another view may see points (3, m), and its colours there."""
    which = torch.full((points.shape[1],), other, device=points.device)
    uv, z = project(pictures, points, which)
    width, height = int(pictures.width[other]), int(pictures.height[other])
    inside = (uv[0] >= 0.5) & (uv[0] <= width - 0.5) & (uv[1] >= 0.5) & (uv[1] <= height - 0.5)
    column = ((uv[0] - 0.5) / stride).round().clamp(0, (width - 1) // stride).long() * stride
    row = ((uv[1] - 0.5) / stride).round().clamp(0, (height - 1) // stride).long() * stride
    surface = depth_maps[pictures.start[other] + row * width + column]
    # The true surface lies up to the search range behind the current one.
    seen = inside & torch.isfinite(surface) & (z < surface + reach)
    return seen.float(), bilinear(pictures, uv, which)


def _correlation(
    own: Tensor, rgb: Tensor, seen: Tensor, where: Tensor, variance: Tensor, count: Tensor
) -> Tensor:
    """(k, n) normalised cross-correlation of windows, -1 where too little is seen."""
    rgb = rgb * seen[..., None]
    mine = own * seen[..., None]
    channels = torch.cat(
        [
            seen[:, None],
            rgb.permute(0, 2, 1),
            mine.permute(0, 2, 1),
            rgb.square().sum(2)[:, None],
            mine.square().sum(2)[:, None],
            (rgb * mine).sum(2)[:, None],
        ],
        dim=1,
    )  # (k, 10, n)
    k, c, n = channels.shape
    sums = _box(_spread(channels.reshape(k * c, n), where))[:, where].reshape(k, c, n)
    weight = sums[:, 0].clamp(min=1e-6)
    a, b = sums[:, 1:4] / weight[:, None], sums[:, 4:7] / weight[:, None]
    var_a = sums[:, 7] / weight - a.square().sum(1)
    var_b = sums[:, 8] / weight - b.square().sum(1)
    cov = sums[:, 9] / weight - (a * b).sum(1)
    floor = _TEXTURE**2
    score = cov / (var_a.clamp(min=floor) * var_b.clamp(min=floor)).sqrt()
    usable = (sums[:, 0] > _SEEN * count) & (variance > floor)
    return torch.where(usable, score, -1.0)


def _spread(values: Tensor, where: Tensor) -> Tensor:
    """(c, n) values of pixels as (c, h, w) pictures, 0 elsewhere."""
    out = torch.zeros((len(values), *where.shape), device=values.device)
    out[:, where] = values
    return out


def _box(pictures: Tensor) -> Tensor:
    """Box mean of (c, h, w) over windows, zeros beyond the border."""
    side = 2 * _RADIUS + 1
    out = nn.avg_pool2d(pictures[None], (side, 1), 1, (_RADIUS, 0))
    return nn.avg_pool2d(out, (1, side), 1, (0, _RADIUS))[0]


def _peak(volume: Tensor, offsets: Tensor) -> tuple[Tensor, Tensor]:
    """Best score (n,) and its offset, refined by a parabola through its neighbours."""
    best, k = volume.max(0)
    inner = k.clamp(1, len(offsets) - 2)
    below, at, above = (volume.gather(0, (inner + d)[None])[0] for d in (-1, 0, 1))
    bend = below - 2 * at + above
    shift = torch.where(bend < -1e-6, 0.5 * (below - above) / bend, 0.0).clamp(-0.5, 0.5)
    # At the end of the range, or next to an unseen depth, there is no peak to speak of.
    honest = (inner == k) & (below > -1) & (above > -1)
    spacing = offsets[1] - offsets[0]
    return torch.where(honest, best, 0.0), offsets[inner] + shift * spacing


def count_agreements(rays: Rays, depth: Tensor, *, stride: int, tolerance: float) -> Tensor:
    """(r,) int64: how many other views propose the same surface point.

    Args:
        rays: (r,) rays.
        depth: (r,) proposed z-depth, NaN where there is none.
        stride: pixel spacing of the proposals.
        tolerance: difference in z-depth that still counts as the same point, world units.
    """
    pictures = rays.pictures
    known = torch.nonzero(torch.isfinite(depth)).reshape(-1)
    maps = torch.full((len(pictures.rgb),), float("nan"), device=depth.device)
    maps[rays.pixel[known]] = depth[known]
    point = pictures.origin.T[:, rays.view[known]] + depth[known] * rays.direction[:, known]
    agreements = torch.zeros(len(rays), dtype=torch.int64, device=depth.device)
    for other in range(len(pictures)):
        uv, z = project(pictures, point, torch.full_like(known, other))
        width, height = int(pictures.width[other]), int(pictures.height[other])
        column = ((uv[0] - 0.5) / stride).round().clamp(0, (width - 1) // stride).long() * stride
        row = ((uv[1] - 0.5) / stride).round().clamp(0, (height - 1) // stride).long() * stride
        there = maps[pictures.start[other] + row * width + column]
        same = ((z - there).abs() < tolerance) & (rays.view[known] != other)
        agreements[known] += same
    return agreements
