"""Light for unlit pictures with normals: one drawn view becomes many photographs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

#: Cosine lobe's share in the bands 0, 1, 2 over pi (Ramamoorthi and Hanrahan 2001).
_LOBE = (1.0, 2 / 3, 1 / 4)


def harmonics(n: Tensor) -> Tensor:
    """Real spherical harmonics up to order 2 of unit vectors (..., 3), y up: (..., 9)."""
    x, y, z = n.unbind(-1)
    one = torch.ones_like(x)
    return torch.stack(
        [
            0.282095 * one,
            0.488603 * y,
            0.488603 * z,
            0.488603 * x,
            1.092548 * x * y,
            1.092548 * y * z,
            0.315392 * (3 * y * y - 1),
            1.092548 * x * z,
            0.546274 * (x * x - z * z),
        ],
        dim=-1,
    )


def probe(panorama: NDArray[np.float32]) -> Tensor:
    """Diffuse light of an equirectangular panorama (h, w, 3), linear, row 0 up.

    Returns:
        (9, 3) coefficients: ``harmonics(n) @ probe`` is the light on a white surface, 1 on average.
    """
    h, w = panorama.shape[:2]
    polar = (np.arange(h) + 0.5) / h * np.pi
    turn = (np.arange(w) + 0.5) / w * 2 * np.pi
    direction = np.stack(
        [
            np.sin(polar)[:, None] * np.sin(turn),
            np.broadcast_to(np.cos(polar)[:, None], (h, w)),
            np.sin(polar)[:, None] * np.cos(turn),
        ],
        axis=-1,
    )
    weight = np.broadcast_to(np.sin(polar)[:, None], (h, w)) * (2 * np.pi**2 / h / w)
    basis = harmonics(torch.from_numpy(direction))
    light = torch.from_numpy(panorama.astype(np.float64) * weight[..., None])
    out = torch.einsum("hwk,hwc->kc", basis, light)
    out = out * torch.tensor([_LOBE[0]] + [_LOBE[1]] * 3 + [_LOBE[2]] * 5)[:, None]
    return (out / (out[0].mean() * 0.282095)).float()


def read_probes(folder: Path) -> Tensor:
    """(n, 9, 3) the panoramas (Radiance ``.hdr``) of a folder; none is fine."""
    import cv2

    found = []
    for file in sorted(folder.glob("*.hdr")):
        picture = cv2.imread(str(file), cv2.IMREAD_ANYDEPTH | cv2.IMREAD_COLOR)
        if picture is not None:
            found.append(probe(np.ascontiguousarray(picture[..., ::-1], np.float32)))
    return torch.stack(found) if found else torch.zeros(0, 9, 3)


def light_up(
    albedo: Tensor, normal: Tensor, elevation: Tensor, probes: Tensor, g: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Light a batch at random: a probe or a sky, mostly a key light, some a flash, some gloss.

    Args:
        albedo: (b, 3, h, w) linear.
        normal: (b, 3, h, w) unit, in the camera's axes.
        elevation: (b,) of the camera in degrees: where the sky is.
        probes: (n, 9, 3).
        g: where the chances come from.

    Returns:
        lit: (b, 3, h, w) linear, not clipped.
        gain: (b, 3) mean light over the visible surface.
    """
    b = len(albedo)

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return torch.rand(*shape, generator=g) * (high - low) + low

    def chance(p: float) -> Tensor:
        return (torch.rand(b, generator=g) < p).float()

    e, turn = torch.deg2rad(elevation), uniform(0, 2 * np.pi, b)
    zero, one = torch.zeros(b), torch.ones(b)
    # Camera axes -> world axes (tilt by the elevation), then a random turn about the vertical.
    tilt = torch.stack([one, zero, zero, zero, e.cos(), e.sin(), zero, -e.sin(), e.cos()], 1).view(
        b, 3, 3
    )
    spin = torch.stack(
        [turn.cos(), zero, turn.sin(), zero, one, zero, -turn.sin(), zero, turn.cos()], 1
    ).view(b, 3, 3)
    world = torch.einsum("bij,bjhw->bihw", spin @ tilt, normal)
    sky, ground = uniform(0.6, 1.4, b, 3), uniform(0.1, 0.8, b, 3)
    up = (0.5 + 0.5 * world[:, 1:2]).clamp(0, 1)
    light = sky[..., None, None] * up + ground[..., None, None] * (1 - up)
    if len(probes):
        chosen = probes[torch.randint(len(probes), (b,), generator=g)]
        around = torch.einsum("bhwk,bkc->bchw", harmonics(world.permute(0, 2, 3, 1)), chosen)
        use = chance(0.6)[:, None, None, None]
        light = use * around.clamp_min(0.03) + (1 - use) * light
    # The key light comes from the camera's half space, mostly from above.
    towards = torch.nn.functional.normalize(
        torch.stack([uniform(-1, 1, b), uniform(-0.2, 1.2, b), uniform(-0.3, 1.2, b)], 1), dim=1
    )
    cosine = torch.einsum("bchw,bc->bhw", normal, towards)[:, None]
    wrap = uniform(0, 0.4, b)[:, None, None, None]
    key = ((cosine + wrap) / (1 + wrap)).clamp_min(0)
    colour = (1 + uniform(-0.15, 0.15, b, 3))[..., None, None]
    strength = (chance(0.7) * uniform(0.2, 2.0, b))[:, None, None, None]
    flash = (chance(0.4) * uniform(0.1, 0.8, b))[:, None, None, None]
    light = light + strength * colour * key + flash * normal[:, 2:3].clamp_min(0)
    # Normalised over what is seen, so that exposure is set below and not by the light's strength.
    seen = (normal.abs().sum(1, keepdim=True) > 0.5).float()
    mean = (light * seen).sum((1, 2, 3)) / (3 * seen.sum((1, 2, 3))).clamp_min(1)
    exposure = uniform(0.65, 1.15, b) / mean.clamp_min(1e-3)
    light = light * exposure[:, None, None, None]
    half = torch.nn.functional.normalize(towards + torch.tensor([0.0, 0.0, 1.0]), dim=1)
    shine = torch.einsum("bchw,bc->bhw", normal, half)[:, None].clamp_min(0)
    gloss = (chance(0.35) * uniform(0.05, 0.5, b))[:, None, None, None]
    glint = gloss * shine ** (10 ** uniform(0.8, 2.0, b))[:, None, None, None]
    gain = (light * seen).sum((2, 3)) / seen.sum((2, 3)).clamp_min(1)
    return albedo * light + glint * seen, gain
