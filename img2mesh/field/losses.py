"""Losses of a slice of rays, and the smoothness of the grid itself."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from img2mesh.field.grid import length, look_up_with_gradient
from img2mesh.field.photometric import photometric_loss
from img2mesh.field.rays import Rays
from img2mesh.field.rendering import render_distances
from img2mesh.field.sampling import Samples, cells_of
from img2mesh.field.shading import Shading
from img2mesh.geometry.grid import Grid


@dataclass(frozen=True)
class Weights:
    """Loss weights; mask binary cross-entropy counts 1 (specification)."""

    photometric: float
    eikonal: float
    depth: float
    normal: float
    match: float


@dataclass(frozen=True)
class Target:
    """Where the surface should be along each ray.

    Attributes:
        depth: (r,) z-depth, NaN where nothing is known.
        trust: (r,) weight of the ray in the depth loss.
    """

    depth: Tensor
    trust: Tensor


@dataclass(frozen=True)
class Shape:
    """The field as the losses see it.

    Attributes:
        field: (nx, ny, nz) signed distances; requires a gradient.
        box: its grid.
        scale: logistic scale b in world units.
        unit: world length of the object's bounding radius; depth errors are relative to it.
        depth_maps: z-depths of the current shape at every pixel, inf = nothing.
        stride: pixel spacing at which they are filled.
        shading: what makes colours differ between the views, or None.
    """

    field: Tensor
    box: Grid
    scale: float
    unit: float
    depth_maps: Tensor
    stride: int
    shading: Shading | None = None


def slice_loss(
    shape: Shape,
    rays: Rays,
    samples: Samples,
    target: Target,
    begin: int,
    end: int,
    weights: Weights,
) -> Tensor:
    """The loss of rays ``begin`` to ``end``, a mean over them."""
    first, last = int(samples.start[begin]), int(samples.start[end])
    some = rays.take(torch.arange(begin, end, device=rays.view.device))
    ray = samples.ray[first:last] - begin
    depth = samples.depth[first:last]
    value, gradient = look_up_with_gradient(shape.field, cells_of(ray, depth, some, shape.box))
    column = torch.arange(first, last, device=ray.device) - samples.start[begin + ray]
    rendered = render_distances(value, depth, ray, column, end - begin, shape.scale)
    total, expected, flat_weight = rendered.opacity, rendered.depth, rendered.weight.detach()
    loss = mask_loss(total, some.alpha, some.pictures.mask_weight[some.view])

    squared = gradient.square().sum(0)
    if weights.eikonal:
        loss = loss + weights.eikonal * (squared.clamp(min=1e-12).sqrt() - 1).square().mean()
    if weights.photometric:
        with torch.no_grad():
            direction = gradient.detach() * flat_weight
            normal = torch.zeros((3, end - begin), device=value.device)
            normal.index_add_(1, ray, direction)
            normal /= length(normal).clamp(min=1e-9)
            counts = total.detach() * (some.alpha > 0.5)
        loss = loss + weights.photometric * photometric_loss(
            some,
            expected,
            counts,
            normal,
            shape.depth_maps,
            tolerance=3 * shape.box.voxel,
            stride=shape.stride,
            shading=shape.shading,
        )
    wanted, trust = target.depth[begin:end], target.trust[begin:end]
    known = torch.isfinite(wanted) & (total.detach() > 0.5)
    error = torch.where(known, (expected - wanted.nan_to_num()).abs(), 0.0)
    loss = loss + (trust * error).mean() / shape.unit
    if some.normal is not None and weights.normal:
        given = some.normal[:, ray]
        known = (given.square().sum(0) > 0.25) * flat_weight
        error = (gradient - given).square().sum(0)
        loss = loss + weights.normal * (error * known).sum() / (end - begin)
    return loss


def mask_loss(opacity_of_ray: Tensor, alpha: Tensor, weight: Tensor) -> Tensor:
    """Weighted binary cross-entropy of rendered opacity and the views' alpha, mean over rays."""
    p = opacity_of_ray.clamp(1e-3, 1 - 1e-3)
    return -(weight * (alpha * p.log() + (1 - alpha) * (1 - p).log())).mean()


def curvature_gradient(field: Tensor, band: Tensor, voxel: float) -> Tensor:
    """Gradient of the mean over the band of ((f[i-1] - 2 f[i] + f[i+1]) / h)^2, summed over axes.

    Written out instead of differentiated: three stencils in place of autograd's dozen passes.

    Args:
        field: (nx, ny, nz) signed distances.
        band: (nx, ny, nz) float32 weight of each point in the mean (0 or 1).
        voxel: h.
    """
    out = torch.zeros_like(field)
    factor = 2 / (voxel * voxel * float(band.sum().clamp(min=1)))
    for axis in range(3):
        n = field.shape[axis]
        middle = second_difference(field, axis) * band.narrow(axis, 1, n - 2)
        out.narrow(axis, 1, n - 2).sub_(middle, alpha=2 * factor)
        out.narrow(axis, 0, n - 2).add_(middle, alpha=factor)
        out.narrow(axis, 2, n - 2).add_(middle, alpha=factor)
    return out


def second_difference(field: Tensor, axis: int) -> Tensor:
    """f[i-1] - 2 f[i] + f[i+1] at the inner points along one axis."""
    n = field.shape[axis]
    return (field.narrow(axis, 0, n - 2) + field.narrow(axis, 2, n - 2)).sub_(
        field.narrow(axis, 1, n - 2), alpha=2
    )


def fourth_difference(field: Tensor) -> Tensor:
    """Sum over axes of the fourth difference; zero in a border of two points."""
    out = torch.zeros_like(field)
    for axis in range(3):
        n = field.shape[axis]
        if n >= 5:
            twice = second_difference(second_difference(field, axis), axis)
            out.narrow(axis, 2, n - 4).add_(twice)
    return out
