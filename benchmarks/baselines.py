"""Other ways from the same views to a signed-distance grid, to measure ours against.

All end as a :class:`RadianceField`, so that extraction, cleaning and texture are the same for every
method and only the shape differs.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from img2mesh.artifacts import RadianceField, ViewSet
from img2mesh.core.cameras import Camera
from img2mesh.geometry.silhouettes import make_silhouettes
from img2mesh.geometry.visual_hull import hull_sdf, hull_values, tight_box


def visual_hull(views: ViewSet, *, grid: int = 128) -> RadianceField:
    """The intersection of the six silhouette cones, and nothing else."""
    sdf, points = hull_sdf(views.views, grid=grid)
    return RadianceField(sdf, points.origin, points.voxel, points.voxel)


# -------------------------------------------------------------------------------------------- TSDF


def fuse_depth(views: ViewSet, *, grid: int = 192, truncation: float = 3.0) -> RadianceField:
    """Truncated signed-distance fusion of given depth maps (Curless and Levoy 1996).

    Per view the signed distance along the optical axis, times the cosine between ray and surface
    (which makes it perpendicular), cut at ``truncation`` voxels and averaged with the cosine as
    weight. The outlines carve as in the visual hull, to a fraction of a pixel; what lies behind
    every surface, seen by nobody, counts as solid.

    Args:
        views: with depth.
        grid: points along the longest side.
        truncation: in voxels.
    """
    if views.depth is None:
        raise ValueError("fusion needs depth maps")
    outlines = make_silhouettes(views.views)
    box = tight_box(outlines, grid=grid, margin=0.05)
    limit = truncation * box.voxel
    total, weight = np.zeros(box.shape, np.float32), np.zeros(box.shape, np.float32)
    for depth, camera in zip(views.depth, views.cameras, strict=True):
        cosine = _facing(depth, camera)
        for x in range(box.shape[0]):
            uv, z = camera.project(box.slab(x, x + 1)[0])
            seen, facing, covered = _look_up(depth, cosine, uv)
            distance = (seen - z) * facing
            near = covered & (distance > -limit)
            part = np.where(near, np.minimum(distance, limit), 0)
            w = np.where(near, facing, 0)
            total[x] += (part * w).astype(np.float32)
            weight[x] += w.astype(np.float32)
    sdf = np.where(weight > 0, total / np.maximum(weight, 1e-9), -limit)
    sdf = np.maximum(sdf, hull_values(outlines, box))
    return RadianceField(sdf.astype(np.float32), box.origin, box.voxel, box.voxel)


def _facing(depth: NDArray[np.float32], camera: Camera) -> NDArray[np.float64]:
    """|cos| between each pixel's ray and its surface, from the depth's own gradient; 0 unknown."""
    points = camera.origin + depth[..., None] * camera.directions()
    du, dv = np.gradient(points, axis=1), np.gradient(points, axis=0)
    normal = np.cross(du, dv)
    length = np.linalg.norm(normal, axis=2, keepdims=True)
    rays = camera.directions()
    rays = rays / np.linalg.norm(rays, axis=2, keepdims=True)
    cosine = np.abs((normal / np.maximum(length, 1e-20) * rays).sum(axis=2))
    # Along the outline the gradient is unknown: trust those pixels little, but do trust them.
    return np.where(np.isfinite(cosine), np.maximum(cosine, 0.1), 0.2)


def _look_up(
    depth: NDArray[np.float32], cosine: NDArray[np.float64], uv: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    """Depth, cosine and coverage at pixels uv: bilinear on smooth surface, else the nearest."""
    height, width = depth.shape
    u, v = uv[..., 0] - 0.5, uv[..., 1] - 0.5
    column, row = np.rint(u).astype(int), np.rint(v).astype(int)
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    column, row = column.clip(0, width - 1), row.clip(0, height - 1)
    nearest, facing = depth[row, column].astype(np.float64), cosine[row, column]
    covered = inside & np.isfinite(nearest)
    left, top = np.floor(u).astype(int).clip(0, width - 2), np.floor(v).astype(int)
    top = top.clip(0, height - 2)
    fu, fv = (u - left).clip(0, 1), (v - top).clip(0, 1)
    four = np.stack([depth[top + j, left + i] for j in (0, 1) for i in (0, 1)]).astype(np.float64)
    blend = (four[0] * (1 - fu) + four[1] * fu) * (1 - fv) + (
        four[2] * (1 - fu) + four[3] * fu
    ) * fv
    smooth = np.isfinite(blend) & (np.ptp(four, axis=0) < 0.03 * np.abs(nearest))
    return np.where(smooth, blend, nearest), facing, covered


# --------------------------------------------------------------------------------- matching's limit


def seen_twice(views: ViewSet, *, least_cosine: float = 0.25, tolerance: float = 0.02) -> ViewSet:
    """The views with their true depth only where a second view sees the same point too.

    What a perfect matcher could find: both views must see the surface less than 75 degrees from
    its normal. The rest of the depth is dropped, and so are normals.

    Args:
        views: with depth.
        least_cosine: between the surface's normal and each of the two rays.
        tolerance: difference in z-depth up to which two views see the same point, world units.
    """
    if views.depth is None:
        raise ValueError("true depth maps are needed")
    cosines = [_facing(d, c) for d, c in zip(views.depth, views.cameras, strict=True)]
    kept = []
    for k, (depth, camera) in enumerate(zip(views.depth, views.cameras, strict=True)):
        points = camera.origin + depth[..., None] * camera.directions()
        twice = np.zeros(depth.shape, bool)
        for j, other in enumerate(views.cameras):
            uv, z = other.project(points)
            seen, facing, covered = _look_up(views.depth[j], cosines[j], np.nan_to_num(uv, nan=-9))
            same = covered & (np.abs(seen - z) < tolerance) & (facing > least_cosine)
            twice |= same & (j != k)
        kept.append(np.where(twice & (cosines[k] > least_cosine), depth, np.nan))
    return replace(views, depth=np.stack(kept).astype(np.float32), normals=None)


# -------------------------------------------------------------------------------------------- NeRF


def density_grid(
    views: ViewSet, *, grid: int = 96, steps: int = 300, rays: int = 4096, seed: int = 0
) -> RadianceField:
    """A plain voxel radiance field: density and colour grids, volume rendered, then thresholded.

    Mean squared colour error plus a total-variation prior on density; rendering weights from
    nerfacc's dense ``render_weight_from_density``. Every ray gets a random background, on which
    both the picture and the rendering are put, or else fog of the background's colour would be a
    solution. View-independent colour, Adam, no hull and no depth. The mesh is the level at which
    one voxel has an optical depth of 0.2, the best of six levels tried on two objects.
    """
    import torch
    from nerfacc import render_weight_from_density
    from torch.nn.functional import grid_sample, mse_loss, softplus

    box = tight_box(make_silhouettes(views.views), grid=grid, margin=0.05)
    generator = torch.Generator().manual_seed(seed)
    origins, directions, rgba = _all_rays(views)
    raw = torch.full((1, 1, *box.shape[::-1]), -5.0, requires_grad=True)
    paint = torch.zeros((1, 3, *box.shape[::-1]), requires_grad=True)
    optimiser = torch.optim.Adam([{"params": [raw], "lr": 0.3}, {"params": [paint], "lr": 0.1}])
    low = torch.tensor(box.origin, dtype=torch.float32)
    size = torch.tensor(box.voxel * (np.array(box.shape) - 1), dtype=torch.float32)
    step = 2 * box.voxel
    count = int(np.ceil(float(size.norm()) / step))
    scale = 1 / box.voxel  # softplus(raw) of 1 absorbs 1 - 1/e per voxel
    for _ in range(steps):
        pick = torch.randint(len(origins), (rays,), generator=generator)
        o, d = origins[pick], directions[pick]
        first = _entry(o, d, low, size)
        jitter = torch.rand((rays, 1), generator=generator)
        starts = first + step * (torch.arange(count) + jitter)
        at = o[:, None] + d[:, None] * (starts + step / 2)[..., None]
        where = ((at - low) / size * 2 - 1)[None, :, :, None]
        sigma = softplus(grid_sample(raw, where, align_corners=True)[0, 0, :, :, 0]) * scale
        sigma = sigma * (where[0, :, :, 0].abs() <= 1).all(-1)
        rgb = grid_sample(paint, where, align_corners=True)[0, :, :, :, 0].sigmoid()
        weights, _, _ = render_weight_from_density(starts, starts + step, sigma)
        behind = torch.rand((rays, 3), generator=generator)
        image = (weights * rgb).sum(-1).T + (1 - weights.sum(-1, keepdim=True)) * behind
        alpha = rgba[pick, 3:]
        target = rgba[pick, :3] * alpha + (1 - alpha) * behind
        smooth = sum(raw.diff(dim=axis).abs().mean() for axis in (2, 3, 4))
        loss = mse_loss(image, target) + 2e-3 * smooth
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    absorbed = softplus(raw.detach())[0, 0].permute(2, 1, 0).numpy()
    sdf = (0.2 - absorbed).clip(-2, 2) * box.voxel
    return RadianceField(sdf.astype(np.float32), box.origin, box.voxel, box.voxel)


def _all_rays(views: ViewSet):  # type: ignore[no-untyped-def]
    """Every pixel within 24 pixels of the object: origins, unit directions, straight RGBA."""
    import torch
    from scipy.ndimage import binary_dilation

    parts = []
    for view in views.views:
        assert view.camera is not None
        near = binary_dilation(view.alpha > 0, iterations=24)
        rays = view.camera.directions()[near]
        rays = rays / np.linalg.norm(rays, axis=1, keepdims=True)
        colour = np.concatenate([view.rgb[near], view.alpha[near][:, None]], axis=1)
        parts.append((np.broadcast_to(view.camera.origin, rays.shape), rays, colour))
    return [torch.tensor(np.concatenate(p), dtype=torch.float32) for p in zip(*parts, strict=True)]


def _entry(o, d, low, size):  # type: ignore[no-untyped-def]
    """Distance at which rays enter the box (slab method), (n, 1)."""
    a, b = (low - o) / d, (low + size - o) / d
    return a.minimum(b).amax(dim=1, keepdim=True).clamp(min=0)
