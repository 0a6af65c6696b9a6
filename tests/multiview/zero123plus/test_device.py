"""Published sizes in half precision on a device that is not the CPU: the meta device.

It computes nothing, but mixing devices or precisions on it is an error all the same, so the road a
GPU run takes is checked where there is none, up to the copy of the final latents to the CPU.
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import pytest
import torch
from PIL import Image

from img2mesh.diffusion.schedules import TrainingSchedule
from img2mesh.diffusion.speed import Speed
from img2mesh.multiview.zero123plus.components import Components
from img2mesh.multiview.zero123plus.model import Zero123Plus
from img2mesh.multiview.zero123plus.preprocess import ImageProcessor
from tests.models import official


@pytest.fixture(scope="module")
def parts() -> tuple[Components, Any]:
    with torch.device("meta"):
        made = {k: make().eval().half() for k, make in official.MAKERS.items()}
    net = made.pop("controlnet")
    half = (0.5, 0.5, 0.5)
    components = Components(
        **made,
        prompt_ids=torch.tensor([[49406, 49407] + [0] * 75]),
        for_clip=ImageProcessor(224, (224, 224), 3, 1 / 255, half, half),
        for_vae=ImageProcessor(512, (512, 512), 2, 1 / 255, half, half),
        ramping=torch.arange(77) / 77,
        training=TrainingSchedule(),
    )
    return components, net


@pytest.mark.parametrize(
    "speed",
    [
        Speed(plain=True),
        Speed(channels_last=True),
        Speed(low_memory=True),
        Speed(step_cache=2),
    ],
    ids=["plain", "default", "low memory", "cache"],
)
def test_everything_is_placed_and_shaped(
    speed: Speed, parts: tuple[Components, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Nothing comes back from the meta device: low memory is its divided guidance here.
    monkeypatch.setattr(Zero123Plus, "_working", lambda self, part: nullcontext())
    seen: dict[str, torch.Tensor] = {}
    model = Zero123Plus(*parts, device="meta", speed=speed)
    white = Image.new("RGB", (640, 960), "white")
    with pytest.raises(NotImplementedError, match="meta tensor"):
        model.sample(Image.new("RGB", (300, 300)), white, steps=2, observe=seen.__setitem__)
    latents = seen["final.latents"]
    assert latents.is_meta and latents.dtype == torch.float32
    assert latents.shape == (1, 4, 120, 80)
    assert seen["cond.latent"].shape == (1, 4, 64, 64)
    assert seen["cond.encoder_hidden_states"].shape == (2, 77, 1024)
    assert seen["control.mid"].shape[1:] == (1280, 15, 10)
    tokens = [v.shape[1] for k, v in seen.items() if k.startswith("ref.")]
    assert sorted(set(tokens)) == [64, 256, 1024, 4096]
