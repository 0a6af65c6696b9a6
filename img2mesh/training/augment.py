"""Training items -> batches: light, other colours, camera faults, imperfect mattes, mirroring."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from img2mesh.multiview.learned.frustum import COLUMNS, PIXELS
from img2mesh.multiview.learned.network import stack_input
from img2mesh.training.light import light_up


@dataclass(frozen=True)
class Batch:
    """What the network sees and what it should say.

    Attributes:
        picture: (b, 5, PIXELS, PIXELS), see :func:`img2mesh.multiview.learned.network.stack_input`.
        occupied: (b, SLICES, COLUMNS, COLUMNS) float 0 or 1.
        normals: (b, 3, COLUMNS, COLUMNS), 0 where nothing is seen.
        back: (b, 3, COLUMNS, COLUMNS) sRGB.
        elevation_deg: (b,).
    """

    picture: Tensor
    occupied: Tensor
    normals: Tensor
    back: Tensor
    elevation_deg: Tensor

    @property
    def mask(self) -> Tensor:
        """(b, COLUMNS, COLUMNS) bool: columns that hold anything."""
        return self.occupied.amax(1) > 0.5

    def to(self, device: torch.device) -> Batch:
        """The same on a device."""
        return Batch(*(getattr(self, name).to(device) for name in self.__dataclass_fields__))


def make_batch(
    items: NDArray[np.void], probes: Tensor, *, seed: tuple[int, ...], faults: bool = True
) -> Batch:
    """Turn records of :data:`img2mesh.training.views.ITEM` (b,) into a batch.

    Args:
        items: the records.
        probes: light probes, :func:`img2mesh.training.light.read_probes`.
        seed: decides every chance.
        faults: draw colours, faults and mirroring at random; False only lights the items.
    """
    from kornia.color import linear_rgb_to_rgb, rgb_to_linear_rgb

    g = torch.Generator().manual_seed(int(np.random.SeedSequence(seed).generate_state(1)[0]))
    alpha = _picture(items["alpha"]) / 255
    albedo = rgb_to_linear_rgb(_picture(items["albedo"]) / 255)
    back = rgb_to_linear_rgb(_picture(items["back"]) / 255)
    normal = F.normalize(_picture(items["normal"]), dim=1)
    occupied = torch.from_numpy(np.unpackbits(items["occupied"], axis=-1)).permute(0, 3, 1, 2)
    elevation = torch.from_numpy(items["elevation_deg"].copy())
    if faults:
        albedo, back = recolour(albedo, back, g)
    lit, gain = light_up(albedo, normal, elevation, probes, g)
    rgb = linear_rgb_to_rgb(lit.clamp(0, 1))
    back = linear_rgb_to_rgb((back * gain[..., None, None]).clamp(0, 1))
    if faults:
        flip = torch.rand(len(items), generator=g) < 0.5
        rgb, alpha, normal, back, occupied = (
            torch.where(flip.view(-1, *[1] * (x.ndim - 1)), x.flip(-1), x)
            for x in (rgb, alpha, normal, back, occupied)
        )
        sign = torch.where(flip, -1.0, 1.0)
        normal = torch.cat([normal[:, :1] * sign[:, None, None, None], normal[:, 1:]], 1)
        rgb, alpha = photograph(rgb, alpha, g)
    coarse = F.avg_pool2d(normal, PIXELS // COLUMNS)
    return Batch(stack_input(rgb, alpha), occupied.float(), coarse, back, elevation)


def _picture(values: NDArray[np.generic]) -> Tensor:
    """(b, h, w[, c]) -> (b[, c], h, w) float."""
    out = torch.from_numpy(np.ascontiguousarray(values)).float()
    return out.permute(0, 3, 1, 2) if out.ndim == 4 else out


def recolour(albedo: Tensor, back: Tensor, g: torch.Generator) -> tuple[Tensor, Tensor]:
    """Other colours for linear albedo (b, 3, h, w) and the back's: the shape must not hang on them.

    Channels change places, saturation, gamma and gains vary, some get an irregular pattern.
    """
    b = len(albedo)

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return torch.rand(*shape, generator=g) * (high - low) + low

    order = torch.argsort(torch.rand(b, 3, generator=g), dim=1)
    keep = torch.rand(b, generator=g) < 0.5
    order = torch.where(keep[:, None], torch.arange(3)[None], order)
    saturation = torch.where(torch.rand(b, generator=g) < 0.1, 0.0, uniform(0.4, 1.4, b))
    power, gains, lift = uniform(0.7, 1.5, b), uniform(0.7, 1.3, b, 3), uniform(0, 0.06, b)

    def change(x: Tensor) -> Tensor:
        x = torch.gather(x, 1, order[:, :, None, None].expand_as(x))
        grey = x.mean(1, keepdim=True)
        x = (grey + saturation[:, None, None, None] * (x - grey)).clamp(1e-4, 1)
        x = x ** power[:, None, None, None] * gains[..., None, None]
        return (x + lift[:, None, None, None]).clamp(0, 1)

    albedo, back = change(albedo), change(back)
    k = torch.nonzero(torch.rand(b, generator=g) < 0.35).ravel()
    if len(k):
        size = albedo.shape[-1]
        pattern = torch.zeros(len(k), 3, size, size)
        for n in (5, 17, 47):
            grains = torch.randn(len(k), 3, n, n, generator=g)
            pattern += F.interpolate(grains, size=(size, size), mode="bilinear")
        tint = (torch.rand(len(k), generator=g) < 0.3)[:, None, None, None]
        pattern = torch.where(tint, pattern, pattern.mean(1, keepdim=True))
        amount = uniform(0.05, 0.4, len(k))[:, None, None, None]
        albedo[k] = (albedo[k] * torch.exp(amount * pattern)).clamp(0, 1)
    return albedo, back


def photograph(rgb: Tensor, alpha: Tensor, g: torch.Generator) -> tuple[Tensor, Tensor]:
    """What cameras, files and segmenters do to a picture (b, 3, h, w) and its matte (b, h, w)."""
    from kornia.enhance import jpeg_codec_differentiable
    from kornia.filters import gaussian_blur2d

    b, size = len(rgb), rgb.shape[-1]

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return torch.rand(*shape, generator=g) * (high - low) + low

    def some(p: float) -> Tensor:
        return torch.nonzero(torch.rand(b, generator=g) < p).ravel()

    ground = uniform(0, 1, b, 3)[..., None, None]
    a = alpha[:, None]
    rgb = rgb * a + ground * (1 - a)  # what bleeds in at the rim
    if len(k := some(0.35)):
        sigma = uniform(0.4, 1.3, len(k), 1).expand(-1, 2)
        rgb[k] = gaussian_blur2d(rgb[k], (7, 7), sigma)
    balance = uniform(0.93, 1.07, b, 3)[..., None, None]
    contrast = uniform(0.85, 1.15, b)[:, None, None, None]
    rgb = ((rgb - 0.5) * contrast + 0.5) * balance + uniform(-0.05, 0.05, b)[:, None, None, None]
    if len(k := some(0.5)):
        noise = uniform(0.005, 0.04, len(k))[:, None, None, None]
        rgb[k] = rgb[k] + noise * torch.randn(len(k), 3, size, size, generator=g)
    rgb = rgb.clamp(0, 1)
    if len(k := some(0.2)):
        rgb[k] = jpeg_codec_differentiable(rgb[k], uniform(30, 90, len(k))).clamp(0, 1)
    alpha = alpha.clone()
    if len(k := some(0.15)):
        alpha[k] = F.max_pool2d(alpha[k, None], 3, 1, 1)[:, 0]
    if len(k := some(0.15)):
        alpha[k] = -F.max_pool2d(-alpha[k, None], 3, 1, 1)[:, 0]
    if len(k := some(0.2)):
        alpha[k] = gaussian_blur2d(
            alpha[k, None], (5, 5), uniform(0.5, 1.2, len(k), 1).expand(-1, 2)
        )[:, 0]
    if len(k := some(0.08)):  # a bite
        axis = torch.arange(size).float()
        middle, radius = uniform(0.2 * size, 0.8 * size, len(k), 2), uniform(2, 7, len(k))
        away = (axis[None, :, None] - middle[:, :1, None]) ** 2
        away = away + (axis[None, None] - middle[:, 1:, None]) ** 2
        bitten = alpha[k] * (away > radius[:, None, None] ** 2)
        alpha[k] = torch.where((bitten.amax((1, 2)) > 0.5)[:, None, None], bitten, alpha[k])
    return rgb, alpha
