"""Photo-consistency: a surface point has one colour in every view that sees it.

The expected surface point of a ray is projected into the other views; the colour there is compared
with the ray's own. No colour is learned, so the term only moves geometry.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from img2mesh.field.grid import length
from img2mesh.field.rays import Pictures, Rays

if TYPE_CHECKING:
    from img2mesh.field.shading import Shading

#: Views steeper than these cosines are not compared: their footprints differ too much (own, other).
_OWN_COSINE, _OTHER_COSINE = 0.15, 0.2
#: Robust form s e / (e + c): a wrong match (another material, a highlight) costs at most s.
_ROBUST_SCALE, _ROBUST_HALF = 0.3, 0.15


def photometric_loss(
    rays: Rays,
    depth: Tensor,
    weight: Tensor,
    normal: Tensor,
    depth_maps: Tensor,
    *,
    tolerance: float,
    stride: int,
    shading: Shading | None = None,
) -> Tensor:
    """Mean robust colour difference over the rays.

    Args:
        rays: (r,) rays.
        depth: (r,) expected z-depths; the gradient flows through these.
        weight: (r,) how far each ray counts (its opacity), without gradient.
        normal: (3, r) unit surface normals, without gradient.
        depth_maps: (p,) z-depths of the current shape at every pixel of all views, inf = nothing.
        tolerance: how far behind the depth map a point still counts as seen, world units.
        stride: pixel spacing at which the depth maps are filled.
        shading: what to divide out before colours are compared.

    Returns:
        Scalar.
    """
    pictures = rays.pictures
    origin = pictures.origin.T[:, rays.view]
    point = origin + depth * rays.direction  # (3, r)
    with torch.no_grad():
        toward_own = -rays.direction / length(rays.direction)
        own = (toward_own * normal).sum(0)
        ray, other, cosine = visible_pairs(
            pictures, rays, point, normal, depth_maps, own, weight, tolerance, stride
        )
    if not len(ray):
        return depth.sum() * 0
    uv, _ = project(pictures, point[:, ray], other)
    seen = bilinear(pictures, uv, other)
    mine = rays.rgb[ray]
    if shading is not None:
        seen = shading.paint(seen, other, cosine)
        mine = shading.paint(mine, rays.view[ray], own[ray])
    difference = (seen - mine).abs().mean(1)
    robust = _ROBUST_SCALE * difference / (difference + _ROBUST_HALF)
    loss: Tensor = (robust * (weight[ray] * own[ray] * cosine)).sum() / len(rays)
    return loss


def visible_pairs(
    pictures: Pictures,
    rays: Rays,
    point: Tensor,
    normal: Tensor,
    depth_maps: Tensor,
    own: Tensor,
    weight: Tensor,
    tolerance: float,
    stride: int,
) -> tuple[Tensor, Tensor, Tensor]:
    """Which rays are compared with which other views, and those views' cosines."""
    usable = torch.nonzero((own > _OWN_COSINE) & (weight > 0.5)).reshape(-1)
    found = []
    for k in range(len(pictures)):
        ray = usable[rays.view[usable] != k]
        to_camera = pictures.origin[k][:, None] - point[:, ray]
        cosine = (to_camera * normal[:, ray]).sum(0) / length(to_camera)
        facing = cosine > _OTHER_COSINE
        ray, cosine = ray[facing], cosine[facing]
        other = torch.full_like(ray, k)
        uv, z = project(pictures, point[:, ray], other)
        width, height = int(pictures.width[k]), int(pictures.height[k])
        column = _lattice(uv[0], stride, width)
        row = _lattice(uv[1], stride, height)
        inside = (uv[0] >= 0.5) & (uv[0] <= width - 0.5) & (uv[1] >= 0.5) & (uv[1] <= height - 0.5)
        surface = depth_maps[pictures.start[k] + row * width + column]
        seen = inside & (z < surface + tolerance) & torch.isfinite(surface)
        found.append((ray[seen], other[seen], cosine[seen]))
    ray, other, cosine = (torch.cat(parts) for parts in zip(*found, strict=True))
    return ray, other, cosine


def _lattice(pixel: Tensor, stride: int, size: int) -> Tensor:
    """Nearest filled pixel index (multiples of the stride) to a pixel coordinate."""
    last = (size - 1) // stride
    return ((pixel - 0.5) / stride).round().clamp(0, last).long() * stride


def project(pictures: Pictures, point: Tensor, view: Tensor) -> tuple[Tensor, Tensor]:
    """World points (3, m) into one view each: pixel coordinates (2, m) and z-depth (m,)."""
    matrix = pictures.camera_from_world[view]  # (m, 3, 4)
    x, y, z = (
        matrix[:, a, 0] * point[0]
        + matrix[:, a, 1] * point[1]
        + matrix[:, a, 2] * point[2]
        + matrix[:, a, 3]
        for a in range(3)
    )
    depth = -z
    safe = depth.clamp(min=1e-6)
    focal, centre = pictures.focal[view], pictures.centre[view]
    u = centre[:, 0] + focal[:, 0] * x / safe
    v = centre[:, 1] - focal[:, 1] * y / safe
    return torch.stack([u, v]), depth


def bilinear(pictures: Pictures, uv: Tensor, view: Tensor) -> Tensor:
    """(m, 3) colours at pixel coordinates, differentiable in them; clamped to the picture."""
    width, height = pictures.width[view], pictures.height[view]
    u = torch.minimum((uv[0] - 0.5).clamp(min=0), width - 1.001)
    v = torch.minimum((uv[1] - 0.5).clamp(min=0), height - 1.001)
    column, row = u.detach().floor(), v.detach().floor()
    fu, fv = (u - column)[:, None], (v - row)[:, None]
    at = pictures.start[view] + row.long() * width + column.long()
    a, b = pictures.rgb[at], pictures.rgb[at + 1]
    c, d = pictures.rgb[at + width], pictures.rgb[at + width + 1]
    top, bottom = a + (b - a) * fu, c + (d - c) * fu
    return top + (bottom - top) * fv
