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

from img2mesh.field.grid import blur, length, locate, look_up_with_gradient
from img2mesh.field.photometric import bilinear, project, visible_pairs
from img2mesh.field.rays import Rays
from img2mesh.geometry.grid import Grid

#: Rays looked at; every so many-th is taken.
_RAYS = 12_000
#: Darker colours say little about ratios.
_DARK = 0.08
#: Scale of the robust weight (Cauchy) on log ratios, and rounds of reweighting.
_OUTLIER, _ROUNDS = 0.05, 5
#: Expected spread of log gains and of the headlight's share: the prior of a ridge regression,
#: in units of the outlier scale and one correspondence in a hundred.
_GAIN_SPREAD, _LAMP_SPREAD = 0.05, 0.15


@dataclass(frozen=True)
class Shading:
    """log colour = log paint + gain of the view + lamp * cosine between normal and view.

    Attributes:
        gain: (v, 3) float32 log gain of each view and channel, zero on average.
        lamp: log brightening where the surface faces the camera, against edge-on; not negative.
    """

    gain: Tensor
    lamp: float

    def paint(self, rgb: Tensor, view: Tensor, cosine: Tensor) -> Tensor:
        """(n, 3) colours without the view's share; ``view`` and ``cosine`` are (n,)."""
        return rgb * torch.exp(-self.gain[view] - self.lamp * cosine[:, None])


def estimate_shading(
    field: Tensor, box: Grid, rays: Rays, surface: Tensor, depth_maps: Tensor, *, stride: int
) -> Shading:
    """Robust regression of log colour ratios over the surface points that two views see.

    Args:
        field: (nx, ny, nz) signed distances.
        box: its grid.
        rays: (r,) rays.
        surface: (r,) z-depth of the field's surface, inf where there is none.
        depth_maps: (p,) the same at every pixel.
        stride: pixel spacing of the rays.
    """
    pictures = rays.pictures
    hit = torch.nonzero(torch.isfinite(surface) & (rays.alpha > 0.95)).reshape(-1)
    hit = hit[:: max(1, len(hit) // _RAYS)]
    some, depth = rays.take(hit), surface[hit]
    point = pictures.origin.T[:, some.view] + depth * some.direction
    _, slope = look_up_with_gradient(blur(field, 1.5), locate(box, point))
    normal = slope / length(slope).clamp(min=1e-9)
    own = (-some.direction / length(some.direction) * normal).sum(0)
    ray, other, cosine = visible_pairs(
        pictures,
        some,
        point,
        normal,
        depth_maps,
        own,
        torch.ones_like(own),
        tolerance=1.5 * box.voxel,
        stride=stride,
    )
    uv, _ = project(pictures, point[:, ray], other)
    a, b = some.rgb[ray], bilinear(pictures, uv, other)
    ratio = (a.clamp(min=_DARK).log() - b.clamp(min=_DARK).log()).double()
    usable = ((a > _DARK) & (b > _DARK)).double()
    views = len(pictures)
    design = torch.zeros((len(ray), views + 1), dtype=torch.float64, device=field.device)
    row = torch.arange(len(ray), device=field.device)
    design[row, some.view[ray]] = 1
    design[row, other] = -1
    design[:, views] = own[ray] - cosine
    return _regress(design, ratio, usable)


def _regress(design: Tensor, ratio: Tensor, usable: Tensor) -> Shading:
    """Three channels with gains of their own and one lamp: alternating robust least squares."""
    views = design.shape[1] - 1
    gain = torch.zeros((views, 3), dtype=torch.float64, device=design.device)
    lamp = 0.0
    strength = 0.01 * len(design) * _OUTLIER**2
    prior = torch.eye(views, dtype=torch.float64, device=design.device)
    prior *= strength / _GAIN_SPREAD**2
    matrix, slant = design[:, :views], design[:, views]
    for _ in range(_ROUNDS):
        error = ratio - matrix @ gain - lamp * slant[:, None]
        weight = usable / (1 + (error / _OUTLIER).square())
        rest = ratio - matrix @ gain
        top = (weight * rest * slant[:, None]).sum()
        bottom = (weight * slant.square()[:, None]).sum() + strength / _LAMP_SPREAD**2
        lamp = max(0.0, float(top / bottom))
        for c in range(3):
            w = weight[:, c : c + 1]
            normal_matrix = matrix.T @ (w * matrix) + prior
            right = matrix.T @ (w[:, 0] * (ratio[:, c] - lamp * slant))
            gain[:, c] = torch.linalg.solve(normal_matrix, right)
    gain -= gain.mean(0)
    return Shading(gain.float(), lamp)
