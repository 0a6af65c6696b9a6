"""Losses of a slice of rays, and the smoothness of the grid itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import cycle

import torch
from torch import Tensor

from img2mesh.field.exposure import Exposure
from img2mesh.field.gather import pick
from img2mesh.field.grid import (
    Sdf,
    length,
    locate,
    look_up_with_gradient,
    second_difference,
)
from img2mesh.field.lookup import DepthMaps
from img2mesh.field.photometric import photometric_loss
from img2mesh.field.rays import Rays
from img2mesh.field.samples import Samples
from img2mesh.field.volume_rendering import Renderer


@dataclass(frozen=True)
class Weights:
    """Weights of the terms; mask binary cross-entropy counts 1 (specification)."""

    photometric: float
    eikonal: float
    depth: float
    normal: float
    match: float


@dataclass(frozen=True)
class FieldView:
    """The field as the losses see it at one step.

    Attributes:
        sdf: its values require a gradient.
        scale: logistic scale b, world units.
        unit: world length of the object's bounding radius; depth errors are relative to it.
    """

    sdf: Sdf
    scale: float
    unit: float


@dataclass(frozen=True)
class RayBatch:
    """The rays of some steps in shuffled order, and what is known about them.

    Attributes:
        rays: (r,) rays.
        samples: along them.
        maps: the shape when the samples were placed, as the views see it.
        exposure: of the views; None: colours are not compared.
        target_depth: (r,) z-depth the surface should have, NaN where nothing is known.
        target_weight: (r,) weight of that in the depth term.
    """

    rays: Rays
    samples: Samples
    maps: DepthMaps
    exposure: Exposure | None
    target_depth: Tensor
    target_weight: Tensor

    def slices(self, size: int) -> Iterator[RayBatch]:
        """So many rays for one step after another, again and again."""
        edges = [*range(0, len(self.rays), size), len(self.rays)]
        start = self.samples.start
        first = torch.cat([start[:-1:size], start[-1:]]).tolist()
        for k in cycle(range(len(edges) - 1)):
            some = slice(*edges[k : k + 2])
            yield RayBatch(
                self.rays.slice(some.start, some.stop),
                self.samples.part(some.start, some.stop, *first[k : k + 2]),
                self.maps,
                self.exposure,
                self.target_depth[some],
                self.target_weight[some],
            )


def slice_loss(field: FieldView, batch: RayBatch, weights: Weights, render: Renderer) -> Tensor:
    """The loss of some rays, a mean over them."""
    rays, samples, voxel = batch.rays, batch.samples, field.sdf.voxel
    depth, ray = samples.depth, samples.ray
    value, gradient = look_up_with_gradient(
        field.sdf.values, locate(field.sdf.grid, rays.points(depth, ray))
    )
    rendered = render(value, samples, field.scale)
    opacity, sample_weight = rendered.opacity.detach(), rendered.weight.detach()

    loss = mask_loss(
        rendered.opacity, rays.alpha, rays.pictures.mask_weight.index_select(0, rays.view)
    )
    if weights.eikonal:
        slope = gradient.square().sum(0).clamp(min=1e-12).sqrt()
        loss = loss + weights.eikonal * (slope - 1).square().mean()
    if weights.photometric and batch.exposure is not None:
        loss = loss + weights.photometric * photometric_loss(
            rays,
            rendered.depth,
            opacity * (rays.alpha > 0.5),
            _mean_normal(gradient.detach() * sample_weight, ray, len(rays)),
            batch.maps,
            batch.exposure,
            tolerance=3 * voxel,
        )
    target = batch.target_depth
    known = torch.isfinite(target) & (opacity > 0.5)
    error = torch.where(known, (rendered.depth - target.nan_to_num()).abs(), 0.0)
    loss = loss + (batch.target_weight * error).mean() / field.unit
    if rays.normal is not None and weights.normal:
        (given,) = pick(ray, rays.normal)
        believed = (given.square().sum(0) > 0.25) * sample_weight
        off = (gradient - given).square().sum(0)
        loss = loss + weights.normal * (off * believed).sum() / len(rays)
    return loss


def _mean_normal(weighted: Tensor, ray: Tensor, n_rays: int) -> Tensor:
    """(3, n_rays) unit normals from the weighted gradients (3, n) of the rays' samples."""
    normal = torch.zeros((3, n_rays), device=weighted.device)
    normal.index_add_(1, ray, weighted)
    return normal / length(normal).clamp(min=1e-9)


def mask_loss(opacity_of_ray: Tensor, alpha: Tensor, weight: Tensor) -> Tensor:
    """Weighted binary cross-entropy of rendered opacity and the views' alpha, mean over rays."""
    p = opacity_of_ray.clamp(1e-3, 1 - 1e-3)
    return -(weight * (alpha * p.log() + (1 - alpha) * (1 - p).log())).mean()


def curvature_gradient(sdf: Sdf, band: Tensor) -> Tensor:
    """Gradient of the mean over the band of ((f[i-1] - 2 f[i] + f[i+1]) / h)^2, summed over axes.

    Written out instead of differentiated: three stencils in place of autograd's dozen passes.

    Args:
        sdf: the signed distances.
        band: (nx, ny, nz) float32 weight of each point in the mean (0 or 1).
    """
    out = torch.zeros_like(sdf.values)
    for axis in range(3):
        n = sdf.values.shape[axis]
        middle = second_difference(sdf.values, axis).mul_(band.narrow(axis, 1, n - 2))
        out.narrow(axis, 1, n - 2).sub_(middle, alpha=2)
        out.narrow(axis, 0, n - 2).add_(middle)
        out.narrow(axis, 2, n - 2).add_(middle)
    return out.mul_(2 / (sdf.voxel * sdf.voxel * band.sum().clamp(min=1)))
