"""What the other views say about a depth: world normals and colours compared point by point.

A normal in world coordinates is the same in every view, whatever the light: a curved surface
without any texture still matches at one depth only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from img2mesh.core.arrays import F64
from img2mesh.core.cameras import Camera
from img2mesh.field.from_normals.integration import PixelGrid
from img2mesh.field.grid import Sdf, length, locate
from img2mesh.field.pictures import Observation, comparable_colours
from img2mesh.geometry.silhouettes import Silhouette
from img2mesh.geometry.visual_hull import hull_values, tight_box

#: Points along the longest side of the grid that tells quickly what lies outside the hull.
_HULL_GRID = 64
#: A point this many pixels outside an outline is not on the object.
_OUTSIDE_PX = 1.0
#: Blur of the compared colours.
_BLUR_PX = 0.8
#: Standard deviation of the normals' error, as a length of their difference.
_NORMAL_SPREAD = 0.2
#: Spread of colours that belong together; shading that moves with the camera is part of it.
_COLOUR_SPREAD = 0.1
#: Cost of a depth that no other view can judge, and the weight of that cost.
_UNSEEN_COST, _UNSEEN_WEIGHT = 0.5, 0.3
#: Cosine below which another view sees too slanted a surface to compare.
_SLANT = 0.1
#: Cost of what cannot be: outside the hull.
IMPOSSIBLE = 2.0


@dataclass(frozen=True)
class SweptViews:
    """All views, ready to be compared.

    Attributes:
        cameras: of the views.
        channels: per view (h * w, 7): colour, world normal, contour distance in pixels.
        hull: the visual hull.
    """

    cameras: tuple[Camera, ...]
    channels: tuple[Tensor, ...]
    hull: Sdf

    @classmethod
    def of(
        cls,
        observations: Sequence[Observation],
        silhouettes: Sequence[Silhouette],
        device: torch.device,
    ) -> SweptViews:
        """Gather views that have normals.

        Args:
            observations: the views.
            silhouettes: their contour distances.
            device: where the tensors live.
        """
        channels = []
        for seen, silhouette in zip(observations, silhouettes, strict=True):
            assert seen.normals is not None
            colour = comparable_colours(seen.view, _BLUR_PX)
            stack = np.concatenate([colour, seen.normals, silhouette.distance[..., None]], axis=2)
            channels.append(
                torch.as_tensor(stack.reshape(-1, 7), dtype=torch.float32, device=device)
            )
        grid = tight_box(silhouettes, grid=_HULL_GRID, margin=0.03)
        hull = Sdf(torch.as_tensor(hull_values(silhouettes, grid), device=device), grid)
        return cls(tuple(o.camera for o in observations), tuple(channels), hull)

    def depth_range(self, view: int) -> tuple[float, float]:
        """Least and largest z-depth of the hull in one view."""
        inside = np.argwhere(self.hull.values.cpu().numpy() < self.hull.voxel)
        _, z = self.cameras[view].project(self.hull.grid.origin + self.hull.voxel * inside)
        return float(z.min()), float(z.max())


def sweep_costs(
    views: SweptViews,
    view: int,
    pixels: PixelGrid,
    log_depth: F64,
    offsets: F64,
    farthest: Sequence[Tensor] | None,
    tolerance: float,
) -> Tensor:
    """Cost of every pixel lying at each offset from a given surface.

    Args:
        views: all views.
        view: index of the view of the pixels.
        pixels: (n,) pixels.
        log_depth: (n,) natural logarithm of the surface's z-depth.
        offsets: (k,) added to it.
        farthest: per view (h, w) z-depth beyond which nothing is seen, on the lattice; or None.
        tolerance: how far behind that a point still counts as seen, world units.

    Returns:
        (n, k) in [0, 1]: 0 where all views that can see the point agree; IMPOSSIBLE outside.
    """
    device = views.hull.device
    camera = views.cameras[view]
    ray = torch.as_tensor(pixels.ray.T, dtype=torch.float32, device=device)
    normal = torch.as_tensor(pixels.normal.T, dtype=torch.float32, device=device)
    own = _at_pixels(views.channels[view], camera, pixels)[:, :3]
    origin = _tensor(camera.origin, device)
    depth = torch.exp(_tensor(log_depth, device)[:, None] + _tensor(offsets, device))
    near, far = views.depth_range(view)
    pixel, offset = torch.nonzero((depth >= near) & (depth <= far), as_tuple=True)
    point = origin[:, None] + depth[pixel, offset] * ray[:, pixel]
    hull = views.hull
    at = locate(hull.grid, point).nearest
    possible = hull.values.reshape(-1)[at] < hull.voxel
    pixel, offset, point = pixel[possible], offset[possible], point[:, possible]
    weight = torch.full((len(pixel),), _UNSEEN_WEIGHT, device=device)
    total = weight * _UNSEEN_COST
    inside = torch.ones(len(pixel), dtype=torch.bool, device=device)
    for other in range(len(views.cameras)):
        if other == view:
            continue
        left = torch.nonzero(inside).reshape(-1)
        uv, z = _project(views.cameras[other], point[:, left])
        seen = _bilinear(views.channels[other], views.cameras[other], uv)
        on = seen[:, 6] < _OUTSIDE_PX
        inside[left[~on]] = False
        left, seen, z, uv = left[on], seen[on], z[on], uv[:, on]
        mine = normal[:, pixel[left]]
        away = _tensor(views.cameras[other].origin, device)[:, None] - point[:, left]
        facing = ((away * mine).sum(0) / length(away) - _SLANT).clamp(min=0)
        if farthest is not None:
            limit = _nearest(farthest[other], uv, pixels.stride)
            facing = facing * (z <= limit + tolerance)
        off = (seen[:, 3:6] - mine.T).square().sum(1) / (2 * _NORMAL_SPREAD**2)
        off = off + (seen[:, :3] - own[pixel[left]]).square().sum(1) / (2 * _COLOUR_SPREAD**2)
        total[left] += facing * (1 - torch.exp(-off))
        weight[left] += facing
    out = torch.full((len(pixels), len(offsets)), IMPOSSIBLE, device=device)
    out[pixel[inside], offset[inside]] = (total / weight)[inside]
    return out


def _nearest(picture: Tensor, uv: Tensor, stride: int) -> Tensor:
    """(m,) values of a lattice picture (h, w) nearest to pixel coordinates (2, m)."""
    height, width = picture.shape
    column = ((uv[0] - 0.5) / stride).round().clamp(0, width - 1).long()
    row = ((uv[1] - 0.5) / stride).round().clamp(0, height - 1).long()
    return picture.reshape(-1)[row * width + column]


def _tensor(values: F64, device: torch.device) -> Tensor:
    return torch.tensor(np.asarray(values, np.float32), device=device)


def _at_pixels(channels: Tensor, camera: Camera, pixels: PixelGrid) -> Tensor:
    width = pixels.where.shape[1]
    row, column = pixels.flat // width * pixels.stride, pixels.flat % width * pixels.stride
    return channels[torch.as_tensor(row * camera.width + column, device=channels.device)]


def _project(camera: Camera, point: Tensor) -> tuple[Tensor, Tensor]:
    """World points (3, m): pixel coordinates (2, m) and z-depth (m,)."""
    matrix = _tensor(camera.camera_from_world[:3], point.device)
    x, y, z = matrix[:, :3] @ point + matrix[:, 3:]
    depth = (-z).clamp(min=1e-6)
    return torch.stack([camera.cx + camera.fx * x / depth, camera.cy - camera.fy * y / depth]), -z


def _bilinear(channels: Tensor, camera: Camera, uv: Tensor) -> Tensor:
    """(m, c) channels at pixel coordinates, clamped to the picture."""
    u = (uv[0] - 0.5).clamp(0, camera.width - 1.001)
    v = (uv[1] - 0.5).clamp(0, camera.height - 1.001)
    column, row = u.floor(), v.floor()
    at = row.long() * camera.width + column.long()
    fu, fv = (u - column)[:, None], (v - row)[:, None]
    top = torch.lerp(channels[at], channels[at + 1], fu)
    bottom = torch.lerp(channels[at + camera.width], channels[at + camera.width + 1], fu)
    return torch.lerp(top, bottom, fv)
