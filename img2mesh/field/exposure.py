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

from img2mesh.field.gather import pick, places
from img2mesh.field.grid import Sdf, blur, length, locate, look_up_with_gradient
from img2mesh.field.lookup import DepthMaps, bilinear, visible_pairs
from img2mesh.field.rays import Rays

#: Rays looked at; every so many-th is taken. Their pairs grow with the views, and so does each
#: pair's row of the design: of more views than a few, fewer rays keep both within memory.
_RAYS, _FEW_VIEWS = 12_000, 24
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
        gain: (3, v) float32 log gain of each channel and view, zero on average.
        headlight: log brightening where the surface faces the camera, against edge-on; >= 0.
    """

    gain: Tensor
    headlight: float

    def share(self, view: Tensor, cosine: Tensor) -> Tensor:
        """(3, n) what colours are multiplied by to take the view's part out of them.

        Args:
            view: (n,) int64.
            cosine: (n,) between the surface's normal and the direction to the view.
        """
        return torch.exp(-self.gain.index_select(1, view) - self.headlight * cosine)

    def divide_out(self, rgb: Tensor, view: Tensor, cosine: Tensor) -> Tensor:
        """(3, n) colours without the view's share; ``view`` and ``cosine`` are (n,)."""
        return rgb * self.share(view, cosine)


def estimate_exposure(sdf: Sdf, rays: Rays, surface: Tensor, maps: DepthMaps) -> Exposure:
    """Robust regression of log colour ratios over the surface points that two views see.

    Args:
        sdf: the surface.
        rays: (r,) rays.
        surface: (r,) z-depth of the surface, inf where there is none.
        maps: the same at every pixel.
    """
    hit = places(torch.isfinite(surface) & (rays.alpha > 0.95))
    views = len(rays.pictures)
    hit = hit[:: max(1, len(hit) * max(views, _FEW_VIEWS) ** 2 // (_RAYS * _FEW_VIEWS**2))]
    some = rays.take(hit)
    points = some.points(surface.index_select(0, hit))
    _, slope = look_up_with_gradient(blur(sdf.values, 1.5), locate(sdf.grid, points))
    normal = slope / length(slope).clamp(min=1e-9)
    usable = torch.ones_like(some.view, dtype=torch.bool)
    pairs, own = visible_pairs(maps, some, points, normal, usable, 1.5 * sdf.voxel)
    home, facing, a = pick(pairs.ray, some.view, own, some.rgb)
    b, _, _ = bilinear(rays.pictures, pairs.uv, pairs.view)
    ratio = (a.clamp(min=_DARK).log() - b.clamp(min=_DARK).log()).double()
    bright = ((a > _DARK) & (b > _DARK)).double()
    number = torch.arange(views, device=sdf.device)[:, None]
    design = (home == number).double() - (pairs.view == number).double()
    return _regress(design, (facing - pairs.cosine).double(), ratio, bright)


def _regress(design: Tensor, slant: Tensor, ratio: Tensor, usable: Tensor) -> Exposure:
    """Gains a channel and one headlight for all: alternating robust least squares.

    Args:
        design: (v, n) 1 for a pair's own view, -1 for the other, else 0.
        slant: (n,) what the headlight adds to the own view more than to the other.
        ratio: (3, n) log of own over other colour.
        usable: (3, n) 1 where that counts, else 0.
    """
    views, count = design.shape
    gain = torch.zeros((3, views), dtype=torch.float64, device=design.device)
    strength = 0.01 * max(1, count) * _OUTLIER**2
    prior = torch.eye(views, dtype=torch.float64, device=design.device)
    prior *= strength / _GAIN_SPREAD**2
    headlight = gain.new_zeros(())
    for _ in range(_ROUNDS):
        rest = ratio - gain @ design
        weight = usable / (1 + ((rest - headlight * slant) / _OUTLIER).square())
        top = (weight * rest * slant).sum()
        bottom = (weight * slant.square()).sum() + strength / _HEADLIGHT_SPREAD**2
        headlight = (top / bottom).clamp(min=0)
        weighted = design * weight[:, None]  # (3, v, n)
        right = (weighted * (ratio - headlight * slant)[:, None]).sum(2)
        gain = torch.linalg.solve(weighted @ design.T + prior, right)
    gain -= gain.mean(1, keepdim=True)
    return Exposure(gain.float(), float(headlight))
