"""Teach a tiny VAE decoder to draw a ball in each tile, whatever the latents.

Pictures of random networks show no object, so nothing after the view generator could be run on
them. With this decoder a tiny checkpoint runs the whole pipeline: six outlines that fit one body,
slightly different colours for different latents.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

#: Radius of the ball over half the tile.
RADIUS = 0.72
#: Rate at which a decoder of this size learns its picture in 200 steps (found by trying).
_RATE, _STEPS = 2e-2, 200


def ball_tile(size: int, background: float = 127 / 255) -> torch.Tensor:
    """(3, size, size) float32 in [0, 1]: a shaded ball on plain grey, antialiased."""
    v, u = (np.mgrid[0:size, 0:size] + 0.5) / size * 2 - 1
    r = np.hypot(u, v)
    cover = np.clip((RADIUS - r) * size / 2 + 0.5, 0, 1)
    z = np.sqrt(np.clip(RADIUS**2 - r * r, 0, 1))
    colour = np.stack([0.75 - 0.2 * u, 0.45 - 0.3 * v, 0.2 + 0.5 * z])
    return torch.from_numpy(colour * cover + background * (1 - cover)).float()


def teach(vae: Any, tile: int) -> None:
    """Fit the decoder in place; five CPU seconds at 64 pixels a tile.

    The decoder learns where it is from the zero padding at the borders, which has to be within
    reach: three or four latent pixels a tile.

    Args:
        vae: a tiny ``AutoencoderKL``.
        tile: pixels of one view.
    """
    # Pictures are multiplied by 1.6 after decoding.
    _teach(vae, (ball_tile(tile).tile(1, 3, 2)[None] * 2 - 1) / 1.6)


def teach_one(vae: Any, size: int) -> None:
    """The same for a decoder that draws one picture at a time, on white."""
    _teach(vae, ball_tile(size, 1.0)[None] * 2 - 1)


def _teach(vae: Any, target: torch.Tensor) -> None:
    factor = 2 ** (len(vae.config.block_out_channels) - 1)
    height, width = target.shape[2:]
    shape = (1, vae.config.latent_channels, height // factor, width // factor)
    weights = [*vae.decoder.parameters(), *vae.post_quant_conv.parameters()]
    with torch.no_grad():
        vae.decoder.conv_in.weight.mul_(0.02)  # latents tint, they do not lead
    optimiser = torch.optim.Adam(weights, lr=_RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, _RATE, _STEPS)
    generator = torch.Generator().manual_seed(0)
    for _ in range(_STEPS):
        latents = torch.randn(shape, generator=generator) / vae.config.scaling_factor
        loss = (vae.decode(latents).sample - target).abs().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
