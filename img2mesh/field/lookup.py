"""Looking into other views: where a point lands, which colour is there, whether it is seen.

Points are looked up in many views at once. ``view`` numbers them and broadcasts against the points:
(k, 1) for every point in each of k views, (m,) for each point in one view of its own.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from img2mesh.field.gather import pick, places
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

    def sees(self, uv: Tensor, z: Tensor, view: Tensor, tolerance: float) -> Tensor:
        """Whether views may see points.

        Args:
            uv, z: (2, k, m) pixel coordinates and (k, m) z-depths, as projected.
            view: (k, 1) int64.
            tolerance: how far behind the surface a point still counts as seen, world units.

        Returns:
            (k, m) bool.
        """
        _, width, height = _frame(self.pictures, view)
        u, v = uv
        inside = (u >= 0.5) & (u <= width - 0.5) & (v >= 0.5) & (v <= height - 0.5)
        at = nearest_pixel(self.pictures, uv, view, self.stride)
        surface = self.depth.index_select(0, at.reshape(-1)).reshape(at.shape)
        # Where nothing is seen the surface is infinitely far, and any point in front of it.
        return inside & (z < surface + tolerance) & torch.isfinite(surface)


def project(pictures: Pictures, points: Tensor, view: Tensor) -> tuple[Tensor, Tensor]:
    """World points (3, m) into views (k, 1): pixel coordinates (2, k, m) and z-depths (k, m)."""
    view = view.reshape(-1)
    x, y, z = turned(pictures, points, view) + pictures.shift[:, view, None]
    depth = -z
    safe = depth.clamp(min=1e-6)
    (fx, fy), (cx, cy) = pictures.focal[:, view, None], pictures.centre[:, view, None]
    return torch.stack([cx + fx * (x / safe), cy - fy * (y / safe)]), depth


def turned(pictures: Pictures, vectors: Tensor, view: Tensor) -> Tensor:
    """(3, k, m) world vectors (3, m) along the axes of cameras (k,): x, y up, z backwards."""
    return (pictures.rotation[:, view].reshape(-1, 3) @ vectors).reshape(3, len(view), -1)


def bilinear(pictures: Pictures, uv: Tensor, view: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Colours at pixel coordinates (2, ...), clamped to the picture.

    Returns:
        (3, ...) the colours, and their change a pixel along u and along v.
    """
    start, width, height = _frame(pictures, view)
    u = torch.minimum((uv[0] - 0.5).clamp(min=0), width - 1.001)
    v = torch.minimum((uv[1] - 0.5).clamp(min=0), height - 1.001)
    column, row = u.floor(), v.floor()
    fu, fv = u - column, v - row
    at = start + row.int() * width + column.int()
    a, b, c, d = (
        pictures.rgb.index_select(1, (at + step).reshape(-1)).reshape(3, *at.shape)
        for step in (0, 1, width, width + 1)
    )
    left, right = torch.lerp(a, c, fv), torch.lerp(b, d, fv)
    along_u = right - left
    return torch.lerp(left, right, fu), along_u, torch.lerp(c - a, d - b, fu)


def nearest_pixel(pictures: Pictures, uv: Tensor, view: Tensor, stride: int) -> Tensor:
    """Flat index of the pixel nearest to pixel coordinates (2, ...), of every stride-th."""
    start, width, height = _frame(pictures, view)
    last_column, last_row = (width - 1) // stride, (height - 1) // stride
    column = torch.minimum(((uv[0] - 0.5) / stride).round().clamp(min=0), last_column)
    row = torch.minimum(((uv[1] - 0.5) / stride).round().clamp(min=0), last_row)
    return start + row.int() * (stride * width) + column.int() * stride


def _frame(pictures: Pictures, view: Tensor) -> tuple[Tensor, ...]:
    """First pixel, width and height of views, in the shape of ``view``."""
    return tuple(
        values.index_select(0, view.reshape(-1)).reshape(view.shape)
        for values in (pictures.start, pictures.width, pictures.height)
    )


@dataclass(frozen=True)
class Pairs:
    """Which rays' points are compared with which other views.

    Attributes:
        ray: (m,) int64.
        view: (m,) int64 the other view.
        cosine: (m,) between the surface's normal and the direction to that view.
        uv: (2, m) pixel coordinates there.
        z: (m,) z-depth there.
    """

    ray: Tensor
    view: Tensor
    cosine: Tensor
    uv: Tensor
    z: Tensor


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
    pictures = rays.pictures
    own = (-rays.direction / length(rays.direction) * normal).sum(0)
    ray = places((own > _OWN_COSINE) & usable)
    points, normal, home = pick(ray, points, normal, rays.view)
    view = torch.arange(len(pictures), device=ray.device)[:, None]
    to_camera = pictures.origin[:, :, None] - points[:, None]
    cosine = (to_camera * normal[:, None]).sum(0) / length(to_camera)
    uv, z = project(pictures, points, view)
    seen = maps.sees(uv, z, view, tolerance)
    both = places(seen & (cosine > _OTHER_COSINE) & (home != view))
    view, number = both // max(1, len(ray)), both % max(1, len(ray))
    cosine, uv, z = pick(both, cosine.reshape(-1), uv.reshape(2, -1), z.reshape(-1))
    return Pairs(ray.index_select(0, number), view, cosine, uv, z), own
