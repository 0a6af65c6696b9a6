"""The loss of Zero123++ and of its ControlNets, as one module that a trainer can wrap."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from img2mesh.diffusion import reference_attention
from img2mesh.multiview.zero123plus.components import Components
from img2mesh.multiview.zero123plus.conditioning import empty_prompt_embedding, image_embedding
from img2mesh.multiview.zero123plus.model import LATENT_SCALE, LATENT_SHIFT
from img2mesh.training.diffusion import objective

#: Phase 1 (arXiv 2310.15110, section 2.3): self-attention, and keys and values of cross-attention.
_PHASE_1 = re.compile(r"\.attn1\.|\.attn2\.to_[kv]\.")


def trains(name: str, phase: int) -> bool:
    """Whether a phase tunes the U-Net parameter of that name."""
    return phase == 2 or bool(_PHASE_1.search(f".{name}"))


class SheetModel(nn.Module):
    """(b,) losses of a batch of :meth:`img2mesh.training.diffusion.sheets.SheetData.sample`.

    The condition's latents are noised to the target's level with noise of their own, written, and
    read by the pass that denoises; both passes see the same context. Where the condition is dropped
    the prompt is empty and the reference is that of mid-grey: what the guided sampler uses, not the
    black picture of other code. The ramp is a parameter.

    Args:
        components: the checkpoint; the U-Net becomes this module's, the rest stays frozen.
        gamma: of the Min-SNR weights; None weighs all noise levels alike.
        controlnet: train this on a frozen base.
    """

    abar: Tensor

    def __init__(
        self, components: Components, *, gamma: float | None = 5.0, controlnet: Any = None
    ) -> None:
        super().__init__()
        self.unet = components.unet
        self.ramping = nn.Parameter(components.ramping.clone())
        self.controlnet = controlnet
        self.gamma, self.training_schedule = gamma, components.training
        # In a tuple, so that they are no sub-modules: nobody averages, saves or wraps them.
        self._frozen = (components.vae, components.text_encoder, components.vision_encoder)
        self._prompt_ids = components.prompt_ids
        self.register_buffer("abar", components.training.alphas_cumprod(), persistent=False)
        self._grey: tuple[Tensor, Tensor] | None = None
        self._empty: Tensor | None = None
        self._recomputes = False
        self.install()

    def install(self) -> None:
        """Give the U-Net this trainer's attention; again, after it sampled."""
        self.bank = reference_attention.install(self.unet, keep_context=False)
        if self.controlnet is not None:
            reference_attention.install_plain(self.controlnet, keep_context=False)
        if self._recomputes:  # of this bank, not of the one before
            self.enable_checkpointing()

    def choose(self, phase: int) -> None:
        """Let gradients reach what a phase tunes, and nothing else; a ControlNet goes alone."""
        alone = self.controlnet is not None
        for name, parameter in self.unet.named_parameters():
            parameter.requires_grad_(not alone and trains(name, phase))
        self.ramping.requires_grad_(not alone)
        if alone:
            self.controlnet.requires_grad_(True)

    def place(self, device: torch.device, dtype: torch.dtype) -> None:
        """Put the frozen parts where they work, in the precision they work in."""
        for part in self._frozen:
            part.to(device, dtype)

    def enable_checkpointing(self) -> None:
        """Recompute activations in the backward pass: half the memory for a third more time."""
        self._recomputes = True
        self.unet.enable_gradient_checkpointing(_recomputed_in_mode(self.bank))
        if self.controlnet is not None:
            self.controlnet.enable_gradient_checkpointing()

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        """Weighted mean squared errors (b,) of the network's output."""
        clean, reference, context = self._encode(batch)
        abar = self.abar[batch["timestep"]]
        kind = self.training_schedule.prediction
        mixed = objective.noised(clean, batch["noise"], abar)
        beside = objective.noised(reference, batch["reference_noise"], abar)
        time = batch["timestep"]
        self.bank.clear()
        controlled = self.controlnet is not None
        with self.bank.passing("write"), torch.set_grad_enabled(not controlled):
            self.unet(beside, time, context, return_dict=False)
        down: Any = None
        middle: Any = None
        if controlled:
            down, middle = self.controlnet(
                mixed, time, context, controlnet_cond=batch["control"], return_dict=False
            )
        with self.bank.passing("read"):
            output = self.unet(
                mixed,
                time,
                context,
                down_block_additional_residuals=down,
                mid_block_additional_residual=middle,
                return_dict=False,
            )[0]
        wanted = objective.target(clean, batch["noise"], abar, kind)
        return objective.min_snr_weight(abar, kind, self.gamma) * objective.per_sample_mse(
            output, wanted
        )

    def _encode(self, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Target latents, reference latents and context; only the ramp gets gradients."""
        vae, text, vision = self._frozen
        with torch.no_grad():
            z = self._latents(batch["target"], batch["target_eps"])
            clean = (z * vae.config.scaling_factor - LATENT_SHIFT) * LATENT_SCALE
            reference = self._latents(batch["for_vae"], batch["condition_eps"])
            if self._grey is None:  # of one picture, for all
                grey = vae.encode(torch.zeros_like(batch["for_vae"][:1]).to(vae.dtype)).latent_dist
                self._grey = grey.mean.float(), grey.std.float()
            nothing = self._grey[0] + self._grey[1] * batch["condition_eps"]
            dropped = batch["dropped"].view(-1, 1, 1, 1)
            reference = torch.where(dropped, nothing, reference)
            if self._empty is None:
                self._empty = empty_prompt_embedding(text, self._prompt_ids).float()
            image = image_embedding(vision, batch["for_clip"]).float()
        ramp = self.ramping[None, :, None] * image[:, None]
        kept = (~batch["dropped"]).float().view(-1, 1, 1)
        return clean, reference, self._empty + ramp * kept

    def _latents(self, pixels: Tensor, eps: Tensor) -> Tensor:
        vae = self._frozen[0]
        posterior = vae.encode(pixels.to(vae.dtype)).latent_dist
        return posterior.mean.float() + posterior.std.float() * eps


def _recomputed_in_mode(bank: reference_attention.ReferenceBank) -> Callable[..., Any]:
    """Checkpointing whose second forward pass attends as the first did."""
    from contextlib import nullcontext

    def run(module: nn.Module, *args: Any) -> Any:
        mode, stored = bank.mode, bank.stored

        def contexts() -> Any:
            return nullcontext(), bank.repeating(mode, stored)

        return checkpoint(module.__call__, *args, use_reentrant=False, context_fn=contexts)

    return run
