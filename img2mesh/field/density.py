"""What the pictures show to be empty: density and colour on a coarse grid, volume rendered.

A signed distance only moves its surface downhill, so from a hull it never finds the gap behind a
rail or the seat between two arms: in between, every position looks worse. A density has no surface
to move. Each grid point absorbs some light and has a colour, all views pull on all points along
their rays at once (Mildenhall et al. 2020, here without a network), and what no view needs clears
up. The result is too foamy for a mesh, but says where the views can see through: the fit starts
from the hull carved by it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import softplus

from img2mesh.core.arrays import F32
from img2mesh.field.gather import firsts, pick, places
from img2mesh.field.grid import Sdf, length, locate, look_up, look_up_channels
from img2mesh.field.parallel import split
from img2mesh.field.pictures import Observation
from img2mesh.field.rays import Rays
from img2mesh.field.samples import clip_to_grid
from img2mesh.field.volume_rendering import weights_of_depth
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
    inside = rays.take(places(rays.alpha > 0.5))
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

    def of(self, rays: Tensor, total: int) -> tuple[Tensor, Tensor, Tensor]:
        """Samples of some rays (k,), ``total`` in number: the numbers (m,) of their rays in that
        list, their indices (m,), and the first of each ray among them (k + 1,)."""
        count = self.count.index_select(0, rays)
        start = torch.zeros(len(rays) + 1, dtype=torch.int64, device=rays.device)
        torch.cumsum(count, 0, out=start[1:])
        ray = torch.arange(len(rays), device=rays.device)
        ray = torch.repeat_interleave(ray, count, output_size=total)
        first = (self.start.index_select(0, rays) - start[:-1]).index_select(0, ray)
        return ray, first + torch.arange(len(ray), device=rays.device), start


def _inside(rays: Rays, hull: Sdf) -> _HullSamples:
    enter, leave = clip_to_grid(hull.grid, rays)
    step = _SPACING * hull.voxel / length(rays.direction)
    number = ((leave - enter) / step).ceil().clamp(min=0).long()
    depths, counts = [torch.empty(0, device=hull.device)], [number[:0]]
    most = int(number.max()) if len(rays) else 0
    k = torch.arange(most, device=hull.device)
    for begin, end in split(len(rays), most, hull.device):
        some = slice(begin, end)
        found = places(k < number[some, None])
        ray = found // most
        first, stride = pick(ray, enter[some], step[some])
        depth = first + (found % most + 0.5) * stride
        points = rays.slice(begin, end).points(depth, ray)
        ray, depth = pick(places(hull.at(points) < 0.5 * hull.voxel), ray, depth)
        depths.append(depth)
        counts.append(torch.bincount(ray, minlength=end - begin))
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
    table = torch.zeros((4, int(np.prod(grid.shape))), device=device)
    table[0] = _CLEAR
    mean, square = torch.zeros_like(table), torch.zeros_like(table)
    batches = _batches(samples, rng)
    for step in range(1, steps + 1):
        some, total = next(batches)
        shift, behind = (rng.random((len(some), c), dtype=np.float32) for c in (1, 3))
        noise = torch.as_tensor(np.hstack([shift, behind]), device=device).T
        chosen = samples.of(some, total)
        rendered = _render(table.requires_grad_(True), rays, samples, some, chosen, noise, grid)
        loss = (rendered - rays.rgb.index_select(1, some)).square().mean()
        (gradient,) = torch.autograd.grad(loss, table)
        table = table.detach()
        _smoothness(table[0].view(grid.shape), gradient[0].view(grid.shape))
        mean.lerp_(gradient, 1 - _DECAYS[0])
        square.mul_(_DECAYS[1]).addcmul_(gradient, gradient, value=1 - _DECAYS[1])
        unbiased = (1 - _DECAYS[1] ** step) ** 0.5
        scale = square.sqrt().add_(_TINY * unbiased)
        table.addcdiv_(mean, scale, value=-_RATE * unbiased / (1 - _DECAYS[0] ** step))
        progress(step / steps)
    return softplus(table[0]).reshape(grid.shape)


def _batches(samples: _HullSamples, rng: np.random.Generator) -> Iterator[tuple[Tensor, int]]:
    """Rays of one step after another, each once before any comes again, and their samples' number.

    The numbers of a whole round are counted at once, so that a GPU is not waited for at each step.
    """
    rays = len(samples.count)
    while True:
        order = torch.as_tensor(rng.permutation(rays), device=samples.count.device)
        counts = samples.count.index_select(0, order)
        full = max(1, rays // _RAYS)
        parts = [slice(k * _RAYS, (k + 1) * _RAYS) for k in range(full)]
        totals = torch.stack([counts[part].sum() for part in parts]).tolist()
        for part, total in zip(parts, totals, strict=True):
            yield order[part], total


def _render(
    table: Tensor,
    rays: Rays,
    samples: _HullSamples,
    some: Tensor,
    chosen: tuple[Tensor, Tensor, Tensor],
    noise: Tensor,
    grid: Grid,
) -> Tensor:
    """(3, k) colours of some rays before a random background.

    Args:
        table: (4, points) density before softplus, and colour.
        rays, samples: of all pictures.
        some: (k,) int64 rays.
        chosen: their samples.
        noise: (4, k) in [0, 1): where in their steps the samples are, and the background.
        grid: of the table.
    """
    ray, sample, start = chosen
    shift, behind = noise[0] - 0.5, noise[1:]
    if not len(ray):
        return behind + 0 * table[0, 0]
    moved, rays_of = pick(ray, shift * samples.step.index_select(0, some), some)
    depth = samples.depth.index_select(0, sample) + moved
    value = look_up_channels(table, locate(grid, rays.points(depth, rays_of)))
    tau = softplus(value[0]).double() * _SPACING
    weight = weights_of_depth(tau, ray, start).float()
    colour = torch.cat([(value[1:] / _SLOWER).sigmoid(), torch.ones_like(value[:1])])
    total = torch.zeros((4, len(some)), device=table.device).index_add(1, ray, weight * colour)
    return total[:3] + (1 - total[3:]) * behind


def _smoothness(density: Tensor, gradient: Tensor) -> None:
    """Add the gradient of the mean absolute difference of neighbours, times its weight."""
    for axis in range(3):
        sign = density.diff(dim=axis).sign_().mul_(_SMOOTH / (density.numel()))
        n = density.shape[axis]
        gradient.narrow(axis, 1, n - 1).add_(sign)
        gradient.narrow(axis, 0, n - 1).sub_(sign)


def _surface(rays: Rays, samples: _HullSamples, absorbed: Tensor, grid: Grid) -> Tensor:
    """(r,) z-depth at which enough light is absorbed, NaN where it never is."""
    everything = torch.arange(len(rays), device=absorbed.device)
    ray, sample, start = samples.of(everything, len(samples.depth))
    depth = samples.depth.index_select(0, sample)
    tau = look_up(absorbed, locate(grid, rays.points(depth, ray))).double() * _SPACING
    through = tau.cumsum(0)
    first = start[:-1].clamp(max=len(ray) - 1)
    through -= (through - tau).index_select(0, first).index_select(0, ray)
    # The light lost within a sample's stretch: where in it the limit lies.
    part = (0.5 - (through - _SURFACE) / tau.clamp(min=1e-9)).float()
    ray, depth, part = pick(places(through >= _SURFACE), ray, depth, part)
    ray, depth, part = pick(places(firsts(ray)), ray, depth, part)
    out = torch.full((len(rays),), float("nan"), device=absorbed.device)
    return out.index_copy_(0, ray, depth + part * samples.step.index_select(0, ray))


def _fill(depth: F32, alpha: F32, stride: int) -> F32:
    """(h, w) depth at every pixel of the object from the lattice's, cleaned of single pixels."""
    from scipy.ndimage import median_filter

    lattice = depth[::stride, ::stride]
    smooth = median_filter(from_nearest(lattice, ~np.isnan(lattice)), size=_MEDIAN)
    height, width = alpha.shape
    full = smooth.repeat(stride, axis=0)[:height].repeat(stride, axis=1)[:, :width]
    return np.where(alpha > 0.5, full, np.nan).astype(np.float32)
