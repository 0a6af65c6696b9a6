"""The parts of a Zero-1-to-3 checkpoint, wherever they were read from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from img2mesh.diffusion import weights
from img2mesh.diffusion.schedules import TrainingSchedule
from img2mesh.errors import InputError
from img2mesh.multiview.zero123plus.preprocess import ImageProcessor

PURPOSE = "Zero-1-to-3"
#: The schedule every published checkpoint was trained on (scaled-linear, 1000 steps).
PUBLISHED = TrainingSchedule(beta_schedule="scaled_linear", prediction="epsilon")


@dataclass(frozen=True)
class Components:
    """Everything a checkpoint holds.

    Attributes:
        unet, vae, image_encoder: stock modules on the CPU, eval mode.
        projection: ``Linear(d + 4, d)`` from image embedding and camera vector to the context.
        processor: 8-bit image processor of layout ``clip_camera_projection``; None: the original's.
        training: the noise process.
        final_alpha: cumulative alpha after the last DDIM step: 1, or that of the first timestep.
        notes: what a user should know, in sentences.
    """

    unet: Any
    vae: Any
    image_encoder: Any
    projection: nn.Linear
    processor: ImageProcessor | None
    training: TrainingSchedule
    final_alpha: float
    notes: tuple[str, ...] = ()

    @property
    def vae_factor(self) -> int:
        """Picture pixels per latent pixel."""
        return int(2 ** (len(self.vae.config.block_out_channels) - 1))

    @property
    def size(self) -> int:
        """Side of a picture as trained, pixels."""
        return int(self.unet.config.sample_size) * self.vae_factor


def projection_of(state: weights.State, what: str, dtype: torch.dtype) -> nn.Linear:
    """The projection from its two tensors, whatever they are prefixed with; sizes from them.

    Raises:
        InputError: other tensors, or shapes that are no projection of an embedding and a camera.
    """
    by_name = {name.rpartition(".")[2]: tensor for name, tensor in state.items()}
    weight, bias = by_name.get("weight"), by_name.get("bias")
    if weight is None or bias is None or len(state) != 2 or weight.ndim != 2:
        raise InputError(f"{what} holds {sorted(state)}, expected the weight and bias of one layer")
    outputs, inputs = weight.shape
    if inputs != outputs + 4 or bias.shape != (outputs,):
        raise InputError(
            f"{what} has shape {tuple(weight.shape)}, expected d x (d + 4): an image embedding and "
            "a camera vector to a context token"
        )
    return weights.build(
        lambda: nn.Linear(inputs, outputs), {"weight": weight, "bias": bias}, what=what, dtype=dtype
    )
