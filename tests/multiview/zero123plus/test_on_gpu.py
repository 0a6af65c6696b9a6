"""The road of a GPU run, on a pretend GPU: values of tiny networks, shapes of published ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from img2mesh.diffusion.speed import SPEEDS, Execution, SpeedName
from img2mesh.errors import Img2MeshError
from img2mesh.multiview.zero123plus import Zero123Plus
from tests.models import official
from tests.pretend_gpu import DEVICE, PretendGpu

#: Reading latents and pictures back, and asking whether they are finite.
WAITS = 3


@pytest.fixture
def gpu() -> Iterator[PretendGpu]:
    with PretendGpu() as gpu:
        yield gpu


@pytest.mark.parametrize("name", ["base", "depth", "nocfg", "n2"])
def test_recorded_cases_agree_there(
    name: str, run_case: Callable[..., Any], golden: Path, gpu: PretendGpu
) -> None:
    net = golden / "controlnet" if name == "depth" else None
    model = Zero123Plus.load(golden / "checkpoint", net, device=DEVICE)
    assert max(run_case(name, model=model).deviations().values()) < 1e-4


@pytest.mark.parametrize(
    ("name", "dtype", "low_memory"),
    [
        ("exact", torch.float16, False),
        ("fast", torch.float32, True),
        ("draft", torch.float16, False),
    ],
)
def test_every_speed_runs_there_as_on_the_cpu(
    name: SpeedName,
    dtype: torch.dtype,
    low_memory: bool,
    checkpoint: Callable[..., Path],
    gpu: PretendGpu,
) -> None:
    folder = checkpoint()
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 4), np.uint8))
    control = Image.new("RGB", (64, 96), "blue")
    more: dict[str, Any] = {"steps": 4, "width": 64, "height": 96, "speed": SPEEDS[name]}
    expected = Zero123Plus.load(folder, folder / "controlnet").sample(picture, control, **more)
    assert not gpu.operations
    execution = Execution(low_memory=low_memory, channels_last=not low_memory)
    model = Zero123Plus.load(folder, folder / "controlnet", DEVICE, dtype, execution=execution)
    resident = gpu.bytes
    sample = model.sample(picture, control, **more)
    assert gpu.waits.total() == WAITS, gpu.waits
    assert gpu.bytes - resident < 50_000, "something of the run stays on the device"
    off = (sample.latents - expected.latents).abs().max() / expected.latents.abs().max()
    assert off < (1e-5 if dtype == torch.float32 else 2e-2)


@pytest.mark.parametrize(
    ("execution", "most"),
    [(Execution(channels_last=True), 3.6e9), (Execution(low_memory=True), 2.2e9)],
    ids=["resident", "low memory"],
)
def test_memory_at_the_published_sizes(execution: Execution, most: float) -> None:
    """With a ControlNet, in half precision; docs/zero123plus.md has the other figures."""
    parts, net = official.hollow()
    shapes: dict[str, torch.Size] = {}

    def see(name: str, value: torch.Tensor) -> None:
        shapes[name] = value.shape

    with PretendGpu(hollow=True) as gpu:
        model = Zero123Plus(parts, net, device=DEVICE, execution=execution)
        control = Image.new("RGB", (640, 960))
        model.sample(Image.new("RGB", (300, 300)), control, steps=1, observe=see)
        assert 1.7e9 < gpu.most_bytes < most
        assert gpu.waits.total() == WAITS, gpu.waits
    assert shapes["final.latents"] == (1, 4, 120, 80)
    assert shapes["cond.latent"] == (1, 4, 64, 64)
    assert shapes["control.mid"][1:] == (1280, 15, 10)
    assert {v[1] for k, v in shapes.items() if k.startswith("ref.")} == {64, 256, 1024, 4096}


def test_a_decoder_that_leaves_half_precision_decodes_in_single(
    checkpoint: Callable[..., Path], gpu: PretendGpu
) -> None:
    folder = checkpoint()
    picture, size = Image.new("RGB", (64, 64), "tan"), {"steps": 2, "width": 64, "height": 96}
    for device in ("cpu", DEVICE):
        model = Zero123Plus.load(folder, device=device, dtype=torch.float16)
        with torch.no_grad():  # scaled up in one layer and down in the next: only half overflows
            vae = model.parts.vae
            vae.post_quant_conv.weight.mul_(60000)
            vae.post_quant_conv.bias.mul_(60000)
            vae.decoder.conv_in.weight.div_(60000)
        sample = model.sample(picture, **size)
        assert np.isfinite(sample.images).all() and vae.dtype == torch.float16
        model.parts.unet.conv_out.bias.data.fill_(float("nan"))
        with pytest.raises(Img2MeshError, match="not finite"):
            model.sample(picture, **size)
