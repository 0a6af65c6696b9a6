"""What makes one surface point look different in two views: exposure, and a lamp at the camera.

Photo-consistency asks for equal colours. Renderers like to add a headlight, and networks paint each
view a little brighter or warmer than the next; on a plain surface such differences are all there is
to see, and a fit that took them for geometry would dent it. Both are estimated from the fit's own
correspondences and divided out before colours are compared.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from img2mesh.field.grid import Sdf, blur, length, locate, look_up_with_gradient
from img2mesh.field.lookup import DepthMaps, bilinear, project, visible_pairs
from img2mesh.field.rays import Rays

#: Rays looked at; every so many-th is taken.
_RAYS = 12_000
#: Darker colours say little about ratios.
_DARK = 0.08
#: Scale of the robust weight (Cauchy) on log ratios, and rounds of reweighting.
_OUTLIER, _ROUNDS = 0.05, 5
#: Expected spread of log gains and of the headlight's share: the prior of a ridge regression,
#: in units of the outlier scale and one correspondence in a hundred.
_GAIN_SPREAD, _HEADLIGHT_SPREAD = 0.05, 0.15


@dataclass(frozen=True)
class Exposure:
    """log colour = log paint + gain of the view + headlight * cosine between normal and view.

    Attributes:
        gain: (v, 3) float32 log gain of each view and channel, zero on average.
        headlight: log brightening where the surface faces the camera, against edge-on; >= 0.
    """

    gain: Tensor
    headlight: float

    def divide_out(self, rgb: Tensor, view: Tensor, cosine: Tensor) -> Tensor:
        """(n, 3) colours without the view's share; ``view`` and ``cosine`` are (n,)."""
        return rgb * torch.exp(-self.gain[view] - self.headlight * cosine[:, None])


def estimate_exposure(sdf: Sdf, rays: Rays, surface: Tensor, maps: DepthMaps) -> Exposure:
    """Robust regression of log colour ratios over the surface points that two views see.

    Args:
        sdf: the surface.
        rays: (r,) rays.
        surface: (r,) z-depth of the surface, inf where there is none.
        maps: the same at every pixel.
    """
    hit = torch.nonzero(torch.isfinite(surface) & (rays.alpha > 0.95)).reshape(-1)
    hit = hit[:: max(1, len(hit) // _RAYS)]
    some = rays.take(hit)
    points = some.points(surface[hit])
    _, slope = look_up_with_gradient(blur(sdf.values, 1.5), locate(sdf.grid, points))
    normal = slope / length(slope).clamp(min=1e-9)
    usable = torch.ones_like(some.view, dtype=torch.bool)
    pairs, own = visible_pairs(maps, some, points, normal, usable, 1.5 * sdf.voxel)
    uv, _ = project(rays.pictures, points[:, pairs.ray], pairs.view)
    a, b = some.rgb[pairs.ray], bilinear(rays.pictures, uv, pairs.view)
    ratio = (a.clamp(min=_DARK).log() - b.clamp(min=_DARK).log()).double()
    bright = ((a > _DARK) & (b > _DARK)).double()
    views = len(rays.pictures)
    design = torch.zeros((len(ratio), views + 1), dtype=torch.float64, device=sdf.device)
    row = torch.arange(len(ratio), device=sdf.device)
    design[row, some.view[pairs.ray]] = 1
    design[row, pairs.view] = -1
    design[:, views] = own[pairs.ray] - pairs.cosine
    return _regress(design, ratio, bright)


def _regress(design: Tensor, ratio: Tensor, usable: Tensor) -> Exposure:
    """Gains a channel and one headlight for all: alternating robust least squares."""
    views = design.shape[1] - 1
    gain = torch.zeros((views, 3), dtype=torch.float64, device=design.device)
    headlight = 0.0
    strength = 0.01 * len(design) * _OUTLIER**2
    prior = torch.eye(views, dtype=torch.float64, device=design.device)
    prior *= strength / _GAIN_SPREAD**2
    matrix, slant = design[:, :views], design[:, views]
    for _ in range(_ROUNDS):
        error = ratio - matrix @ gain - headlight * slant[:, None]
        weight = usable / (1 + (error / _OUTLIER).square())
        rest = ratio - matrix @ gain
        top = (weight * rest * slant[:, None]).sum()
        bottom = (weight * slant.square()[:, None]).sum() + strength / _HEADLIGHT_SPREAD**2
        headlight = max(0.0, float(top / bottom))
        for c in range(3):
            w = weight[:, c : c + 1]
            normal_matrix = matrix.T @ (w * matrix) + prior
            right = matrix.T @ (w[:, 0] * (ratio[:, c] - headlight * slant))
            gain[:, c] = torch.linalg.solve(normal_matrix, right)
    gain -= gain.mean(0)
    return Exposure(gain.float(), headlight)
