"""Parity runs against the recorded cases."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from img2mesh.multiview.zero123 import Sample, Zero123
from tests.models.noise import RecordedNoise

GOLDEN = Path(__file__).parent / "golden"
META = json.loads((GOLDEN / "meta.json").read_text(encoding="utf-8"))
CASES = tuple(META["cases"])
PARTS = ("vae", "unet", "image_encoder", "scheduler", "feature_extractor")


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Tiny networks lose time on more threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def deviation(got: Any, expected: torch.Tensor) -> float:
    """Largest difference over largest value."""
    got, expected = torch.as_tensor(got).float(), expected.float()
    assert got.shape == expected.shape, (got.shape, expected.shape)
    return float((got - expected).abs().max() / expected.abs().max().clamp_min(1e-12))


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The recorded checkpoint in one of the two layouts alone."""
    home = tmp_path_factory.mktemp("layouts")

    def get(layout: str) -> Path:
        target = home / layout
        if not target.exists():
            target.mkdir()
            for part in (*PARTS, layout):
                (target / part).symlink_to(GOLDEN / "components" / part)
        return target

    return get


@pytest.fixture(scope="session")
def model(folder: Callable[[str], Path]) -> Zero123:
    """The recorded checkpoint; read only."""
    return Zero123.load(folder("cc_projection"))


@dataclass
class Case:
    """A recorded case and what a run of ours saw."""

    recorded: dict[str, torch.Tensor]
    sample: Sample
    seen: dict[str, list[Any]] = field(default_factory=dict)

    def deviations(self) -> dict[str, float]:
        """Of every recorded intermediate and result."""
        ours = {
            "clip_image_embeds": self.seen["clip_image_embeds"][0],
            "camera_embedding": self.seen["camera_embedding"][0],
            "encoder_hidden_states": self.seen["encoder_hidden_states"][0],
            "image_latents_8ch_tail": self.seen["image_latents_8ch_tail"][0],
            "timesteps": self.seen["timesteps"][0],
            "unet_in_first": self.seen["unet_in"][0],
            "unet_out_first": self.seen["unet_out"][0],
            "unet_out_last": self.seen["unet_out"][-1],
            "latents_after_first": self.seen["latents"][0],
            "latents_final": self.sample.latents,
            "image": self.sample.images,
        }
        out = {}
        for name, expected in self.recorded.items():
            if name in ours:
                got = torch.as_tensor(ours[name])
                repeat = len(expected) // len(got)
                if name in ("clip_image_embeds", "camera_embedding"):  # encoded once for all
                    got = got.reshape(len(got), *expected.shape[1:]).repeat_interleave(repeat, 0)
                out[name] = deviation(got, expected)
        pixels = self.seen["clip_pixel_values"][0]
        if "clip_pixel_values_row112" in self.recorded:
            out["row"] = deviation(pixels[:, :, 112], self.recorded["clip_pixel_values_row112"])
        return out


@pytest.fixture
def run_case(folder: Callable[[str], Path]) -> Callable[..., Case]:
    """Run one recorded case with our model; keyword arguments override its settings."""

    def run(name: str, model: Zero123 | None = None, **changes: Any) -> Case:
        case = META["cases"][name]
        recorded = load_file(GOLDEN / f"{name}.safetensors")
        if "poses" in case:  # polar angles: minus the elevation
            polar, azimuth, distance = zip(*case["poses"], strict=True)
        else:
            polar, azimuth, distance = case["elevation"], case["azimuth"], case["distance"]
        noise = {"init_latents": recorded["init_latents"]}
        if "variance_noise" in recorded:
            noise["step"] = recorded["variance_noise"]
        seen: dict[str, list[Any]] = {}
        arguments: dict[str, Any] = {
            "images": [Image.open(GOLDEN / one) for one in case["images"]],
            "elevations_deg": [-p for p in polar],
            "azimuths_deg": azimuth,
            "distances": distance,
            "steps": case["steps"],
            "guidance_scale": case["guidance_scale"],
            "eta": case["eta"],
            "images_per_prompt": case.get("num_images_per_prompt", 1),
            "width": 64,
            "height": 64,
            "noise": RecordedNoise(noise),
            "observe": lambda key, value: seen.setdefault(key, []).append(value),
        }
        model = model or Zero123.load(folder(case.get("layout", "cc_projection")))
        return Case(recorded, model.sample(**{**arguments, **changes}), seen)

    return run
