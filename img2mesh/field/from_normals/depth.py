"""Depth maps from normals alone: integrated view by view, placed by what the other views see.

Integration leaves one unknown offset for each smooth patch of a view. It is found by sweeping the
whole patch along the rays and comparing world normals and colours with the other views, twice: the
second time it is known what hides what. Last, the depths of the views are fused, and whoever
contradicts what the others see is overruled.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from img2mesh.core.arrays import F32, F64
from img2mesh.core.cameras import Camera, scene_bounds
from img2mesh.field.from_normals.costs import SweptViews, sweep_costs
from img2mesh.field.from_normals.fusion import FusedDepth, Surfaces, disagreement_deg, fuse
from img2mesh.field.from_normals.integration import PixelGrid, integrate
from img2mesh.field.from_normals.semi_global import aggregate
from img2mesh.field.pictures import Observation
from img2mesh.geometry.silhouettes import Silhouette

#: Pixel spacing of the sweeps: offsets belong to patches, not to pixels.
_COARSE = 4
#: Pixel spacing of the depth that comes out, before it is spread to all pixels.
_FINE = 2
#: Spacing of the tried offsets, logarithm of depth; and how far an anchor may lie from its patch
#: until it loses confidence. Cameras further than so many diagonals of the object see it with less
#: depth in proportion, so for them all that is relative to depth shrinks alike.
_SPACING, _WIDTH, _FAR = 0.004, 0.01, 4.0
#: Weight of an offset found by the sweep, as an anchor, against the planes between neighbours.
_ANCHOR_WEIGHT = 0.1
#: Depths that differ by less are the same, part of the object's diagonal.
_SAME = 0.012
#: Largest median angle between two views' normals of one point at which the depths are handed on:
#: integrated, an error grows with every pixel. Smooth errors of 5 degrees leave nine depths of ten
#: within 1 % of the diagonal, errors of 15 degrees one half; the normals still guide the fit then.
_LARGEST_ERROR_DEG = 8.0
#: Depths of less confidence are not handed on.
_LEAST_CONFIDENCE = 0.2


@dataclass(frozen=True)
class DepthEstimate:
    """One view's depth.

    Attributes:
        depth: (h, w) float32 z-depth, NaN where nothing is known.
        confidence: (h, w) float32 in [0, 1].
    """

    depth: F32
    confidence: F32


def with_estimated_depth(
    observations: Sequence[Observation], silhouettes: Sequence[Silhouette], device: torch.device
) -> tuple[Observation, ...]:
    """The observations with the depth that their normals suggest, where they agree on it."""
    estimates = estimate_depth(observations, silhouettes, device)
    return tuple(
        o if e is None else replace(o, depth=e.depth, confidence=e.confidence)
        for o, e in zip(observations, estimates, strict=True)
    )


def estimate_depth(
    observations: Sequence[Observation], silhouettes: Sequence[Silhouette], device: torch.device
) -> tuple[DepthEstimate | None, ...]:
    """Depth of every view that has normals; None for the others.

    Args:
        observations: posed views.
        silhouettes: their contour distances.
        device: where the sweep runs.
    """
    known = [k for k, o in enumerate(observations) if o.normals is not None and o.normals.any()]
    out: list[DepthEstimate | None] = [None] * len(observations)
    if len(known) < 2:
        return tuple(out)
    chosen = [observations[k] for k in known]
    views = SweptViews.of(chosen, [silhouettes[k] for k in known], device)
    diagonal = float(np.linalg.norm(views.hull.voxel * np.array(views.hull.grid.shape)))
    same = _SAME * diagonal
    parts = [min(1.0, _FAR * diagonal / distance) for distance in _distances(views.cameras)]
    coarse = [_pixel_grid(o, _COARSE) for o in chosen]
    placed = _place(views, coarse, same, parts)
    fine = [_pixel_grid(o, _FINE) for o in chosen]
    maps = [
        _refine(f, c, *p, width=_WIDTH * part)
        for f, c, p, part in zip(fine, coarse, placed, parts, strict=True)
    ]
    surfaces = Surfaces.of(views.cameras, fine, maps, parts)
    if disagreement_deg(surfaces, same) > _LARGEST_ERROR_DEG:
        return tuple(out)
    maps = [
        _anchored(f, d, width=_WIDTH * part)
        for f, d, part in zip(fine, fuse(surfaces, same), parts, strict=True)
    ]
    fused = fuse(Surfaces.of(views.cameras, fine, maps, parts), same)
    for k, seen, pixels, depth, part in zip(known, chosen, fine, fused, parts, strict=True):
        out[k] = _spread(seen, pixels, depth, part)
    return tuple(out)


def _pixel_grid(seen: Observation, stride: int) -> PixelGrid:
    assert seen.normals is not None
    camera, mask = seen.camera, seen.view.alpha > 0.5
    return PixelGrid.of(mask, seen.normals, camera.directions(), camera.fx, stride)


def _distances(cameras: Sequence[Camera]) -> list[float]:
    """z-depth of the place that all cameras look at."""
    centre, _ = scene_bounds(cameras)
    return [float((centre - camera.origin) @ camera.forward) for camera in cameras]


def _place(
    views: SweptViews, pixel_grids: Sequence[PixelGrid], same: float, parts: Sequence[float]
) -> list[tuple[F64, F64]]:
    """Log depth (n,) and confidence (n,) of every pixel."""
    start = []
    for pixels, distance in zip(pixel_grids, _distances(views.cameras), strict=True):
        nothing = np.zeros(len(pixels))
        start.append(integrate(pixels, nothing + np.log(distance), nothing, width=_WIDTH))
    placed: list[tuple[F64, F64]] = []
    farthest: list[Tensor] | None = None
    for _ in range(2):
        placed = []
        for k, (pixels, surface) in enumerate(zip(pixel_grids, start, strict=True)):
            if not len(pixels):
                placed.append((np.zeros(0), np.zeros(0)))
                continue
            near, far = views.depth_range(k)
            low = np.log(near) - surface.log_depth.max()
            high = np.log(far) - surface.log_depth.min()
            spacing = _SPACING * parts[k]
            offsets = np.arange(low, high + spacing, spacing)
            cost = sweep_costs(views, k, pixels, surface.log_depth, offsets, farthest, same)
            found, least = _minimum(aggregate(cost, pixels, surface.weight), cost)
            placed.append((surface.log_depth + low + spacing * found, (1 - 2 * least).clip(0)))
        farthest = [
            _farthest_around(pixels, np.exp(z), views.hull.device)
            for pixels, (z, _) in zip(pixel_grids, placed, strict=True)
        ]
    return placed


def _minimum(total: Tensor, cost: Tensor) -> tuple[F64, F64]:
    """Where aggregated costs (n, k) are least, in steps, and the plain cost there."""
    best = total.argmin(1)
    inner = best.clamp(1, max(1, total.shape[1] - 2))
    below, at, above = (total.gather(1, (inner + d)[:, None])[:, 0] for d in (-1, 0, 1))
    bend = below - 2 * at + above
    shift = torch.where((bend > 1e-6) & (inner == best), 0.5 * (below - above) / bend, 0.0)
    least = cost.gather(1, best[:, None])[:, 0]
    found = best + shift.clamp(-0.5, 0.5)
    return found.cpu().numpy().astype(np.float64), least.cpu().numpy().astype(np.float64)


def _farthest_around(pixels: PixelGrid, depth: F64, device: torch.device) -> Tensor:
    """(h, w) depth beyond which a view sees nothing: the farthest of the pixels around."""
    from scipy.ndimage import maximum_filter

    farthest = maximum_filter(pixels.picture(depth, -np.inf), 3)
    farthest[~np.isfinite(farthest)] = np.inf
    return torch.as_tensor(farthest, dtype=torch.float32, device=device)


def _refine(
    fine: PixelGrid, coarse: PixelGrid, log_depth: F64, confidence: F64, *, width: float
) -> F64:
    """Integrate the finer pixels, anchored at the placed depths of the coarser ones."""
    factor = coarse.stride // fine.stride
    anchor = np.full(fine.where.shape, np.nan)
    weight = np.zeros(fine.where.shape)
    anchor[::factor, ::factor] = coarse.picture(log_depth)
    weight[::factor, ::factor] = coarse.picture(_ANCHOR_WEIGHT * (0.1 + confidence), 0.0)
    return integrate(fine, anchor[fine.where], weight[fine.where], width=width).log_depth


def _anchored(pixels: PixelGrid, fused: FusedDepth, *, width: float) -> F64:
    """Integrate once more, anchored at what the views agree on."""
    weight = _ANCHOR_WEIGHT * fused.confidence**2
    return integrate(pixels, fused.log_depth, weight, width=width).log_depth


def _spread(seen: Observation, pixels: PixelGrid, fused: FusedDepth, part: float) -> DepthEstimate:
    """To all pixels of the mask, along the likest neighbour's tangent plane."""
    assert seen.normals is not None
    ray = seen.camera.directions()
    height, width = ray.shape[:2]
    rows, columns = np.mgrid[:height, :width]
    depths = pixels.picture(np.exp(fused.log_depth))
    confidences = pixels.picture(fused.confidence, 0.0)
    normal, own = (np.zeros((*pixels.where.shape, 3)) for _ in range(2))
    normal[pixels.where], own[pixels.where] = pixels.normal, pixels.ray
    best = np.full((height, width), np.inf)
    depth, confidence = np.full((height, width), np.nan), np.zeros((height, width))
    s = pixels.stride
    for down in (0, 1):
        for right in (0, 1):
            i = np.minimum(rows // s + down * (rows % s > 0), pixels.where.shape[0] - 1)
            j = np.minimum(columns // s + right * (columns % s > 0), pixels.where.shape[1] - 1)
            n = normal[i, j]
            facing = np.minimum((n * ray).sum(-1), -0.05)
            ratio = np.minimum((n * own[i, j]).sum(-1), -0.05) / facing
            z = depths[i, j] * ratio.clip(1 - 0.03 * part, 1 + 0.03 * part)
            unlike = ((seen.normals - n) ** 2).sum(-1)
            unlike = unlike + 0.01 * ((rows - i * s) ** 2 + (columns - j * s) ** 2)
            better = np.isfinite(z) & (unlike < best)
            best[better], depth[better] = unlike[better], z[better]
            confidence[better] = confidences[i, j][better]
    depth[(seen.view.alpha <= 0.5) | (confidence < _LEAST_CONFIDENCE)] = np.nan
    return DepthEstimate(depth.astype(np.float32), confidence.astype(np.float32))
