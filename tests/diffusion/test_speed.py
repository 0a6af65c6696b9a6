"""Every switch alone, against the plain algorithm: the exact ones are, the others say how far."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from img2mesh.diffusion.speed import Speed
from img2mesh.diffusion.tiny import TinyShape, make_checkpoint
from img2mesh.errors import InputError
from img2mesh.multiview.zero123plus.model import Sample, Zero123Plus

PLAIN = Speed.plain()
#: Largest relative change of the final latents that the documentation of Speed states.
EXACT = 2e-5


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    shape = TinyShape(unet_channels=(16, 32, 32), heads=(2, 4, 4), layers=2)
    return make_checkpoint(tmp_path_factory.mktemp("tiny"), shape, seed=1)


def _run(folder: Path, speed: Speed, **changes: Any) -> Sample:
    rng = np.random.default_rng(0)
    picture = Image.fromarray(rng.integers(0, 255, (8, 8, 4), np.uint8)).resize((64, 64))
    control = Image.fromarray(rng.integers(0, 255, (12, 8, 3), np.uint8)).resize((64, 96))
    settings = {"steps": 4, "width": 64, "height": 96, "seed": 3, "control_image": control}
    model = Zero123Plus.load(folder, folder / "controlnet", speed=speed)
    return model.sample(picture, **{**settings, **changes})


@pytest.fixture(scope="module")
def plain(folder: Path) -> Sample:
    return _run(folder, PLAIN)


def _change(a: Sample, b: Sample) -> float:
    return float((a.latents - b.latents).abs().max() / b.latents.abs().max())


EXACT_SWITCHES: dict[str, Any] = {
    "fused_kernel": True,
    "keep_reference_projected": True,
    "keep_context": True,
    "early_exit": True,
    "share_prefix": True,
    "keep_control_embedding": True,
    "write_ahead": 3,
    "split_guidance": True,
    "offload": True,
    "vae_slicing": True,
    "channels_last": True,
}


@pytest.mark.parametrize("switch", EXACT_SWITCHES)
def test_exact_switch_alone(switch: str, folder: Path, plain: Sample) -> None:
    sample = _run(folder, PLAIN.with_(**{switch: EXACT_SWITCHES[switch]}))
    assert _change(sample, plain) < EXACT
    assert np.abs(sample.images - plain.images).max() < 5e-4


@pytest.mark.parametrize("switch", ["early_exit", "keep_control_embedding", "offload"])
def test_bit_exact_switches(switch: str, folder: Path, plain: Sample) -> None:
    assert torch.equal(_run(folder, PLAIN.with_(**{switch: True})).latents, plain.latents)


@pytest.mark.parametrize(
    "speed", [Speed(), Speed.low_memory(), Speed(write_ahead=4, channels_last=True)]
)
@pytest.mark.parametrize("changes", [{}, {"images_per_prompt": 2}, {"guidance_scale": 1.0}])
def test_switches_together(speed: Speed, changes: dict[str, Any], folder: Path) -> None:
    assert _change(_run(folder, speed, **changes), _run(folder, PLAIN, **changes)) < EXACT


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


@pytest.mark.parametrize(
    ("speed", "least", "most"),
    [
        (PLAIN.with_(step_cache=2), 1e-4, 0.5),
        (PLAIN.with_(reference_every=2), 1e-4, 0.2),
    ],
    ids=["step_cache", "reference_every"],
)
def test_approximate_switches_change_the_result_boundedly(
    speed: Speed, least: float, most: float, folder: Path, plain: Sample
) -> None:
    assert least < _change(_run(folder, speed), plain) < most


@pytest.mark.parametrize("name", ["step_cache", "reference_every"])
def test_approximate_switches_do_less_work(name: str, folder: Path) -> None:
    """Count what runs instead of timing it."""

    def layers_run(speed: Speed) -> int:
        model = Zero123Plus.load(folder, speed=speed)
        calls = []
        for module in model.parts.unet.modules():
            if type(module).__name__ == "Attention":
                module.register_forward_hook(lambda *_: calls.append(1))
        model.sample(Image.new("RGB", (64, 64)), steps=4, width=64, height=96)
        return len(calls)

    assert layers_run(PLAIN.with_(**{name: 2})) < 0.8 * layers_run(PLAIN)


def test_step_cache_on_every_step_is_the_full_network(folder: Path, plain: Sample) -> None:
    """The shallow pass with deep features of the same step must equal a full pass."""
    model = Zero123Plus.load(folder, folder / "controlnet", speed=PLAIN)
    from img2mesh.multiview.zero123plus.deep_cache import DeepCache

    unet = model.parts.unet
    cache = DeepCache(unet)
    torch.manual_seed(0)
    x, t, c = torch.randn(2, 4, 12, 8), torch.tensor(400.0), torch.randn(2, 77, 32)
    with torch.no_grad():
        with cache.recording("read"):
            full = unet(x, t, c).sample
        torch.testing.assert_close(
            cache.shallow("read", x, t, c, (None, None)), full, atol=1e-5, rtol=1e-4
        )


def test_tiling_changes_the_decoded_picture_only(folder: Path, plain: Sample) -> None:
    sample = _run(folder, PLAIN.with_(vae_tiling=True))
    assert torch.equal(sample.latents, plain.latents)


def test_half_precision_stays_close(folder: Path) -> None:
    """bfloat16 on the CPU: slow, but the same code path as half precision on a GPU."""
    picture = Image.new("RGB", (64, 64), (200, 80, 40))
    size = {"steps": 2, "width": 64, "height": 96}
    single = Zero123Plus.load(folder).sample(picture, **size)
    half = Zero123Plus.load(folder, dtype=torch.bfloat16).sample(picture, **size)
    assert half.latents.dtype == torch.float32
    assert 0 < _change(half, single) < 0.15


def test_compiled_passes_agree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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
    folder = make_checkpoint(tmp_path / "tiny", TinyShape())
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
        {"write_ahead": 0},
        {"step_cache": 2, "write_ahead": 2},
        {"step_cache": 2, "reference_every": 2},
        {"split_guidance": True, "write_ahead": 2},
        {"compile": "default", "offload": True},
        {"compile": "reduce-overhead", "write_ahead": 2},
        {"compile": "max-autotune", "reference_every": 2},
    ],
)
def test_impossible_combinations_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        Speed(**wrong)
