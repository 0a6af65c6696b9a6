"""Looking into other views: where a point lands, which colour is there, whether it is seen."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from img2mesh.field.grid import length
from img2mesh.field.rays import Pictures, Rays

#: Views steeper than these cosines are not compared: their footprints differ too much (own, other).
_OWN_COSINE, _OTHER_COSINE = 0.15, 0.2


@dataclass(frozen=True)
class DepthMaps:
    """A surface as all views see it.

    Attributes:
        depth: (p,) float32 z-depth at every pixel of all views, inf where nothing is seen.
        stride: only every so many-th pixel along both axes is filled.
        pictures: the views.
    """

    depth: Tensor
    stride: int
    pictures: Pictures

    @classmethod
    def of(cls, rays: Rays, surface: Tensor, stride: int) -> DepthMaps:
        """From z-depths (r,) along rays (r,)."""
        return cls(rays.as_map(surface, float("inf")), stride, rays.pictures)

    def visible(self, points: Tensor, view: int, tolerance: float) -> tuple[Tensor, Tensor]:
        """Whether a view may see points, and where.

        Args:
            points: (3, m) world points.
            view: number of the view.
            tolerance: how far behind the surface a point still counts as seen, world units.

        Returns:
            (m,) bool, and (2, m) pixel coordinates.
        """
        uv, z = project(self.pictures, points, view)
        width, height = self.pictures.width[view], self.pictures.height[view]
        inside = (uv[0] >= 0.5) & (uv[0] <= width - 0.5) & (uv[1] >= 0.5) & (uv[1] <= height - 0.5)
        surface = self.depth[nearest_pixel(self.pictures, uv, view, self.stride)]
        return inside & torch.isfinite(surface) & (z < surface + tolerance), uv


def project(pictures: Pictures, points: Tensor, view: int | Tensor) -> tuple[Tensor, Tensor]:
    """World points (3, m) into a view, or (m,) into one each: pixels (2, m) and z-depth (m,)."""
    matrix = pictures.camera_from_world[view]
    x, y, z = (
        matrix[..., a, 0] * points[0]
        + matrix[..., a, 1] * points[1]
        + matrix[..., a, 2] * points[2]
        + matrix[..., a, 3]
        for a in range(3)
    )
    depth = -z
    safe = depth.clamp(min=1e-6)
    focal, centre = pictures.focal[view], pictures.centre[view]
    u = centre[..., 0] + focal[..., 0] * x / safe
    v = centre[..., 1] - focal[..., 1] * y / safe
    return torch.stack([u, v]), depth


def bilinear(pictures: Pictures, uv: Tensor, view: int | Tensor) -> Tensor:
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


def nearest_pixel(pictures: Pictures, uv: Tensor, view: int, stride: int) -> Tensor:
    """(m,) flat index of the pixel nearest to pixel coordinates (2, m), of every stride-th."""
    width, height = int(pictures.width[view]), int(pictures.height[view])
    column = ((uv[0] - 0.5) / stride).round().clamp(0, (width - 1) // stride).long() * stride
    row = ((uv[1] - 0.5) / stride).round().clamp(0, (height - 1) // stride).long() * stride
    return pictures.start[view] + row * width + column


@dataclass(frozen=True)
class Pairs:
    """Which rays' points are compared with which other views.

    Attributes:
        ray: (m,) int64.
        view: (m,) int64 the other view.
        cosine: (m,) between the surface's normal and the direction to that view.
    """

    ray: Tensor
    view: Tensor
    cosine: Tensor


def visible_pairs(
    maps: DepthMaps, rays: Rays, points: Tensor, normal: Tensor, usable: Tensor, tolerance: float
) -> tuple[Pairs, Tensor]:
    """All pairs of surface points and other views that see them, neither at a slant.

    Args:
        maps: what the views see.
        rays: (r,) rays.
        points: (3, r) where they meet the surface.
        normal: (3, r) unit normals there.
        usable: (r,) bool, which rays are compared at all.
        tolerance: how far behind the depth map a point still counts as seen, world units.

    Returns:
        The pairs, and (r,) the cosine between normal and own view.
    """
    own = (-rays.direction / length(rays.direction) * normal).sum(0)
    candidates = torch.nonzero((own > _OWN_COSINE) & usable).reshape(-1)
    found = []
    for view in range(len(rays.pictures)):
        ray = candidates[rays.view[candidates] != view]
        to_camera = rays.pictures.origin[view][:, None] - points[:, ray]
        cosine = (to_camera * normal[:, ray]).sum(0) / length(to_camera)
        facing = cosine > _OTHER_COSINE
        ray, cosine = ray[facing], cosine[facing]
        seen, _ = maps.visible(points[:, ray], view, tolerance)
        found.append((ray[seen], torch.full_like(ray[seen], view), cosine[seen]))
    return Pairs(*(torch.cat(parts) for parts in zip(*found, strict=True))), own
