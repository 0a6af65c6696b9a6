"""Every way to run against the plain algorithm: executions are exact, speeds say how far off."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from img2mesh.diffusion.speed import SPEEDS, Execution, Speed, SpeedName
from img2mesh.multiview.zero123plus.deep_cache import DeepCache
from img2mesh.multiview.zero123plus.model import Sample, Zero123Plus
from tests.models.tiny import TinyShape

PLAIN = Execution(plain=True)
#: Largest relative change of the final latents that the documentation of Execution states.
EXACT = 2e-5


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def folder(checkpoint: Callable[..., Path]) -> Path:
    shape = TinyShape(unet_channels=(16, 32, 32), heads=(2, 4, 4), layers=2)
    return checkpoint(shape, seed=1)


def _run(folder: Path, execution: Execution, **changes: Any) -> Sample:
    rng = np.random.default_rng(0)
    picture = Image.fromarray(rng.integers(0, 255, (8, 8, 4), np.uint8)).resize((64, 64))
    control = Image.fromarray(rng.integers(0, 255, (12, 8, 3), np.uint8)).resize((64, 96))
    settings = {"steps": 4, "width": 64, "height": 96, "seed": 3, "control_image": control}
    model = Zero123Plus.load(folder, folder / "controlnet", execution=execution)
    return model.sample(picture, **{**settings, **changes})


@pytest.fixture(scope="module")
def plain(folder: Path) -> Callable[..., Sample]:
    """The plain algorithm's sample, drawn once for each kind of settings."""
    drawn: dict[str, Sample] = {}

    def draw(**changes: Any) -> Sample:
        key = repr(changes)
        if key not in drawn:
            drawn[key] = _run(folder, PLAIN, **changes)
        return drawn[key]

    return draw


def _change(a: Sample, b: Sample) -> float:
    return float((a.latents - b.latents).abs().max() / b.latents.abs().max())


@pytest.mark.parametrize(
    "execution",
    [Execution(), Execution(low_memory=True), Execution(channels_last=True)],
    ids=["shortcuts", "low memory", "channels last"],
)
@pytest.mark.parametrize(
    "changes", [{}, {"images_per_prompt": 2}, {"guidance_scale": 1.0}], ids=["one", "two", "alone"]
)
def test_executions_are_exact(
    execution: Execution, changes: dict[str, Any], folder: Path, plain: Callable[..., Sample]
) -> None:
    sample, expected = _run(folder, execution, **changes), plain(**changes)
    assert _change(sample, expected) < EXACT
    assert np.abs(sample.images - expected.images).max() < 5e-4


@pytest.mark.parametrize("switch", ["low_memory", "channels_last"])
def test_switches_alone(switch: str, folder: Path, plain: Callable[..., Sample]) -> None:
    assert _change(_run(folder, replace(PLAIN, **{switch: True})), plain()) < EXACT


def test_a_model_can_be_used_again(folder: Path) -> None:
    """Nothing kept for one picture may reach the next."""
    model = Zero123Plus.load(folder, folder / "controlnet")
    size = {"steps": 2, "width": 64, "height": 96}
    first, second = (Image.new("RGB", (64, 64), c) for c in ("red", "green"))
    control = Image.new("RGB", (64, 96), "blue")
    expected = Zero123Plus.load(folder, folder / "controlnet").sample(second, control, **size)
    model.sample(first, Image.new("RGB", (64, 96), "white"), **size)
    again = model.sample(second, control, **size)
    assert torch.equal(again.latents, expected.latents)


CACHED = Speed(28, step_cache=2)


def test_the_step_cache_changes_the_result_boundedly(
    folder: Path, plain: Callable[..., Sample]
) -> None:
    cached = _run(folder, PLAIN, speed=CACHED)
    assert 1e-4 < _change(cached, plain()) < 0.5
    for other in (Execution(), Execution(low_memory=True)):
        again = _run(folder, other, speed=CACHED)
        assert _change(again, cached) < EXACT, "a branch took the other's deep features"


@pytest.mark.parametrize("name", ["fast", "draft"])
def test_a_speed_is_the_same_in_every_execution(
    name: SpeedName, checkpoint: Callable[..., Path]
) -> None:
    """Guidance begins and ends within these runs, so rows come and go, and so do cached steps."""
    small, changes = checkpoint(), {"speed": SPEEDS[name], "steps": SPEEDS[name].steps}
    expected = _run(small, Execution(), **changes)
    assert _change(_run(small, Execution(low_memory=True), **changes), expected) < EXACT


def test_guidance_acts_between_its_noise_levels_alone(folder: Path) -> None:
    rows: list[int] = []
    model = Zero123Plus.load(folder)
    model.parts.unet.conv_out.register_forward_hook(lambda _, args, __: rows.append(len(args[0])))
    speed = Speed(8, guided_above=0.28, guided_below=5.42)
    picture = Image.new("RGB", (64, 64), "teal")
    size = {"steps": 8, "width": 64, "height": 96}
    sigmas: list[torch.Tensor] = []

    def see(name: str, value: Any) -> None:
        if name == "sched.sigmas":
            sigmas.append(value)

    model.sample(picture, speed=speed, observe=see, **size)
    assert rows == [2 if 0.28 < s <= 5.42 else 1 for s in sigmas[0][:-1].tolist()]
    assert {1, 2} == set(rows)


def test_the_step_cache_does_less_work(folder: Path) -> None:
    """Count what runs instead of timing it, in the ControlNet as well."""

    def layers_run(speed: Speed) -> tuple[int, int]:
        model = Zero123Plus.load(folder, folder / "controlnet", execution=PLAIN)
        calls: dict[str, int] = {"unet": 0, "net": 0}

        def count(name: str, module: Any) -> None:
            def hook(*_: Any) -> None:
                calls[name] += 1

            for part in module.modules():
                if type(part).__name__ == "Attention":
                    part.register_forward_hook(hook)

        count("unet", model.parts.unet)
        count("net", model.controlnet)
        control = Image.new("RGB", (64, 96))
        model.sample(Image.new("RGB", (64, 64)), control, steps=4, speed=speed, width=64, height=96)
        return calls["unet"], calls["net"]

    full, cached = layers_run(SPEEDS["exact"]), layers_run(CACHED)
    assert cached[0] < 0.8 * full[0] and cached[1] == full[1] // 2 > 0


def test_step_cache_on_every_step_is_the_full_network(folder: Path) -> None:
    """The shallow pass with deep features of the same step must equal a full pass."""
    model = Zero123Plus.load(folder, folder / "controlnet", execution=PLAIN)
    unet, net = model.parts.unet, model.controlnet
    cache = DeepCache(unet)
    torch.manual_seed(0)
    x, t, c = torch.randn(2, 4, 12, 8), torch.tensor(400.0), torch.randn(2, 77, 32)
    with torch.no_grad():
        down, mid = net(x, t, c, controlnet_cond=torch.rand(2, 3, 96, 64), return_dict=False)
        added = {"down_block_additional_residuals": down, "mid_block_additional_residual": mid}
        for more, residuals in (({}, ()), (added, down[: cache.skips])):
            with cache.recording("read"):
                full = unet(x, t, c, **more).sample
            again = cache.shallow("read", x, t, c, residuals)
            torch.testing.assert_close(again, full, atol=1e-5, rtol=1e-4)


def test_shared_and_kept_values_are_computed_once(folder: Path) -> None:
    """What the shortcuts save, counted: a rung that saves nothing would be exact as well."""

    def counted(execution: Execution) -> dict[str, int]:
        model = Zero123Plus.load(folder, folder / "controlnet", execution=execution)
        unet, net = model.parts.unet, model.controlnet
        cross = unet.down_blocks[0].attentions[0].transformer_blocks[0].attn2
        own = unet.down_blocks[0].attentions[0].transformer_blocks[0].attn1
        rows = {"prefix": 0, "context": 0, "reference": 0, "control": 0, "end": 0}

        def count(name: str, module: Any, size: Callable[[torch.Tensor], int]) -> None:
            def hook(_: Any, arguments: Any, __: Any) -> None:
                rows[name] += size(arguments[0])

            module.register_forward_hook(hook)

        count("prefix", unet.conv_in, len)
        count("context", cross.to_k, len)
        count("reference", own.to_k, lambda tokens: tokens.shape[0] * tokens.shape[1])
        count("control", net.controlnet_cond_embedding.conv_in, len)
        count("end", unet.conv_out, len)
        control = Image.new("RGB", (64, 96), "blue")
        model.sample(Image.new("RGB", (64, 64)), control, steps=4, width=64, height=96)
        return rows

    plain, quick = counted(PLAIN), counted(Execution())
    assert plain["prefix"] == 4 * (2 + 2) and quick["prefix"] == 4 * (2 + 1)
    assert plain["context"] == 4 * (2 + 2) and quick["context"] == 2
    assert plain["control"] == 4 and quick["control"] <= 1
    assert plain["end"] == 4 * (2 + 2) and quick["end"] == 4 * 2
    sheet, reference = 2 * 12 * 8, 2 * 8 * 8  # tokens of both branches at the finest level
    assert plain["reference"] == 4 * (reference + sheet + reference)
    assert quick["reference"] == 4 * (reference + sheet)


def test_half_precision_stays_close(folder: Path) -> None:
    """bfloat16 on the CPU: slow, but the same code path as half precision on a GPU."""
    picture = Image.new("RGB", (64, 64), (200, 80, 40))
    size = {"steps": 2, "width": 64, "height": 96}
    single = Zero123Plus.load(folder).sample(picture, **size)
    half = Zero123Plus.load(folder, dtype=torch.bfloat16).sample(picture, **size)
    assert half.latents.dtype == torch.float32
    assert 0 < _change(half, single) < 0.15
