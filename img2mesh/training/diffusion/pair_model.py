"""The loss of Zero-1-to-3, as one module that a trainer can wrap (arXiv 2303.11328)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from img2mesh.multiview.zero123.components import Components
from img2mesh.training.diffusion import objective
from img2mesh.training.diffusion.rates import PROJECTION_FACTOR


def rate_factor(name: str) -> float:
    """The projection trains at ten times the base rate."""
    return PROJECTION_FACTOR if name.startswith("projection.") else 1.0


class PairModel(nn.Module):
    """(b,) losses of a batch of :meth:`img2mesh.training.diffusion.pairs.PairData.sample`.

    The error of the noise, every level alike. The given view's latents are the posterior's mean,
    *unscaled*; a dropped CLIP embedding is zeros before the projection, so that the camera stays.
    """

    abar: Tensor

    def __init__(self, components: Components) -> None:
        super().__init__()
        self.unet, self.projection = components.unet, components.projection
        self._frozen = (components.vae, components.image_encoder)
        self.register_buffer("abar", components.training.alphas_cumprod(), persistent=False)

    def choose(self, phase: int = 2) -> None:
        """Let gradients reach everything: U-Net and projection."""
        self.requires_grad_(True)

    def place(self, device: torch.device, dtype: torch.dtype) -> None:
        """Put the frozen parts where they work, in the precision they work in."""
        for part in self._frozen:
            part.to(device, dtype)

    def enable_checkpointing(self) -> None:
        """Recompute activations in the backward pass."""
        self.unet.enable_gradient_checkpointing()

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        """Mean squared errors (b,) of the predicted noise."""
        vae, tower = self._frozen
        with torch.no_grad():
            seen = vae.encode(batch["target"].to(vae.dtype)).latent_dist
            clean = seen.mean.float() + seen.std.float() * batch["target_eps"]
            clean = clean * vae.config.scaling_factor
            tail = vae.encode(batch["given"].to(vae.dtype)).latent_dist.mode().float()
            embeds = tower(batch["for_clip"].to(tower.dtype)).image_embeds.float()
        embeds = embeds * (~batch["no_clip"]).float()[:, None]
        tail = tail * (~batch["no_latents"]).float().view(-1, 1, 1, 1)
        context = self.projection(torch.cat([embeds, batch["camera"]], dim=-1))[:, None]
        mixed = objective.noised(clean, batch["noise"], self.abar[batch["timestep"]])
        joined = torch.cat([mixed, tail], dim=1)
        output = self.unet(joined, batch["timestep"], context, return_dict=False)[0]
        return objective.per_sample_mse(output, batch["noise"])
