"""Tiny random checkpoints in the official Zero123++ folder layout, for tests and dry runs.

Every component is a stock class of the official kind, a few channels wide, so that the code that
runs is the code that runs for real. Pictures drawn with them mean nothing.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from img2mesh.diffusion.checkpoints import NOTE_NAME


@dataclass(frozen=True)
class TinyShape:
    """What may differ from checkpoint to checkpoint.

    Attributes:
        unet_channels: of each level; two levels or more. All but the last attend.
        layers: residual layers in each block.
        heads: of each level.
        vae_channels: of each level; n levels make a factor of 2^(n-1).
        vae_layers, text_layers, vision_layers: of the other networks.
        width: of prompt and image embeddings.
        vae_pixels, clip_pixels: input sizes of the two image branches.
        tile: pixels of one view, written into the note file; multiple of the VAE's factor.
        rig: name of the camera rig, likewise.
        prediction: of the scheduler.
    """

    unet_channels: tuple[int, ...] = (16, 32)
    layers: int = 1
    heads: tuple[int, ...] = (2, 4)
    vae_channels: tuple[int, ...] = (8, 16, 16, 16)
    vae_layers: int = 1
    text_layers: int = 2
    vision_layers: int = 2
    width: int = 32
    vae_pixels: int = 64
    clip_pixels: int = 32
    tile: int = 32
    rig: str = "zero123plus-v1.1"
    prediction: str = "v_prediction"


#: A shape whose decoder can learn balls: four latent pixels a tile.
BALLS = TinyShape(vae_channels=(8, 8, 16, 16, 16), tile=64)

#: The published networks, narrow: every tensor has its published name.
PUBLISHED = TinyShape(
    unet_channels=(8, 16, 32, 32),
    layers=2,
    heads=(1, 2, 4, 4),
    vae_channels=(4, 8, 16, 16),
    vae_layers=2,
    text_layers=23,
    vision_layers=32,
)

_LENGTH = 77
_RGB = {
    "clip": ([0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711], 3),
    "vae": (0.5, 0.8, 2),
}


def make_checkpoint(
    folder: Path,
    shape: TinyShape | None = None,
    *,
    seed: int = 0,
    controlnets: tuple[str, ...] = ("controlnet",),
    torch_files: bool = False,
    balls: bool = False,
) -> Path:
    """Write a random checkpoint, ControlNets inside; a second or two on a CPU.

    Args:
        folder: made if need be.
        shape: sizes.
        seed: of all weights.
        controlnets: sub-folders to fill: ``controlnet`` (depth) and ``controlnet_normals``.
        torch_files: write the U-Net as ``.bin``, as v1.1 has it.
        balls: teach the decoder to draw a ball in each view, so that the rest of the pipeline has
            an object to work on; takes five seconds, use :data:`BALLS` as ``shape``.

    Returns:
        ``folder``.
    """
    import diffusers as typed_diffusers
    import transformers

    diffusers: Any = typed_diffusers  # its models' own methods are unknown to type checkers
    shape = shape or TinyShape()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        unet = diffusers.UNet2DConditionModel(**_unet_config(shape))
        vae = diffusers.AutoencoderKL(**_vae_config(shape))
        text = transformers.CLIPTextModel(transformers.CLIPTextConfig(**_text_config(shape)))
        vision = transformers.CLIPVisionModelWithProjection(
            transformers.CLIPVisionConfig(**_vision_config(shape))
        )
        nets = {name: diffusers.ControlNetModel(**_control_config(shape)) for name in controlnets}
        for net in nets.values():  # zero convolutions would make control invisible
            for name, weight in net.named_parameters():
                if "controlnet" in name and not weight.any():
                    torch.nn.init.normal_(weight, std=4.0 if "embedding" in name else 0.05)
        ramping = (torch.arange(_LENGTH) / _LENGTH + 0.05 * torch.randn(_LENGTH)).tolist()
    if balls:
        from tests.models.tiny_ball import teach

        teach(vae, shape.tile)
    unet.save_pretrained(folder / "unet", safe_serialization=not torch_files)
    for name, net in {"vae": vae, **nets}.items():
        net.save_pretrained(folder / name)
    for name, encoder in (("text_encoder", text), ("vision_encoder", vision)):
        encoder.config.save_pretrained(folder / name)
        _save_official(encoder.state_dict(), folder / name / "model.safetensors")
    _write_json(folder / "model_index.json", _index(ramping))
    _write_json(folder / "scheduler" / "scheduler_config.json", _scheduler_config(shape))
    for branch, pixels in (("clip", shape.clip_pixels), ("vae", shape.vae_pixels)):
        path = folder / f"feature_extractor_{branch}" / "preprocessor_config.json"
        _write_json(path, _processor_config(branch, pixels))
    _write_tokenizer(folder / "tokenizer")
    note = {"rig": shape.rig, "tile": shape.tile, "licence": "none: random", "commercial": True}
    _write_json(folder / NOTE_NAME, note)
    return folder


def _save_official(state: dict[str, torch.Tensor], path: Path) -> None:
    """Write encoder weights under the prefix the official files have."""
    from safetensors.torch import save_file

    prefixes = ("text_model.", "vision_model.", "visual_projection.")
    named = {k if k.startswith(prefixes) else f"text_model.{k}": v for k, v in state.items()}
    save_file({k: v.contiguous() for k, v in named.items()}, path, metadata={"format": "pt"})


def _index(ramping: list[float]) -> dict[str, Any]:
    clip = ["transformers", "CLIPImageProcessor"]
    return {
        "_class_name": "Zero123PlusPipeline",
        "feature_extractor_clip": clip,
        "feature_extractor_vae": clip,
        "ramping_coefficients": ramping,
        "safety_checker": [None, None],
        "scheduler": ["diffusers", "EulerAncestralDiscreteScheduler"],
        "text_encoder": ["transformers", "CLIPTextModel"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderKL"],
        "vision_encoder": ["transformers", "CLIPVisionModelWithProjection"],
    }


def _network(shape: TinyShape) -> dict[str, Any]:
    levels = len(shape.unet_channels)
    return {
        "block_out_channels": shape.unet_channels,
        "layers_per_block": shape.layers,
        "down_block_types": ("CrossAttnDownBlock2D",) * (levels - 1) + ("DownBlock2D",),
        "cross_attention_dim": shape.width,
        "attention_head_dim": shape.heads,
        "norm_num_groups": 8,
        "use_linear_projection": True,
    }


def _unet_config(shape: TinyShape) -> dict[str, Any]:
    levels = len(shape.unet_channels)
    ups = ("UpBlock2D",) + ("CrossAttnUpBlock2D",) * (levels - 1)
    return {**_network(shape), "up_block_types": ups, "sample_size": 8}


def _control_config(shape: TinyShape) -> dict[str, Any]:
    # The embedding halves the picture between its levels, down to the latents' size.
    embedding = (8, 8, 16, 16, 16)[: len(shape.vae_channels)]
    return {**_network(shape), "conditioning_embedding_out_channels": embedding}


def _vae_config(shape: TinyShape) -> dict[str, Any]:
    levels = len(shape.vae_channels)
    return {
        "block_out_channels": shape.vae_channels,
        "down_block_types": ("DownEncoderBlock2D",) * levels,
        "up_block_types": ("UpDecoderBlock2D",) * levels,
        "layers_per_block": shape.vae_layers,
        "latent_channels": 4,
        "norm_num_groups": 4,
        "sample_size": shape.vae_pixels,
        "scaling_factor": 0.18215,
    }


def _text_config(shape: TinyShape) -> dict[str, Any]:
    return {
        "hidden_size": shape.width,
        "intermediate_size": 2 * shape.width,
        "num_hidden_layers": shape.text_layers,
        "num_attention_heads": 2,
        "max_position_embeddings": _LENGTH,
        "projection_dim": shape.width,
        "vocab_size": 3,
        "hidden_act": "gelu",
        "bos_token_id": 1,
        "eos_token_id": 2,
        "pad_token_id": 0,
    }


def _vision_config(shape: TinyShape) -> dict[str, Any]:
    return {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": shape.vision_layers,
        "num_attention_heads": 2,
        "image_size": shape.clip_pixels,
        "patch_size": 8,
        "projection_dim": shape.width,
        "hidden_act": "gelu",
    }


def _scheduler_config(shape: TinyShape) -> dict[str, Any]:
    return {
        "_class_name": "EulerAncestralDiscreteScheduler",
        "beta_end": 0.012,
        "beta_schedule": "linear",
        "beta_start": 0.00085,
        "num_train_timesteps": 1000,
        "prediction_type": shape.prediction,
        "steps_offset": 1,
        "timestep_spacing": "linspace",
        "trained_betas": None,
    }


def _processor_config(branch: str, pixels: int) -> dict[str, Any]:
    mean, std, resample = _RGB[branch]
    return {
        "crop_size": {"height": pixels, "width": pixels},
        "do_center_crop": True,
        "do_convert_rgb": True,
        "do_normalize": True,
        "do_rescale": True,
        "do_resize": True,
        "image_mean": mean,
        "image_processor_type": "CLIPImageProcessor",
        "image_std": std,
        "resample": resample,
        "rescale_factor": 1 / 255,
        "size": {"shortest_edge": pixels},
    }


def _write_tokenizer(folder: Path) -> None:
    special = {"bos_token": "<|startoftext|>", "eos_token": "<|endoftext|>", "pad_token": "!"}
    _write_json(folder / "vocab.json", {"!": 0, "<|startoftext|>": 1, "<|endoftext|>": 2})
    _write_json(folder / "special_tokens_map.json", special)
    _write_json(folder / "tokenizer_config.json", {**special, "model_max_length": _LENGTH})
    (folder / "merges.txt").write_text("#version: 0.2\n", encoding="utf-8")


def _write_json(path: Path, value: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=1, sort_keys=True) + "\n", encoding="utf-8")
