"""Tiny random checkpoints of the Zero-1-to-3 kind: both folder layouts, and the original file."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import torch

from tests.models.tiny_ball import teach_one

#: Numbers of the U-Net of the original program that the file does not hold.
HEADS, GROUPS = 8, 32


def make_zero123(
    folder: Path,
    *,
    layout: str = "cc_projection",
    sizes: bool = False,
    torch_files: bool = False,
    ball: bool = False,
    pixels: int = 64,
    seed: int = 0,
    original: bool = False,
    **note: Any,
) -> Path:
    """Write a random checkpoint folder.

    Args:
        folder: made if need be.
        layout: ``cc_projection`` or ``clip_camera_projection``.
        sizes: write the sizes into the projection's configuration too.
        torch_files: write the projection as ``.bin``.
        ball: teach the decoder to draw a ball on white.
        pixels: side of a picture, multiple of 16.
        seed: of all weights.
        original: the very networks of :func:`make_original`.
        note: entries of the note file.
    """
    unet, vae, clip, projection = _parts(seed, pixels, original)
    if ball:
        teach_one(vae, pixels)
    unet.save_pretrained(folder / "unet")
    vae.save_pretrained(folder / "vae")
    clip.save_pretrained(folder / "image_encoder")
    config: dict[str, Any] = {"_class_name": "Unknown", "_diffusers_version": "0.1"}
    if sizes:
        config |= {"embedding_dim": 32, "additional_embeddings": 4}
    _json(folder / layout / "config.json", config)
    prefix = {"cc_projection": "projection", "clip_camera_projection": "proj"}[layout]
    state = {f"{prefix}.{k}": v.detach().contiguous() for k, v in projection.state_dict().items()}
    if torch_files:
        torch.save(state, folder / layout / "diffusion_pytorch_model.bin")
    else:
        from safetensors.torch import save_file

        save_file(state, folder / layout / "diffusion_pytorch_model.safetensors")
    _json(folder / "scheduler" / "scheduler_config.json", {
        "beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear",
        "clip_sample": False, "set_alpha_to_one": False, "steps_offset": 1,
        "num_train_timesteps": 1000, "prediction_type": "epsilon",
    })  # fmt: skip
    _json(folder / "feature_extractor" / "preprocessor_config.json", {
        "size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32}, "resample": 3,
        "image_mean": [0.48145466, 0.4578275, 0.40821073],
        "image_std": [0.26862954, 0.26130258, 0.27577711],
    })  # fmt: skip
    _json(folder / "model_index.json", {"_class_name": "Zero1to3StableDiffusionPipeline"})
    _json(folder / "img2mesh.json", {"licence": "none: random", "commercial": True, **note})
    return folder


def make_original(file: Path, *, averaged: bool = True, seed: int = 0) -> Path:
    """Write the same networks as one ``.ckpt`` of the original program, named as it names them."""
    unet, vae, clip, projection = _parts(seed, 64, True)
    state = {f"model.diffusion_model.{k}": v for k, v in unet_original(unet).items()}
    if averaged:
        state |= {
            "model_ema." + k.removeprefix("model.").replace(".", ""): v for k, v in state.items()
        }
        for k in list(state):  # the plain weights are others
            if k.startswith("model.diffusion_model."):
                state[k] = state[k] + 1.0
    state |= {f"first_stage_model.{k}": v for k, v in vae_original(vae).items()}
    state |= {f"cond_stage_model.model.visual.{k}": v for k, v in clip_original(clip).items()}
    state |= {f"cc_projection.{k}": v for k, v in projection.state_dict().items()}
    torch.save({"state_dict": state, "global_step": 7}, file)
    return file


def _parts(seed: int, pixels: int, original: bool) -> tuple[Any, Any, Any, torch.nn.Linear]:
    import diffusers as typed_diffusers
    import transformers

    diffusers: Any = typed_diffusers
    channels = (32, 32) if original else (8, 8, 16, 16, 16)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        unet = diffusers.UNet2DConditionModel(
            in_channels=8,
            out_channels=4,
            block_out_channels=(32, 64),
            layers_per_block=1,
            down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
            cross_attention_dim=32,
            attention_head_dim=HEADS,
            norm_num_groups=GROUPS,
            sample_size=pixels // 2 ** (len(channels) - 1),
        )
        vae = diffusers.AutoencoderKL(
            block_out_channels=channels,
            down_block_types=("DownEncoderBlock2D",) * len(channels),
            up_block_types=("UpDecoderBlock2D",) * len(channels),
            layers_per_block=1,
            latent_channels=4,
            norm_num_groups=GROUPS if original else 4,
            sample_size=pixels,
            scaling_factor=0.18215,
        )
        clip = transformers.CLIPVisionModelWithProjection(
            transformers.CLIPVisionConfig(
                hidden_size=32,
                intermediate_size=64,
                num_hidden_layers=2,
                num_attention_heads=1,
                image_size=32,
                patch_size=8,
                projection_dim=32,
                hidden_act="quick_gelu",
            )
        )
        projection = torch.nn.Linear(36, 32)
    return unet.eval(), vae.eval(), clip.eval(), projection


def unet_original(unet: Any) -> dict[str, torch.Tensor]:
    """diffusers names of this very U-Net (two levels, one layer) to the original's."""
    blocks = {
        "time_embedding.linear_1": "time_embed.0", "time_embedding.linear_2": "time_embed.2",
        "conv_in": "input_blocks.0.0", "down_blocks.0.resnets.0": "input_blocks.1.0",
        "down_blocks.0.attentions.0": "input_blocks.1.1",
        "down_blocks.0.downsamplers.0.conv": "input_blocks.2.0.op",
        "down_blocks.1.resnets.0": "input_blocks.3.0", "mid_block.resnets.0": "middle_block.0",
        "mid_block.attentions.0": "middle_block.1", "mid_block.resnets.1": "middle_block.2",
        "up_blocks.0.resnets.0": "output_blocks.0.0", "up_blocks.0.resnets.1": "output_blocks.1.0",
        "up_blocks.0.upsamplers.0.conv": "output_blocks.1.1.conv",
        "up_blocks.1.resnets.0": "output_blocks.2.0",
        "up_blocks.1.attentions.0": "output_blocks.2.1",
        "up_blocks.1.resnets.1": "output_blocks.3.0",
        "up_blocks.1.attentions.1": "output_blocks.3.1",
        "conv_norm_out": "out.0", "conv_out": "out.2",
    }  # fmt: skip
    inner = {
        "norm1": "in_layers.0", "conv1": "in_layers.2", "time_emb_proj": "emb_layers.1",
        "norm2": "out_layers.0", "conv2": "out_layers.3", "conv_shortcut": "skip_connection",
    }  # fmt: skip
    out = {}
    for name, tensor in unet.state_dict().items():
        block = max((b for b in blocks if name.startswith(b + ".")), key=len)
        rest = name[len(block) + 1 :]
        if "resnets" in block:
            part = rest.split(".")[0]
            rest = inner[part] + rest[len(part) :]
        out[f"{blocks[block]}.{rest}"] = tensor
    return out


def vae_original(vae: Any) -> dict[str, torch.Tensor]:
    """diffusers names of a VAE to the original's."""
    levels = len(vae.config.block_out_channels)
    out = {}
    for name, tensor in vae.state_dict().items():
        name = re.sub(r"down_blocks\.(\d+)\.resnets", r"down.\1.block", name)
        name = re.sub(r"down_blocks\.(\d+)\.downsamplers\.0", r"down.\1.downsample", name)
        name = re.sub(r"up_blocks\.(\d+)", lambda m: f"up.{levels - 1 - int(m[1])}", name)
        name = re.sub(r"(up\.\d+)\.resnets", r"\1.block", name)
        name = name.replace(".upsamplers.0.", ".upsample.")
        name = re.sub(r"mid_block\.resnets\.(\d)", lambda m: f"mid.block_{int(m[1]) + 1}", name)
        name = name.replace("mid_block.attentions.0.group_norm", "mid.attn_1.norm")
        if "mid_block.attentions" in name and name.endswith("weight"):
            tensor = tensor[:, :, None, None]  # 1x1 convolutions there
        name = name.replace("mid_block.attentions.0.to_out.0", "mid.attn_1.proj_out")
        name = re.sub(r"mid_block\.attentions\.0\.to_([qkv])", r"mid.attn_1.\1", name)
        name = name.replace("conv_shortcut", "nin_shortcut").replace("conv_norm_out", "norm_out")
        out[name] = tensor
    return out


def clip_original(clip: Any) -> dict[str, torch.Tensor]:
    """transformers' vision tower to OpenAI's names."""
    state = clip.state_dict()
    tower = {k.removeprefix("vision_model."): v for k, v in state.items()}
    out = {
        "class_embedding": tower["embeddings.class_embedding"],
        "conv1.weight": tower["embeddings.patch_embedding.weight"],
        "positional_embedding": tower["embeddings.position_embedding.weight"],
        "proj": tower["visual_projection.weight"].T.contiguous(),
    }
    for ours, theirs in (("pre_layrnorm", "ln_pre"), ("post_layernorm", "ln_post")):
        out |= {f"{theirs}.{k}": tower[f"{ours}.{k}"] for k in ("weight", "bias")}
    names = {"layer_norm1": "ln_1", "layer_norm2": "ln_2", "self_attn.out_proj": "attn.out_proj",
             "mlp.fc1": "mlp.c_fc", "mlp.fc2": "mlp.c_proj"}  # fmt: skip
    for layer in range(clip.config.num_hidden_layers):
        here, there = f"encoder.layers.{layer}", f"transformer.resblocks.{layer}"
        for kind in ("weight", "bias"):
            for ours, theirs in names.items():
                out[f"{there}.{theirs}.{kind}"] = tower[f"{here}.{ours}.{kind}"]
            qkv = [tower[f"{here}.self_attn.{p}_proj.{kind}"] for p in "qkv"]
            out[f"{there}.attn.in_proj_{kind}"] = torch.cat(qkv)
    return out


def _json(path: Path, value: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")
