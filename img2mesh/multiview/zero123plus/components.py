"""A checkpoint folder in the official layout, read as data into stock modules."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from img2mesh.diffusion import adapters, weights
from img2mesh.diffusion.modules import diffusers_module, transformers_module
from img2mesh.diffusion.schedules import TrainingSchedule
from img2mesh.errors import InputError
from img2mesh.multiview.zero123plus.preprocess import ImageProcessor

#: What ``model_index.json`` may name; anything else is refused rather than looked for.
_CLASSES = {
    "vae": ("AutoencoderKL",),
    "unet": ("UNet2DConditionModel",),
    "scheduler": ("EulerAncestralDiscreteScheduler",),
    "text_encoder": ("CLIPTextModel",),
    "tokenizer": ("CLIPTokenizer", "CLIPTokenizerFast"),
    "vision_encoder": ("CLIPVisionModelWithProjection",),
    "feature_extractor_clip": ("CLIPImageProcessor", "CLIPFeatureExtractor"),
    "feature_extractor_vae": ("CLIPImageProcessor", "CLIPFeatureExtractor"),
}
_PIPELINE = "Zero123PlusPipeline"
#: What a missing library is said to be needed for.
_PURPOSE = "Zero123++"


@dataclass(frozen=True)
class Components:
    """Everything a folder holds.

    Attributes:
        unet, vae, text_encoder, vision_encoder: stock modules on the CPU, eval mode.
        prompt_ids: (1, length) int64 tokens of the empty prompt.
        for_clip, for_vae: the two image processors.
        ramping: (length,) float32 weight of the image embedding at each prompt position.
        training: the noise process.
    """

    unet: Any
    vae: Any
    text_encoder: Any
    vision_encoder: Any
    prompt_ids: torch.Tensor
    for_clip: ImageProcessor
    for_vae: ImageProcessor
    ramping: torch.Tensor
    training: TrainingSchedule

    @property
    def vae_factor(self) -> int:
        """Picture pixels per latent pixel."""
        return int(2 ** (len(self.vae.config.block_out_channels) - 1))


def load_components(
    folder: Path,
    *,
    dtype: torch.dtype = torch.float32,
    unet_file: Path | None = None,
    lora: Path | None = None,
) -> Components:
    """Read a checkpoint folder.

    Args:
        folder: the official layout, see ``docs/zero123plus.md``.
        dtype: of all weights.
        unet_file: other U-Net weights for the folder's U-Net configuration.
        lora: an adapter to add to the U-Net.

    Raises:
        InputError: a part is missing, unexpected or does not fit; says which.
        MissingExtraError: diffusers or transformers is not installed.
    """
    ramping = _read_index(folder)
    text, vision = (
        transformers_module(_CLASSES[part][0], folder / part, dtype, purpose=_PURPOSE)
        for part in ("text_encoder", "vision_encoder")
    )
    prompt_ids = empty_prompt(folder / "tokenizer", text.config.max_position_embeddings)
    if len(ramping) != prompt_ids.shape[1]:
        raise InputError(
            f"{folder}/model_index.json holds {len(ramping)} ramping_coefficients, expected one "
            f"for each of the {prompt_ids.shape[1]} prompt positions"
        )
    if vision.config.projection_dim != text.config.hidden_size:
        raise InputError(
            f"the image embedding of {folder} has {vision.config.projection_dim} values, the "
            f"prompt embedding {text.config.hidden_size}; they must be equal to be added"
        )
    unet = diffusers_module(
        "UNet2DConditionModel", folder / "unet", dtype, purpose=_PURPOSE, weights_file=unet_file
    )
    if lora is not None:
        adapters.add(unet, lora)
    return Components(
        unet=unet,
        vae=diffusers_module("AutoencoderKL", folder / "vae", dtype, purpose=_PURPOSE),
        text_encoder=text,
        vision_encoder=vision,
        prompt_ids=prompt_ids,
        for_clip=_processor(folder / "feature_extractor_clip"),
        for_vae=_processor(folder / "feature_extractor_vae"),
        ramping=ramping,
        training=TrainingSchedule.from_config(
            weights.read_json(folder / "scheduler" / "scheduler_config.json")
        ),
    )


def load_controlnet(folder: Path, *, dtype: torch.dtype = torch.float32) -> Any:
    """Read a ``ControlNetModel`` folder.

    Raises:
        InputError: no ControlNet, or weights that do not fit.
    """
    return diffusers_module("ControlNetModel", folder, dtype, purpose=_PURPOSE)


def _read_index(folder: Path) -> torch.Tensor:
    index = weights.read_json(folder / "model_index.json")
    if index.get("_class_name") != _PIPELINE:
        raise InputError(
            f"{folder} holds a {index.get('_class_name')!r} checkpoint, expected {_PIPELINE}"
        )
    for part, allowed in _CLASSES.items():
        entry = index.get(part)
        name = entry[1] if isinstance(entry, list) and len(entry) == 2 else entry
        if name not in allowed:
            raise InputError(
                f"{folder}/model_index.json names {name!r} as {part}, expected {allowed[0]}"
            )
    ramping = index.get("ramping_coefficients")
    if not isinstance(ramping, list) or not all(
        isinstance(r, (int, float)) and math.isfinite(r) for r in ramping
    ):
        raise InputError(
            f"{folder}/model_index.json needs ramping_coefficients, a list of finite numbers"
        )
    return torch.tensor(ramping, dtype=torch.float32)


def empty_prompt(folder: Path, length: int) -> torch.Tensor:
    """(1, length) int64 tokens of the empty prompt: start, end, then padding.

    The prompt is always empty, so the tokenizer's files are read rather than run. Where they
    disagree, the map of special tokens counts in the layout of old transformers versions, and
    not at all in that of newer ones, which list ``added_tokens_decoder``: as transformers has it.

    Raises:
        InputError: the vocabulary lacks one of the three tokens.
    """
    vocabulary = weights.read_json(folder / "vocab.json")
    config = weights.read_json(folder / "tokenizer_config.json")
    special = folder / "special_tokens_map.json"
    if special.is_file() and "added_tokens_decoder" not in config:
        config = {**config, **weights.read_json(special)}
    defaults = {
        "bos_token": "<|startoftext|>",
        "eos_token": "<|endoftext|>",
        "pad_token": "<|endoftext|>",
    }
    ids = []
    for role, default in defaults.items():
        token = config.get(role) or default
        text = token["content"] if isinstance(token, dict) else token
        if text not in vocabulary:
            raise InputError(f"{folder}/vocab.json lacks the {role} {text!r}; fetch it again")
        ids.append(int(vocabulary[text]))
    start, end, pad = ids
    return torch.tensor([[start, end] + [pad] * (length - 2)], dtype=torch.int64)


def _processor(folder: Path) -> ImageProcessor:
    return ImageProcessor.from_config(weights.read_json(folder / "preprocessor_config.json"))
