"""Every switch against the plain algorithm: the exact ones are, the other says how far."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from img2mesh.diffusion.speed import Speed
from img2mesh.errors import InputError
from img2mesh.multiview.zero123plus.deep_cache import DeepCache
from img2mesh.multiview.zero123plus.model import Sample, Zero123Plus
from tests.models.tiny import TinyShape

PLAIN = Speed(plain=True)
#: Largest relative change of the final latents that the documentation of Speed states.
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


def _run(folder: Path, speed: Speed, **changes: Any) -> Sample:
    rng = np.random.default_rng(0)
    picture = Image.fromarray(rng.integers(0, 255, (8, 8, 4), np.uint8)).resize((64, 64))
    control = Image.fromarray(rng.integers(0, 255, (12, 8, 3), np.uint8)).resize((64, 96))
    settings = {"steps": 4, "width": 64, "height": 96, "seed": 3, "control_image": control}
    model = Zero123Plus.load(folder, folder / "controlnet", speed=speed)
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
    "speed",
    [Speed(), Speed(low_memory=True), Speed(channels_last=True)],
    ids=["shortcuts", "low memory", "channels last"],
)
@pytest.mark.parametrize(
    "changes", [{}, {"images_per_prompt": 2}, {"guidance_scale": 1.0}], ids=["one", "two", "alone"]
)
def test_exact_switches(
    speed: Speed, changes: dict[str, Any], folder: Path, plain: Callable[..., Sample]
) -> None:
    sample, expected = _run(folder, speed, **changes), plain(**changes)
    assert _change(sample, expected) < EXACT
    assert np.abs(sample.images - expected.images).max() < 5e-4


@pytest.mark.parametrize("switch", ["low_memory", "channels_last"])
def test_switches_alone(switch: str, folder: Path, plain: Callable[..., Sample]) -> None:
    assert _change(_run(folder, replace(PLAIN, **{switch: True})), plain()) < EXACT


def test_parts_that_come_and_go_change_no_bit(folder: Path) -> None:
    """Without guidance there are no branches to divide, which leaves the moving alone."""
    changes = {"guidance_scale": 1.0}
    low, usual = (_run(folder, Speed(low_memory=low), **changes) for low in (True, False))
    assert torch.equal(low.latents, usual.latents) and np.array_equal(low.images, usual.images)


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


def test_the_step_cache_changes_the_result_boundedly(
    folder: Path, plain: Callable[..., Sample]
) -> None:
    cached = _run(folder, replace(PLAIN, step_cache=2))
    assert 1e-4 < _change(cached, plain()) < 0.5
    divided = _run(folder, replace(PLAIN, step_cache=2, low_memory=True))
    assert _change(divided, cached) < EXACT, "a branch took the other's deep features"


def test_the_step_cache_does_less_work(folder: Path) -> None:
    """Count what runs instead of timing it."""

    def layers_run(speed: Speed) -> int:
        model = Zero123Plus.load(folder, speed=speed)
        calls = []
        for module in model.parts.unet.modules():
            if type(module).__name__ == "Attention":
                module.register_forward_hook(lambda *_: calls.append(1))
        model.sample(Image.new("RGB", (64, 64)), steps=4, width=64, height=96)
        return len(calls)

    assert layers_run(replace(PLAIN, step_cache=2)) < 0.8 * layers_run(PLAIN)


def test_step_cache_on_every_step_is_the_full_network(folder: Path) -> None:
    """The shallow pass with deep features of the same step must equal a full pass."""
    unet = Zero123Plus.load(folder, folder / "controlnet", speed=PLAIN).parts.unet
    cache = DeepCache(unet)
    torch.manual_seed(0)
    x, t, c = torch.randn(2, 4, 12, 8), torch.tensor(400.0), torch.randn(2, 77, 32)
    with torch.no_grad():
        with cache.recording("read"):
            full = unet(x, t, c).sample
        torch.testing.assert_close(
            cache.shallow("read", x, t, c, (None, None)), full, atol=1e-5, rtol=1e-4
        )


def test_shared_and_kept_values_are_computed_once(folder: Path) -> None:
    """What the shortcuts save, counted: a rung that saves nothing would be exact as well."""

    def counted(speed: Speed) -> dict[str, int]:
        model = Zero123Plus.load(folder, folder / "controlnet", speed=speed)
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

    plain, quick = counted(PLAIN), counted(Speed())
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


def test_compiled_passes_agree(
    checkpoint: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Traced by dynamo, run eagerly: three whole graphs, and none more for a second picture."""
    import torch._dynamo as dynamo

    graphs: list[object] = []

    def backend(graph: torch.fx.GraphModule, _: object) -> Any:
        graphs.append(graph)
        return graph.forward

    def trace(self: torch.nn.Module, mode: str, dynamic: bool) -> None:
        self._compiled_call_impl = torch.compile(  # type: ignore[assignment]
            self._call_impl, backend=backend, dynamic=dynamic
        )

    monkeypatch.setattr(torch.nn.Module, "compile", trace)
    dynamo.reset()
    dynamo.utils.counters.clear()
    folder = checkpoint()
    control = Image.new("RGB", (32, 48), "blue")
    size = {"steps": 2, "width": 32, "height": 48}
    model = Zero123Plus.load(folder, folder / "controlnet", speed=Speed(compile="default"))
    samples = [model.sample(Image.new("RGB", (64, 64), c), control, **size) for c in ("red", "tan")]
    assert not dynamo.utils.counters["graph_break"]
    assert len(graphs) <= 4  # ControlNet, write, read; the bank's first filling may add one
    model = Zero123Plus.load(folder, folder / "controlnet", speed=PLAIN)
    expected = model.sample(Image.new("RGB", (64, 64), "tan"), control, **size)
    assert _change(samples[1], expected) < EXACT


@pytest.mark.parametrize(
    "wrong",
    [
        {"step_cache": 0},
        {"step_cache": 2, "compile": "default"},
        {"compile": "default", "low_memory": True},
    ],
)
def test_impossible_combinations_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        Speed(**wrong)
