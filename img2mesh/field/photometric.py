"""Photo-consistency: a surface point has one colour in every view that sees it.

The expected surface point of a ray is projected into the other views; the colour there is compared
with the ray's own. No colour is learned, so the term only moves geometry.
"""

from __future__ import annotations

import torch
from torch import Tensor

from img2mesh.field.exposure import Exposure
from img2mesh.field.lookup import DepthMaps, bilinear, project, visible_pairs
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
    points = rays.points(depth)
    with torch.no_grad():
        pairs, own = visible_pairs(maps, rays, points, normal, opacity > 0.5, tolerance)
    ray = pairs.ray
    if not len(ray):
        return depth.sum() * 0
    uv, _ = project(rays.pictures, points[:, ray], pairs.view)
    theirs = exposure.divide_out(bilinear(rays.pictures, uv, pairs.view), pairs.view, pairs.cosine)
    mine = exposure.divide_out(rays.rgb[ray], rays.view[ray], own[ray])
    difference = (theirs - mine).abs().mean(1)
    robust = _ROBUST_SCALE * difference / (difference + _ROBUST_HALF)
    return (robust * (opacity[ray] * own[ray] * pairs.cosine)).sum() / len(rays)
