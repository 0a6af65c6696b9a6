"""Moving the surface to matched depths at once, instead of creeping there by gradient steps.

Each match says that the field should vanish at one point. The correction it asks for is spread
along its stretch of ray, and over the volume by normalised convolution (Knutsson and Westin 1993):
textureless places between matches move with their neighbourhood.
"""

from __future__ import annotations

import torch
from torch import Tensor

from img2mesh.field.grid import blur, locate, look_up
from img2mesh.field.rays import Rays
from img2mesh.field.sampling import cells_of, place_samples
from img2mesh.geometry.grid import Grid

#: Weight of staying, in matches per voxel, where nothing was matched nearby.
_HOLD = 0.003
#: Points along the stretch between the present surface and the match.
_STEPS = 8


def leap(
    field: Tensor,
    box: Grid,
    rays: Rays,
    surface: Tensor,
    depth: Tensor,
    trust: Tensor,
    *,
    spread: float,
) -> Tensor:
    """The field after moving its zero set towards the matches.

    Args:
        field: (nx, ny, nz) signed distances.
        box: its grid.
        rays: (r,) rays.
        surface: (r,) z-depth of the present surface.
        depth: (r,) matched z-depth, NaN where there is none.
        trust: (r,) weight of each match.
        spread: Gaussian radius of the convolution in voxels.
    """
    use = torch.nonzero((trust > 0) & torch.isfinite(depth) & torch.isfinite(surface)).reshape(-1)
    some = rays.take(use)
    origin = some.pictures.origin.T[:, some.view]
    goal = depth[use]
    # The field rises by what it is short of zero at the match.
    rise = -look_up(field, locate(box, origin + goal * some.direction))
    total = torch.zeros(field.numel(), device=field.device)
    weight = torch.zeros(field.numel(), device=field.device)
    for k in range(_STEPS):
        part = k / (_STEPS - 1)
        at = surface[use] * (1 - part) + goal * part
        cells = locate(box, origin + at * some.direction)
        index = cells.nearest
        total.index_add_(0, index, rise * trust[use])
        weight.index_add_(0, index, trust[use])
    smooth = blur(total.reshape(field.shape), spread)
    count = blur(weight.reshape(field.shape), spread)
    return field + smooth / (count + _HOLD)


def cover_masks(
    field: Tensor, box: Grid, rays: Rays, surface: Tensor, *, spread: float, depth: float
) -> Tensor:
    """Grow the shape until the rays inside the masks that miss it just touch it.

    A ray without samples has no gradient: the fit alone would never bring back a thin part, or a
    rim that a leap took too much from. Of all places along such a ray the one nearest to the
    present surface is the least that explains the mask.

    Args:
        field: (nx, ny, nz) signed distances.
        box: its grid.
        rays: (r,) rays.
        surface: (r,) z-depth of the field's surface, inf where the ray meets nothing.
        spread: Gaussian radius in voxels over which each touch is spread.
        depth: how far inside the touched point shall be, world units.
    """
    missed = torch.nonzero((rays.alpha > 0.5) & ~torch.isfinite(surface)).reshape(-1)
    if not len(missed):
        return field
    some = rays.take(missed)
    still = torch.zeros(len(some), device=field.device)
    # 8 voxels: further from everything than that, a mask pixel is taken for an error.
    samples = place_samples(field, box, some, near=8 * box.voxel, behind=0.0, jitter=still)
    value = look_up(field, cells_of(samples.ray, samples.depth, some, box))
    least = torch.full((len(some),), float("inf"), device=field.device)
    least.scatter_reduce_(0, samples.ray, value, "amin")
    chosen = value == least[samples.ray]
    cells = cells_of(samples.ray[chosen], samples.depth[chosen], some, box)
    index, fall = cells.nearest, value[chosen] + depth
    total = torch.zeros(field.numel(), device=field.device).index_add_(0, index, fall)
    weight = torch.zeros(field.numel(), device=field.device)
    weight.index_add_(0, index, torch.ones_like(fall))
    smooth = blur(total.reshape(field.shape), spread)
    count = blur(weight.reshape(field.shape), spread)
    return field - smooth / (count + _HOLD)
