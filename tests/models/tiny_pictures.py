"""Tiny random text-to-image checkpoints as diffusers saves them: Stable Diffusion 1 and XL."""

from __future__ import annotations

import json
import string
from pathlib import Path
from typing import Any

import torch

from tests.models.tiny_ball import teach_one


def make_pictures(
    folder: Path, *, xl: bool = False, ball: bool = False, pixels: int = 64, **note: Any
) -> Path:
    """Write a random checkpoint folder.

    Args:
        folder: made if need be.
        xl: with two text encoders, as SDXL.
        ball: teach the decoder to draw a ball on white, whatever the text.
        pixels: side of a picture, multiple of 16.
        note: entries of the note file.
    """
    import diffusers as typed_diffusers
    import transformers

    diffusers: Any = typed_diffusers
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        vae = diffusers.AutoencoderKL(
            block_out_channels=(8, 8, 16, 16, 16),
            down_block_types=("DownEncoderBlock2D",) * 5,
            up_block_types=("UpDecoderBlock2D",) * 5,
            layers_per_block=1,
            latent_channels=4,
            norm_num_groups=4,
            sample_size=pixels,
        )
        more: dict[str, Any] = {}
        if xl:
            more = {
                "addition_embed_type": "text_time",
                "addition_time_embed_dim": 8,
                "projection_class_embeddings_input_dim": 6 * 8 + 32,
            }
        unet = diffusers.UNet2DConditionModel(
            block_out_channels=(32, 64),
            layers_per_block=1,
            down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
            cross_attention_dim=64 if xl else 32,
            attention_head_dim=8,
            sample_size=pixels // 16,
            **more,
        )
        settings = {
            "hidden_size": 32, "intermediate_size": 37, "num_hidden_layers": 2,
            "num_attention_heads": 4, "vocab_size": 60, "projection_dim": 32,
            "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1,
        }  # fmt: skip
        text = transformers.CLIPTextModel(transformers.CLIPTextConfig(**settings))
        second = transformers.CLIPTextModelWithProjection(transformers.CLIPTextConfig(**settings))
    if ball:
        teach_one(vae, pixels)
    words = _tokenizer(folder)
    parts: dict[str, Any] = {
        "vae": vae, "unet": unet, "text_encoder": text, "tokenizer": words,
        "scheduler": diffusers.EulerDiscreteScheduler(
            beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", steps_offset=1
        ),
    }  # fmt: skip
    if xl:
        pipe = diffusers.StableDiffusionXLPipeline(
            **parts, text_encoder_2=second, tokenizer_2=_tokenizer(folder)
        )
    else:
        pipe = diffusers.StableDiffusionPipeline(
            **parts, safety_checker=None, feature_extractor=None, requires_safety_checker=False
        )
    pipe.save_pretrained(folder, safe_serialization=True)
    text_of = {"licence": "none: random", "commercial": True, **note}
    (folder / "img2mesh.json").write_text(json.dumps(text_of), encoding="utf-8")
    return folder


def _tokenizer(folder: Path) -> Any:
    """Letter by letter."""
    import transformers

    ends = ["<|startoftext|>", "<|endoftext|>"]
    names = [*ends, *string.ascii_lowercase, *(f"{c}</w>" for c in string.ascii_lowercase)]
    home = folder / "tokenizer"
    home.mkdir(parents=True, exist_ok=True)
    vocabulary = {name: number for number, name in enumerate(names)}
    (home / "vocab.json").write_text(json.dumps(vocabulary), encoding="utf-8")
    (home / "merges.txt").write_text("#version: 0.2\n", encoding="utf-8")
    return transformers.CLIPTokenizer(
        str(home / "vocab.json"), str(home / "merges.txt"), model_max_length=77
    )
