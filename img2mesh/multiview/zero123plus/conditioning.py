"""What a run is conditioned on: reference latents and prompt context.

Zero123++ (arXiv 2310.15110, section 2): locally by the condition's own latents, globally by the
CLIP embedding of the condition, spread over the positions of the empty prompt.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from img2mesh.diffusion.noise import NoiseSource, drawn

Observe = Callable[[str, Any], None]


def encode(
    vae: Any,
    pixels: torch.Tensor,
    kind: str,
    noise: NoiseSource,
    observe: Observe,
    *,
    posterior: tuple[torch.Tensor, torch.Tensor] | None = None,
) -> tuple[torch.Tensor, tuple[torch.Tensor, torch.Tensor]]:
    """A sample of the VAE's posterior, raw: no scaling factor, shift or scale.

    The published networks were trained on unscaled reference latents, about five times louder
    than the targets.

    Args:
        pixels: (1, 3, h, w) as the VAE branch's processor makes them.
        kind: of noise: ``vae_cond`` or ``vae_negative``.
        posterior: (mean, std) of an earlier call for the same pixels.

    Returns:
        The latents (1, c, h / f, w / f) float32, and the posterior for a later call.
    """
    if posterior is None:
        distribution = vae.encode(pixels.to(vae.device, vae.dtype)).latent_dist
        posterior = distribution.mean.float(), distribution.std.float()
    mean, std = posterior
    latent = mean + std * drawn(noise, kind, None, tuple(mean.shape), mean.device)
    name = {"vae_cond": "cond.", "vae_negative": "cond.negative_"}[kind]
    observe(f"{name}vae_mean", mean)
    observe(f"{name}vae_std", std)
    observe(f"{name}latent", latent)
    return latent, posterior


def empty_prompt_embedding(text_encoder: Any, prompt_ids: torch.Tensor) -> torch.Tensor:
    """(1, length, d): the text tower's last hidden state, after its final norm, unmasked."""
    return text_encoder(prompt_ids)[0]


def image_embedding(vision_encoder: Any, pixels: torch.Tensor) -> torch.Tensor:
    """(1, d): the projected CLIP embedding, not normalised."""
    return vision_encoder(pixels.to(vision_encoder.dtype)).image_embeds


def prompt_context(
    empty: torch.Tensor, image: torch.Tensor, ramping: torch.Tensor, *, guided: bool, count: int
) -> torch.Tensor:
    """The cross-attention context of all rows.

    Position k of the positive rows is ``empty[k] + ramping[k] * image``; the negative rows are
    the empty prompt as it is.

    Args:
        empty: (1, length, d).
        image: (1, d).
        ramping: (length,).
        guided: whether there are negative rows.
        count: pictures drawn at once, n.

    Returns:
        (2n, length, d) rows [negative x n, positive x n], or (n, length, d).
    """
    positive = empty + ramping.to(empty)[None, :, None] * image[:, None, :]
    rows = torch.cat([empty, positive]) if guided else positive
    return rows.repeat_interleave(count, dim=0)
