"""The published sizes of every network of Zero123++, to build them without their files.

For benchmarks and for checking names and shapes. Loading a checkpoint never uses this: there the
folder's own configurations count.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from img2mesh.diffusion.schedules import TrainingSchedule
from img2mesh.multiview.zero123plus.components import Components
from img2mesh.multiview.zero123plus.preprocess import ImageProcessor

#: Stable Diffusion 2: heads of 64 channels each; "attention_head_dim" is diffusers' old name for
#: the *number* of heads.
_NETWORK: dict[str, Any] = {
    "block_out_channels": (320, 640, 1280, 1280),
    "layers_per_block": 2,
    "down_block_types": ("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
    "cross_attention_dim": 1024,
    "attention_head_dim": (5, 10, 20, 20),
    "use_linear_projection": True,
}


def unet() -> Any:
    """865,910,724 parameters."""
    from diffusers import UNet2DConditionModel as Model

    make: Callable[..., Any] = Model
    ups = ("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3
    return make(**_NETWORK, up_block_types=ups, sample_size=96)


def controlnet() -> Any:
    """364 million parameters."""
    from diffusers import ControlNetModel as Model

    make: Callable[..., Any] = Model
    return make(**_NETWORK, conditioning_embedding_out_channels=(16, 32, 96, 256))


def vae() -> Any:
    """83,653,863 parameters; factor 8."""
    from diffusers import AutoencoderKL as Model

    make: Callable[..., Any] = Model
    return make(
        block_out_channels=(128, 256, 512, 512),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=2,
        latent_channels=4,
        sample_size=768,
        scaling_factor=0.18215,
    )


def text_encoder() -> Any:
    """CLIP ViT-H's text tower cut to 23 layers: 340,387,840 parameters."""
    from transformers import CLIPTextConfig, CLIPTextModel

    return CLIPTextModel(
        CLIPTextConfig(
            hidden_size=1024,
            intermediate_size=4096,
            num_hidden_layers=23,
            num_attention_heads=16,
            hidden_act="gelu",
            projection_dim=512,
            pad_token_id=1,
            bos_token_id=0,
            eos_token_id=2,
        )
    )


def vision_encoder() -> Any:
    """CLIP ViT-H/14 with projection: 632,076,800 parameters."""
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    return CLIPVisionModelWithProjection(
        CLIPVisionConfig(
            hidden_size=1280,
            intermediate_size=5120,
            num_hidden_layers=32,
            num_attention_heads=16,
            hidden_act="gelu",
            image_size=224,
            patch_size=14,
            projection_dim=1024,
        )
    )


MAKERS: dict[str, Callable[[], Any]] = {
    "unet": unet,
    "controlnet": controlnet,
    "vae": vae,
    "text_encoder": text_encoder,
    "vision_encoder": vision_encoder,
}


def hollow(dtype: torch.dtype = torch.float16) -> tuple[Components, Any]:
    """Every network on the meta device, for a hollow pretend GPU: (components, ControlNet)."""
    with torch.device("meta"):
        made = {name: make().eval().to(dtype) for name, make in MAKERS.items()}
    net = made.pop("controlnet")
    return components(made), net


def components(networks: dict[str, Any]) -> Components:
    """Networks of the published sizes with everything else that a checkpoint holds."""
    return Components(
        **networks,
        prompt_ids=torch.tensor([[49406, 49407] + [0] * 75]),
        for_clip=ImageProcessor(224, (224, 224), 3, 1 / 255, (0.5,) * 3, (0.27,) * 3),
        for_vae=ImageProcessor(512, (512, 512), 2, 1 / 255, (0.5,) * 3, (0.8,) * 3),
        ramping=torch.arange(77) / 77,
        training=TrainingSchedule(),
    )
