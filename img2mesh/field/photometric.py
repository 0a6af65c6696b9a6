"""Photo-consistency: a surface point has one colour in every view that sees it.

The expected surface point of a ray is projected into the other views; the colour there is compared
with the ray's own. No colour is learned, so the term only moves geometry.
"""

from __future__ import annotations

import torch
from torch import Tensor

from img2mesh.field.exposure import Exposure
from img2mesh.field.lookup import DepthMaps, Pairs, bilinear, turned, visible_pairs
from img2mesh.field.rays import Rays

#: Robust form s e / (e + c): a wrong match (another material, a highlight) costs at most s.
_ROBUST_SCALE, _ROBUST_HALF = 0.3, 0.15


def photometric_loss(
    rays: Rays,
    depth: Tensor,
    opacity: Tensor,
    normal: Tensor,
    maps: DepthMaps,
    exposure: Exposure,
    *,
    tolerance: float,
) -> Tensor:
    """Mean robust colour difference over the rays, a scalar.

    Args:
        rays: (r,) rays.
        depth: (r,) expected z-depths; the gradient flows through these.
        opacity: (r,) how far each ray counts, without gradient.
        normal: (3, r) unit surface normals, without gradient.
        maps: the current shape as the views see it.
        exposure: what is divided out before colours are compared.
        tolerance: how far behind the depth map a point still counts as seen, world units.
    """
    with torch.no_grad():
        points = rays.points(depth)
        pairs, own = visible_pairs(maps, rays, points, normal, opacity > 0.5, tolerance)
        ray = pairs.ray
        theirs, along_u, along_v = bilinear(rays.pictures, pairs.uv, pairs.view)
        du, dv = _shift(rays, pairs)
        mine = exposure.divide_out(rays.rgb, rays.view, own)
        share = exposure.share(pairs.view, pairs.cosine)
        difference = theirs * share - mine.index_select(1, ray)
        change = (along_u * du + along_v * dv) * share
        weight = (opacity * own).index_select(0, ray) * pairs.cosine
    # Exact in value and gradient: what depends on the depth is linear in it where it stands.
    moved = (depth - depth.detach()).index_select(0, ray)
    difference = (difference + change * moved).abs().mean(0)
    robust = _ROBUST_SCALE * difference / (difference + _ROBUST_HALF)
    return (robust * weight).sum() / len(rays)


def _shift(rays: Rays, pairs: Pairs) -> tuple[Tensor, Tensor]:
    """(m,) how fast a pair's point moves in the other view when it moves along its ray: pixels in u
    and v, per unit of z-depth in its own view."""
    pictures, views = rays.pictures, torch.arange(len(rays.pictures), device=pairs.ray.device)
    directions = turned(pictures, rays.direction, views).reshape(3, -1)
    x, y, z = directions.index_select(1, pairs.view * len(rays) + pairs.ray)
    fx, fy = pictures.focal.index_select(1, pairs.view)
    off = pairs.uv - pictures.centre.index_select(1, pairs.view)
    depth = pairs.z.clamp(min=1e-6)
    return (fx * x + off[0] * z) / depth, (off[1] * z - fy * y) / depth
