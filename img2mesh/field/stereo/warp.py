"""Moving the surface to matched depths at once, instead of creeping there by gradient steps.

Each match says that the field should vanish at one point. The correction it asks for is spread
along its stretch of ray, and over the volume by normalised convolution (Knutsson and Westin 1993):
textureless places between matches move with their neighbourhood.
"""

from __future__ import annotations

import torch
from torch import Tensor

from img2mesh.field.gather import pick, places
from img2mesh.field.grid import Sdf, blur, locate, look_up
from img2mesh.field.march import place_samples
from img2mesh.field.rays import Rays
from img2mesh.field.samples import Shell

#: Weight of staying, in matches per voxel, where nothing was matched nearby.
_HOLD = 0.003
#: Points along the stretch between the present surface and the match.
_STEPS = 8
#: A mask pixel further from the surface than so many voxels is taken for an error.
_FARTHEST = 8


def warp_to_matches(
    sdf: Sdf, rays: Rays, surface: Tensor, depth: Tensor, weight: Tensor, *, spread: float
) -> Tensor:
    """The values (nx, ny, nz) after moving their zero set towards the matches.

    Args:
        sdf: the surface.
        rays: (r,) rays.
        surface: (r,) z-depth of the present surface.
        depth: (r,) matched z-depth, NaN where there is none.
        weight: (r,) of each match.
        spread: Gaussian radius of the convolution in voxels.
    """
    use = places((weight > 0) & torch.isfinite(depth) & torch.isfinite(surface))
    rays = rays.take(use)
    surface, depth, weight = pick(use, surface, depth, weight)
    # The field rises by what it is short of zero at the match.
    rise = -sdf.at(rays.points(depth))
    convolution = _Convolution(sdf)
    for k in range(_STEPS):
        part = k / (_STEPS - 1)
        at = surface * (1 - part) + depth * part
        convolution.add(locate(sdf.grid, rays.points(at)).nearest, rise * weight, weight)
    return sdf.values + convolution.smooth(spread)


def cover_silhouettes(
    sdf: Sdf, rays: Rays, surface: Tensor, *, spread: float, depth: float
) -> Tensor:
    """The values (nx, ny, nz) after growing until rays inside the masks that miss just touch.

    A ray without samples has no gradient: the fit alone would never bring back a thin part, or a
    rim that a warp took too much from. Of all places along such a ray the one nearest to the
    present surface is the least that explains the mask.

    Args:
        sdf: the surface.
        rays: (r,) rays.
        surface: (r,) its z-depth, inf where the ray meets nothing.
        spread: Gaussian radius in voxels over which each touch is spread.
        depth: how far inside the touched point shall be, world units.
    """
    missed = places((rays.alpha > 0.5) & ~torch.isfinite(surface))
    if not len(missed):
        return sdf.values
    rays = rays.take(missed)
    samples = place_samples(sdf, rays, Shell(near=_FARTHEST * sdf.voxel, behind=0.0))
    cells = locate(sdf.grid, rays.points(samples.depth, samples.ray))
    value = look_up(sdf.values, cells)
    least = torch.full((len(rays),), float("inf"), device=sdf.device)
    least.scatter_reduce_(0, samples.ray, value, "amin")
    chosen = places(value == least.index_select(0, samples.ray))
    nearest, value = pick(chosen, cells.nearest, value)
    convolution = _Convolution(sdf)
    convolution.add(nearest, value + depth, torch.ones_like(value))
    return sdf.values - convolution.smooth(spread)


class _Convolution:
    """Weighted changes gathered at grid points, then smoothed by normalised convolution."""

    def __init__(self, sdf: Sdf) -> None:
        self.shape = sdf.grid.shape
        self.total = torch.zeros(sdf.values.numel(), device=sdf.device)
        self.weight = torch.zeros(sdf.values.numel(), device=sdf.device)

    def add(self, index: Tensor, weighted: Tensor, weight: Tensor) -> None:
        """Changes (n,) times their weights (n,), to points by flat index (n,)."""
        self.total.index_add_(0, index, weighted)
        self.weight.index_add_(0, index, weight)

    def smooth(self, spread: float) -> Tensor:
        """(nx, ny, nz) the mean change within ``spread`` voxels; towards 0 where nothing is."""
        total = blur(self.total.reshape(self.shape), spread)
        return total / (blur(self.weight.reshape(self.shape), spread) + _HOLD)
