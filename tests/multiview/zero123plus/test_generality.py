"""Other sizes than the recorded ones, against an independent and obvious computation.

The oracle loads with the libraries' own ``from_pretrained``, prepares with their processors and
tokenizer, steps with their scheduler and brings the reference in by hooks on stock attention: it
shares no line with our code but the noise.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from img2mesh.diffusion.noise import KeyedNoise
from img2mesh.multiview.zero123plus import Zero123Plus
from tests.models.tiny import TinyShape


def _grey(picture: Image.Image) -> Image.Image:
    if picture.mode == "RGB":
        return picture
    canvas = Image.new("RGB", picture.size, (127, 127, 127))
    canvas.paste(picture, mask=picture.getchannel("A"))
    return canvas


@torch.no_grad()
def oracle(
    folder: Path,
    picture: Image.Image,
    control: Image.Image | None,
    monkeypatch: pytest.MonkeyPatch,
    *,
    steps: int,
    g: float,
    n: int,
    width: int,
    height: int,
    scale: float,
    seed: int,
) -> tuple[torch.Tensor, torch.Tensor]:
    """(final latents, pictures (n, 3, h, w)) of one run."""
    import diffusers
    import transformers
    from diffusers.schedulers import scheduling_euler_ancestral_discrete as module
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    unet = diffusers.UNet2DConditionModel.from_pretrained(folder, subfolder="unet")
    vae = diffusers.AutoencoderKL.from_pretrained(folder, subfolder="vae")
    net = diffusers.ControlNetModel.from_pretrained(folder, subfolder="controlnet")
    text = transformers.CLIPTextModel.from_pretrained(folder, subfolder="text_encoder")
    vision = transformers.CLIPVisionModelWithProjection.from_pretrained(
        folder, subfolder="vision_encoder"
    )
    scheduler = diffusers.EulerAncestralDiscreteScheduler.from_pretrained(
        folder, subfolder="scheduler", timestep_spacing="trailing"
    )
    index = diffusers.configuration_utils.ConfigMixin._dict_from_json_file(
        folder / "model_index.json"
    )
    r = torch.tensor(index["ramping_coefficients"])
    tensors = [
        CLIPImageProcessorPil.from_pretrained(folder, subfolder=f"feature_extractor_{part}")(
            images=_grey(picture), return_tensors="pt"
        ).pixel_values
        for part in ("vae", "clip")
    ]
    draws = KeyedNoise(seed)

    def latent(pixels: torch.Tensor, kind: str) -> torch.Tensor:
        posterior = vae.encode(pixels).latent_dist
        return posterior.mean + posterior.std * draws.draw(kind, None, posterior.mean.shape)

    positive = latent(tensors[0], "vae_cond")
    reference = torch.cat([positive] * n)
    ids = torch.tensor([[1, 2] + [0] * 75])
    empty = text(ids).last_hidden_state
    full = empty + r[:, None] * vision(tensors[1]).image_embeds[:, None]
    context = torch.cat([full] * n)
    if g > 1:
        negative = latent(torch.zeros_like(tensors[0]), "vae_negative")
        reference = torch.cat([negative] * n + [reference])
        context = torch.cat([empty] * n + [context])

    stored: dict[str, torch.Tensor] = {}
    reading = False

    def hook(name: str) -> Callable[..., Any]:
        def before(_: Any, args: Any, kwargs: Any) -> Any:
            if reading:
                kwargs["encoder_hidden_states"] = torch.cat([args[0], stored[name]], dim=1)
            else:
                stored[name] = args[0]
            return args, kwargs

        return before

    for name, layer in unet.named_modules():
        if name.endswith("attn1"):
            layer.register_forward_pre_hook(hook(name), with_kwargs=True)

    scheduler.set_timesteps(steps)
    f = 2 ** (len(vae.config.block_out_channels) - 1)
    x = draws.draw("init_latents", None, (n, 4, height // f, width // f))
    x = x * scheduler.sigmas.max()
    for i, t in enumerate(scheduler.timesteps):
        sigma = scheduler.sigmas[i]
        eta = draws.draw("reference", i, tuple(reference.shape))
        fresh = draws.draw("ancestral", i, tuple(x.shape))
        abar = scheduler.alphas_cumprod[int(t)]
        rows = torch.cat([x, x]) if g > 1 else x
        rows = scheduler.scale_model_input(rows, t)
        residuals: dict[str, Any] = {}
        if control is not None:
            rgb = torch.tensor(np.array(_grey(control))).permute(2, 0, 1)[None] / 255 * 2 - 1
            down, mid = net(
                rows, t, context, torch.cat([rgb] * len(rows)), scale, return_dict=False
            )
            residuals = {
                "down_block_additional_residuals": down,
                "mid_block_additional_residual": mid,
            }
        reading = False
        unet(abar**0.5 * reference + (1 - abar) ** 0.5 * eta, t, context)
        reading = True
        v = unet(rows, t, context, **residuals).sample
        if g > 1:
            v = v[:n] + g * (v[n:] - v[:n])
        monkeypatch.setattr(module, "randn_tensor", lambda *a, fresh=fresh, **k: fresh)
        assert torch.isclose(sigma, ((1 - abar) / abar) ** 0.5)
        x = scheduler.step(v, t, x).prev_sample
    y = vae.decode((x / 0.75 + 0.22) / vae.config.scaling_factor).sample * 1.6
    return x, (y / 2 + 0.5).clamp(0, 1)


def _picture(mode: str, size: tuple[int, int], seed: int = 0) -> Image.Image:
    rng = np.random.default_rng(seed)
    blocks = rng.integers(0, 256, (6, 5, len(mode)), np.uint8)
    smooth = Image.fromarray(blocks).resize(size, Image.Resampling.BICUBIC)
    return smooth if mode == "RGBA" else smooth.convert("RGB")


THREE = TinyShape(unet_channels=(16, 32, 32), heads=(2, 4, 4), layers=2)
HALF_VAE = TinyShape(vae_channels=(8, 16, 16), vae_pixels=32)
DEEP_VAE = TinyShape(vae_channels=(8, 8, 16), unet_channels=(16, 16, 32), heads=(1, 2, 4), width=16)

#: shape, picture, control picture, sampling settings
SETUPS: dict[str, tuple[TinyShape, Image.Image, str | None, dict[str, Any]]] = {
    "landscape": (TinyShape(), _picture("RGBA", (110, 70)), None, {}),
    "portrait, three pictures": (TinyShape(), _picture("RGB", (51, 97)), None, {"n": 3}),
    "three levels, two layers": (THREE, _picture("RGB", (80, 80)), "RGBA", {}),
    "half VAE, RGB depth": (HALF_VAE, _picture("RGBA", (80, 80)), "RGB", {"scale": 0.6}),
    "all at once": (DEEP_VAE, _picture("RGBA", (64, 90)), "RGB", {"n": 2, "g": 2.5}),
    "no guidance, odd latents": (THREE, _picture("RGB", (33, 40)), "RGBA", {"g": 0.7, "odd": True}),
    "odd latents": (THREE, _picture("RGB", (40, 33)), None, {"odd": True}),
    "one step": (TinyShape(), _picture("RGB", (64, 64)), None, {"steps": 1}),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", SETUPS)
def test_agrees_with_the_oracle(
    name: str,
    checkpoint: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
    deviation: Callable[..., float],
) -> None:
    shape, picture, control_mode, changes = SETUPS[name]
    folder = checkpoint(shape, seed=3)
    settings = {"steps": 3, "g": 4.0, "n": 1, "scale": 0.75, **changes}
    f = 2 ** (len(shape.vae_channels) - 1)
    width, height = (9 * f, 13 * f) if settings.pop("odd", False) else (64, 96)
    control = _picture(control_mode, (width, height), 5) if control_mode else None

    latents, images = oracle(
        folder, picture, control, monkeypatch, width=width, height=height, seed=7, **settings
    )
    model = Zero123Plus.load(folder, controlnet=folder / "controlnet" if control else None)
    ours = model.sample(
        picture,
        control,
        settings["scale"],
        steps=settings["steps"],
        guidance_scale=settings["g"],
        images_per_prompt=settings["n"],
        width=width,
        height=height,
        noise=KeyedNoise(7),
    )
    assert deviation(ours.latents, latents) < 1e-4
    assert deviation(ours.images.transpose(0, 3, 1, 2), images) < 5e-4
    assert images.std() > 0.02, "the pictures are flat: the comparison shows nothing"


def test_prompt_is_what_the_tokenizer_says(golden: Path) -> None:
    import transformers

    from img2mesh.multiview.zero123plus.components import empty_prompt

    folder = golden / "checkpoint" / "tokenizer"
    tokenizer = transformers.CLIPTokenizer.from_pretrained(folder)
    ids = tokenizer("", padding="max_length", max_length=77, return_tensors="pt").input_ids
    assert torch.equal(empty_prompt(folder, 77), ids)
