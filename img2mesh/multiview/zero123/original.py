"""Original ``.ckpt`` files: names of the CompVis program to those of diffusers and transformers.

One file holds the U-Net (``model.diffusion_model.*``, averaged weights under ``model_ema.*`` with
the dots left out), the VAE, OpenAI's CLIP tower and the projection. Its configuration lies in
another program's YAML; sizes are read off the tensors instead. Averaged weights are used where
there are any, as the original program samples with them.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch

from img2mesh.diffusion import weights
from img2mesh.diffusion.modules import diffusers_class, transformers_class
from img2mesh.errors import InputError
from img2mesh.multiview.zero123.components import PUBLISHED, PURPOSE, Components, projection_of

State = weights.State
_UNET, _EMA = "model.diffusion_model.", "model_ema."
_VAE, _CLIP, _PROJECTION = "first_stage_model.", "cond_stage_model.model.visual.", "cc_projection."
#: Heads of the U-Net, groups of its norms, width of a CLIP head: fixed in the original program.
_HEADS, _GROUPS, _CLIP_HEAD = 8, 32, 64
_VAE_SCALE, _SIZE = 0.18215, 256

_RESNET = {
    "in_layers.0": "norm1", "in_layers.2": "conv1", "emb_layers.1": "time_emb_proj",
    "out_layers.0": "norm2", "out_layers.3": "conv2", "skip_connection": "conv_shortcut",
}  # fmt: skip
_OUTER = {
    "time_embed.0": "time_embedding.linear_1", "time_embed.2": "time_embedding.linear_2",
    "input_blocks.0.0": "conv_in", "out.0": "conv_norm_out", "out.2": "conv_out",
    "middle_block.0": "mid_block.resnets.0", "middle_block.1": "mid_block.attentions.0",
    "middle_block.2": "mid_block.resnets.1",
}  # fmt: skip
_VAE_INNER = [
    (r"\.mid\.block_1\.", ".mid_block.resnets.0."), (r"\.mid\.block_2\.", ".mid_block.resnets.1."),
    (r"\.mid\.attn_1\.norm\.", ".mid_block.attentions.0.group_norm."),
    (r"\.mid\.attn_1\.proj_out\.", ".mid_block.attentions.0.to_out.0."),
    (r"\.mid\.attn_1\.([qkv])\.", r".mid_block.attentions.0.to_\1."),
    (r"\.nin_shortcut\.", ".conv_shortcut."), (r"\.norm_out\.", ".conv_norm_out."),
]  # fmt: skip
_CLIP_INNER = {
    "ln_1": "layer_norm1", "ln_2": "layer_norm2", "attn.out_proj": "self_attn.out_proj",
    "mlp.c_fc": "mlp.fc1", "mlp.c_proj": "mlp.fc2",
}  # fmt: skip
_CLIP_OUTER = {
    "class_embedding": "embeddings.class_embedding",
    "conv1.weight": "embeddings.patch_embedding.weight",
    "positional_embedding": "embeddings.position_embedding.weight",
    "ln_pre.weight": "pre_layrnorm.weight", "ln_pre.bias": "pre_layrnorm.bias",
    "ln_post.weight": "post_layernorm.weight", "ln_post.bias": "post_layernorm.bias",
}  # fmt: skip


def load_original(file: Path, *, dtype: torch.dtype = torch.float32) -> Components:
    """Read a ``.ckpt`` of the original program.

    Raises:
        InputError: it holds pickled code, or not the parts of Zero-1-to-3.
        MissingExtraError: diffusers or transformers is not installed.
    """
    state = weights.read_state(file)
    prefixes = {"unet": _UNET, "vae": _VAE, "clip": _CLIP, "projection": _PROJECTION}
    parts = {name: _under(state, prefix, file) for name, prefix in prefixes.items()}
    averaged = {k: _EMA + f"diffusion_model.{k}".replace(".", "") for k in parts["unet"]}
    if state.keys() >= set(averaged.values()):
        parts["unet"] = {k: state[name] for k, name in averaged.items()}
    unet_class = diffusers_class("UNet2DConditionModel", purpose=PURPOSE)
    vae_class = diffusers_class("AutoencoderKL", purpose=PURPOSE)
    clip_class = transformers_class("CLIPVisionModelWithProjection", purpose=PURPOSE)
    clip, clip_config = clip_tower(parts["clip"])
    unet_config, vae_config = unet_sizes(parts["unet"]), vae_sizes(parts["vae"])
    unet_config["sample_size"] = _SIZE // 2 ** (len(vae_config["block_out_channels"]) - 1)

    def build(make: Any, tensors: State, what: str) -> Any:
        return weights.build(make, tensors, what=f"{file} ({what})", dtype=dtype)

    return Components(
        unet=build(lambda: unet_class(**unet_config), unet_names(parts["unet"]), "U-Net"),
        vae=build(lambda: vae_class(**vae_config), vae_names(parts["vae"]), "VAE"),
        image_encoder=build(
            lambda: clip_class(clip_class.config_class(**clip_config)), clip, "CLIP"
        ),
        projection=projection_of(parts["projection"], f"{file} (projection)", dtype),
        processor=None,
        training=PUBLISHED,
        final_alpha=float(PUBLISHED.alphas_cumprod()[0]),
    )


def _under(state: State, prefix: str, file: Path) -> State:
    found = {k[len(prefix) :]: v for k, v in state.items() if k.startswith(prefix)}
    if not found:
        raise InputError(
            f"{file} holds no {prefix}* tensors; expected an original Zero-1-to-3 checkpoint "
            "(U-Net, VAE, CLIP tower and cc_projection in one file)"
        )
    return found


def _levels(state: State) -> list[list[int]]:
    """Numbers of the input blocks of each level, without ``conv_in``; downsamplers end a level."""
    count = 1 + max(int(k.split(".")[1]) for k in state if k.startswith("input_blocks."))
    levels: list[list[int]] = [[]]
    for i in range(1, count):
        levels[-1].append(i)
        if f"input_blocks.{i}.0.op.weight" in state:
            levels.append([])
    return levels


def unet_sizes(state: State) -> dict[str, Any]:
    """Constructor arguments of the U-Net, from the shapes of its tensors."""
    levels = _levels(state)
    attends = [f"input_blocks.{level[0]}.1.norm.weight" in state for level in levels]
    outputs = [state[f"input_blocks.{level[0]}.0.out_layers.3.weight"] for level in levels]
    context = next(v for k, v in state.items() if k.endswith("attn2.to_k.weight")).shape[1]
    kinds = ["CrossAttnDownBlock2D" if a else "DownBlock2D" for a in attends]
    return {
        "in_channels": state["input_blocks.0.0.weight"].shape[1],
        "out_channels": state["out.2.weight"].shape[0],
        "block_out_channels": tuple(tensor.shape[0] for tensor in outputs),
        "layers_per_block": len(levels[-1]),
        "down_block_types": tuple(kinds),
        "up_block_types": tuple(k.replace("Down", "Up") for k in reversed(kinds)),
        "cross_attention_dim": context,
        "attention_head_dim": _HEADS,
        "norm_num_groups": _GROUPS,
    }


def unet_names(state: State) -> State:
    """The tensors under the names that diffusers gives them."""
    levels = _levels(state)
    layers = len(levels[-1])
    prefixes = dict(_OUTER)
    for b, level in enumerate(levels):
        for n, i in enumerate(level):
            prefixes[f"input_blocks.{i}.0"] = f"down_blocks.{b}.resnets.{n}"
            prefixes[f"input_blocks.{i}.1"] = f"down_blocks.{b}.attentions.{n}"
            prefixes[f"input_blocks.{i}.0.op"] = f"down_blocks.{b}.downsamplers.0.conv"
    for i in range(len(levels) * (layers + 1)):
        b, n = divmod(i, layers + 1)
        prefixes[f"output_blocks.{i}.0"] = f"up_blocks.{b}.resnets.{n}"
        prefixes[f"output_blocks.{i}.1"] = f"up_blocks.{b}.attentions.{n}"
        for k in (1, 2):  # after the attention, or in its place where the level has none
            prefixes[f"output_blocks.{i}.{k}.conv"] = f"up_blocks.{b}.upsamplers.0.conv"
    return {_renamed(name, prefixes): tensor for name, tensor in state.items()}


def _renamed(name: str, prefixes: dict[str, str]) -> str:
    parts = name.split(".")
    for length in range(len(parts), 0, -1):  # the longest known prefix
        known = prefixes.get(".".join(parts[:length]))
        if known is not None:
            rest = ".".join(parts[length:])
            for old, new in _RESNET.items():
                if rest.startswith(old + "."):
                    rest = new + rest[len(old) :]
            return f"{known}.{rest}"
    return name


def vae_sizes(state: State) -> dict[str, Any]:
    """Constructor arguments of the VAE, from the shapes of its tensors."""
    levels = 1 + max(int(k.split(".")[2]) for k in state if k.startswith("encoder.down."))
    layers = 1 + max(int(k.split(".")[4]) for k in state if k.startswith("encoder.down.0.block."))
    channels = [state[f"encoder.down.{i}.block.0.conv1.weight"].shape[0] for i in range(levels)]
    return {
        "block_out_channels": tuple(channels),
        "down_block_types": ("DownEncoderBlock2D",) * levels,
        "up_block_types": ("UpDecoderBlock2D",) * levels,
        "layers_per_block": layers,
        "latent_channels": state["post_quant_conv.weight"].shape[0],
        "norm_num_groups": _GROUPS,
        "sample_size": _SIZE,
        "scaling_factor": _VAE_SCALE,
    }


def vae_names(state: State) -> State:
    """The tensors under the names that diffusers gives them."""
    levels = 1 + max(int(k.split(".")[2]) for k in state if k.startswith("encoder.down."))

    def renamed(name: str) -> str:
        name = re.sub(r"\.down\.(\d+)\.block\.", r".down_blocks.\1.resnets.", name)
        name = re.sub(r"\.down\.(\d+)\.downsample\.", r".down_blocks.\1.downsamplers.0.", name)
        up = lambda m: f".up_blocks.{levels - 1 - int(m[1])}."  # noqa: E731
        name = re.sub(r"\.up\.(\d+)\.", up, name)
        name = re.sub(r"(up_blocks\.\d+)\.block\.", r"\1.resnets.", name)
        name = re.sub(r"(up_blocks\.\d+)\.upsample\.", r"\1.upsamplers.0.", name)
        for old, new in _VAE_INNER:
            name = re.sub(old, new, name)
        return name

    # Losses and the like of the training program are no part of the network.
    kept = ("encoder.", "decoder.", "quant_conv.", "post_quant_conv.")
    return {renamed(k): v for k, v in state.items() if k.startswith(kept)}


def clip_tower(state: State) -> tuple[State, dict[str, Any]]:
    """OpenAI's vision tower under the names of transformers, and its configuration."""
    out: State = {}
    for name, tensor in state.items():
        if name in _CLIP_OUTER:
            out[f"vision_model.{_CLIP_OUTER[name]}"] = tensor
        elif name == "proj":
            out["visual_projection.weight"] = tensor.T.contiguous()
        elif match := re.fullmatch(r"transformer\.resblocks\.(\d+)\.(.+)\.?(weight|bias)", name):
            layer = f"vision_model.encoder.layers.{match[1]}."
            inner, kind = match[2].rstrip("._"), match[3]
            if inner == "attn.in_proj":
                for part, value in zip("qkv", tensor.chunk(3), strict=True):
                    out[f"{layer}self_attn.{part}_proj.{kind}"] = value
            else:
                out[f"{layer}{_CLIP_INNER.get(inner, inner)}.{kind}"] = tensor
        else:
            out[f"vision_model.{name}"] = tensor  # told as unknown by the strict loading
    width, _, patch, _ = state["conv1.weight"].shape
    tokens = state["positional_embedding"].shape[0] - 1
    layers = 1 + max(int(k.split(".")[2]) for k in state if k.startswith("transformer.resblocks."))
    config = {
        "hidden_size": width,
        "intermediate_size": state["transformer.resblocks.0.mlp.c_fc.weight"].shape[0],
        "num_hidden_layers": layers,
        "num_attention_heads": max(1, width // _CLIP_HEAD),
        "image_size": int(tokens**0.5) * patch,
        "patch_size": patch,
        "projection_dim": state["proj"].shape[1],
        "hidden_act": "quick_gelu",
    }
    return out, config
