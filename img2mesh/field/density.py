"""What the pictures show to be empty: density and colour on a coarse grid, volume rendered.

A signed distance only moves its surface downhill, so from a hull it never finds the gap behind a
rail or the seat between two arms: in between, every position looks worse. A density has no surface
to move. Each grid point absorbs some light and has a colour, all views pull on all points along
their rays at once (Mildenhall et al. 2020, here without a network), and what no view needs clears
up. The result is too foamy for a mesh, but says where the views can see through: the fit starts
from the hull carved by it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import softplus

from img2mesh.core.arrays import F32
from img2mesh.field.grid import Sdf, length, locate, look_up, look_up_channels
from img2mesh.field.pictures import Observation
from img2mesh.field.rays import Rays
from img2mesh.field.samples import clip_to_grid
from img2mesh.geometry.grid import Grid
from img2mesh.imaging.fill import from_nearest

#: Rays a step. Depths are as good as with four times as many (four objects, within .01 of area).
_RAYS = 1024
#: Spacing of samples along a ray, voxels. Again as good as 1.
_SPACING = 1.5
#: Adam's rate for density before softplus, and how many times slower colours move.
_RATE, _SLOWER = 0.3, 3.0
#: Adam's decays (Kingma and Ba 2015). Importing torch.optim costs as much as half the fit below.
_DECAYS, _TINY = (0.9, 0.999), 1e-8
#: Where density starts before softplus: .7 % of the light a voxel, so that all of a ray is felt.
_CLEAR = -5.0
#: Weight of the mean absolute difference of neighbouring densities (docs/reconstruction.md).
_SMOOTH = 1e-2
#: The surface is where this optical depth lies in front. Less carves noise, ln 2 leaves foam.
_SURFACE = 0.58
#: Side of the median filter on the depths, lattice pixels.
_MEDIAN = 5


def carve_by_density(
    observations: Sequence[Observation],
    rays: Rays,
    hull: Sdf,
    *,
    stride: int,
    steps: int,
    progress: Callable[[float], None],
) -> tuple[Observation, ...]:
    """The observations with the depth that they show together, for a first carving only.

    Args:
        observations: posed pictures.
        rays: (r,) their rays.
        hull: the density is only inside.
        stride: pixel spacing of the rays.
        steps: optimisation steps of :data:`_RAYS` rays each.
        progress: called with the fraction done.
    """
    inside = rays.take(torch.nonzero(rays.alpha > 0.5).reshape(-1))
    samples = _inside(inside, hull)
    if not len(samples.depth):  # masks so far apart that no ray meets the hull
        return tuple(observations)
    density = fit_density(inside, samples, hull.grid, steps, progress)
    depth = inside.as_map(_surface(inside, samples, density, hull.grid), float("nan"))
    out, flat = [], depth.cpu().numpy()
    for seen in observations:
        alpha = seen.view.alpha
        pixels, flat = flat[: alpha.size].reshape(alpha.shape), flat[alpha.size :]
        out.append(replace(seen, depth=_fill(pixels, alpha, stride)))
    return tuple(out)


@dataclass(frozen=True)
class _HullSamples:
    """Evenly spaced samples of all rays, packed ray after ray: those inside the hull.

    Attributes:
        depth: (n,) z-depth.
        start, count: (r,) int64 first sample and number of samples of each ray.
        step: (r,) spacing in z-depth.
    """

    depth: Tensor
    start: Tensor
    count: Tensor
    step: Tensor

    def of(self, rays: Tensor) -> tuple[Tensor, Tensor]:
        """Samples of some rays (k,): their numbers in that list (m,) and their indices (m,)."""
        count = self.count[rays]
        ray = torch.repeat_interleave(torch.arange(len(rays), device=rays.device), count)
        first = self.start[rays] - (count.cumsum(0) - count)
        return ray, first[ray] + torch.arange(len(ray), device=rays.device)


def _inside(rays: Rays, hull: Sdf) -> _HullSamples:
    enter, leave = clip_to_grid(hull.grid, rays)
    step = _SPACING * hull.voxel / length(rays.direction)
    number = ((leave - enter) / step).ceil().clamp(min=0).long()
    depths, counts = [], []
    for chunk in torch.split(torch.arange(len(rays), device=hull.device), 8192):
        most = int(number[chunk].max()) if len(chunk) else 0
        k = torch.arange(most, device=hull.device)
        depth = enter[chunk, None] + (k + 0.5) * step[chunk, None]
        ray, column = torch.nonzero(k < number[chunk, None], as_tuple=True)
        depth = depth[ray, column]
        keep = hull.at(rays.points(depth, chunk[ray])) < 0.5 * hull.voxel
        depths.append(depth[keep])
        counts.append(torch.bincount(ray[keep], minlength=len(chunk)))
    count = torch.cat(counts)
    return _HullSamples(torch.cat(depths), count.cumsum(0) - count, count, step)


def fit_density(
    rays: Rays, samples: _HullSamples, grid: Grid, steps: int, progress: Callable[[float], None]
) -> Tensor:
    """(nx, ny, nz) optical depth of a voxel, fitted to the pictures by Adam.

    Rays end on a random background, on which the pictures are put too: with a fixed one, a haze of
    its colour would be a solution.
    """
    rng = np.random.default_rng(0)
    device = rays.direction.device
    table = torch.zeros((int(np.prod(grid.shape)), 4), device=device)
    table[:, 0] = _CLEAR
    mean, square = torch.zeros_like(table), torch.zeros_like(table)
    order, cursor = torch.empty(0, dtype=torch.int64, device=device), 0
    for step in range(1, steps + 1):
        if cursor + _RAYS > len(order):
            order, cursor = torch.as_tensor(rng.permutation(len(rays)), device=device), 0
        some = order[cursor : cursor + _RAYS]
        cursor += _RAYS
        shift = torch.as_tensor(rng.random(len(some), dtype=np.float32) - 0.5, device=device)
        behind = torch.as_tensor(rng.random((len(some), 3), dtype=np.float32), device=device)
        rendered = _render(table.requires_grad_(True), rays, samples, some, shift, behind, grid)
        loss = (rendered - rays.rgb[some]).square().mean()
        (gradient,) = torch.autograd.grad(loss, table)
        table = table.detach()
        _smoothness(table[:, 0].view(grid.shape), gradient[:, 0].view(grid.shape))
        mean.lerp_(gradient, 1 - _DECAYS[0])
        square.mul_(_DECAYS[1]).addcmul_(gradient, gradient, value=1 - _DECAYS[1])
        unbiased = (1 - _DECAYS[1] ** step) ** 0.5
        scale = square.sqrt().add_(_TINY * unbiased)
        table.addcdiv_(mean, scale, value=-_RATE * unbiased / (1 - _DECAYS[0] ** step))
        progress(step / steps)
    return softplus(table[:, 0]).reshape(grid.shape)


def _render(
    table: Tensor,
    rays: Rays,
    samples: _HullSamples,
    some: Tensor,
    shift: Tensor,
    behind: Tensor,
    grid: Grid,
) -> Tensor:
    """(k, 3) colours of some rays before a background (k, 3)."""
    ray, sample = samples.of(some)
    if not len(ray):
        return behind + 0 * table[0, 0]
    depth = samples.depth[sample] + (shift * samples.step[some])[ray]
    value = look_up_channels(table, locate(grid, rays.points(depth, some[ray])))
    tau = softplus(value[:, 0]) * _SPACING
    through = tau.cumsum(0)
    before = through - tau
    count = samples.count[some]
    first = (count.cumsum(0) - count).clamp(max=len(ray) - 1)
    weight = torch.exp(before[first][ray] - before) * -torch.expm1(-tau)
    zero = torch.zeros((len(some), 4), device=table.device)
    colour = torch.cat([(value[:, 1:] / _SLOWER).sigmoid(), torch.ones_like(tau)[:, None]], 1)
    total = zero.index_add(0, ray, weight[:, None] * colour)
    return total[:, :3] + (1 - total[:, 3:]) * behind


def _smoothness(density: Tensor, gradient: Tensor) -> None:
    """Add the gradient of the mean absolute difference of neighbours, times its weight."""
    for axis in range(3):
        sign = density.diff(dim=axis).sign_().mul_(_SMOOTH / (density.numel()))
        n = density.shape[axis]
        gradient.narrow(axis, 1, n - 1).add_(sign)
        gradient.narrow(axis, 0, n - 1).sub_(sign)


def _surface(rays: Rays, samples: _HullSamples, absorbed: Tensor, grid: Grid) -> Tensor:
    """(r,) z-depth at which enough light is absorbed, NaN where it never is."""
    ray, sample = samples.of(torch.arange(len(rays), device=absorbed.device))
    depth = samples.depth[sample]
    tau = look_up(absorbed, locate(grid, rays.points(depth, ray))).double() * _SPACING
    through = tau.cumsum(0)
    first = samples.start.clamp(max=len(ray) - 1)
    through -= (through - tau)[first][ray]
    # The light lost within a sample's stretch: where in it the limit lies.
    part = 0.5 - (through - _SURFACE) / tau.clamp(min=1e-9)
    hit = torch.nonzero(through >= _SURFACE).reshape(-1)
    new = torch.ones(len(hit), dtype=torch.bool, device=hit.device)
    new[1:] = ray[hit][1:] != ray[hit][:-1]
    hit = hit[new]
    out = torch.full((len(rays),), float("nan"), device=absorbed.device)
    out[ray[hit]] = depth[hit] + part[hit].float() * samples.step[ray[hit]]
    return out


def _fill(depth: F32, alpha: F32, stride: int) -> F32:
    """(h, w) depth at every pixel of the object from the lattice's, cleaned of single pixels."""
    from scipy.ndimage import median_filter

    lattice = depth[::stride, ::stride]
    smooth = median_filter(from_nearest(lattice, ~np.isnan(lattice)), size=_MEDIAN)
    height, width = alpha.shape
    full = smooth.repeat(stride, axis=0)[:height].repeat(stride, axis=1)[:, :width]
    return np.where(alpha > 0.5, full, np.nan).astype(np.float32)
