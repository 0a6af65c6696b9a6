"""Parity runs against the recorded cases, and an independent, obvious sampler as an oracle."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from img2mesh.multiview.zero123plus import Zero123Plus
from tests.models.noise import RecordedNoise

GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Tiny networks lose time on more threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def golden() -> Path:
    return GOLDEN


def deviation(got: Any, expected: torch.Tensor) -> float:
    """Largest difference over largest value: the measure of the recorded cases' tolerances."""
    got, expected = torch.as_tensor(got).float(), expected.float()
    assert got.shape == expected.shape, (got.shape, expected.shape)
    return float((got - expected).abs().max() / expected.abs().max().clamp_min(1e-12))


@pytest.fixture(name="deviation", scope="session")
def _deviation() -> Callable[[Any, torch.Tensor], float]:
    return deviation


@dataclass
class Case:
    """One recorded case and what a run of ours saw, under the same names."""

    name: str
    recorded: dict[str, torch.Tensor]
    settings: dict[str, Any]
    seen: dict[str, list[torch.Tensor]] = field(default_factory=dict)

    def observe(self, name: str, value: Any) -> None:
        value = value.cpu() if isinstance(value, torch.Tensor) else torch.tensor(value)
        self.seen.setdefault(name, []).append(value)

    def ours(self, name: str) -> torch.Tensor:
        """What our run saw under a recorded name."""
        if name.startswith("step."):
            return torch.stack(self.seen[name])
        if name.startswith("ref_step0."):
            return self.seen["ref." + name.removeprefix("ref_step0.")][0]
        if name.startswith("ref_last."):
            return self.seen["ref." + name.removeprefix("ref_last.")][-1]
        return self.seen[name.replace("control_step0.", "control.")][0]

    def deviations(self) -> dict[str, float]:
        """Deviation of every recorded intermediate and result."""
        computed = [n for n in self.recorded if not n.startswith(("noise.", "sched.alphas"))]
        return {n: deviation(self.ours(n), self.recorded[n]) for n in computed}


@pytest.fixture
def run_case() -> Callable[..., Case]:
    """Run one recorded case with our model; keyword arguments override its settings."""

    def run(name: str, *, model: Any = None, noise: Any = None, **changes: Any) -> Case:
        settings = json.loads((GOLDEN / "manifest.json").read_text())["cases"][name]
        case = Case(name, load_file(GOLDEN / f"{name}.safetensors"), settings)
        controlled = settings["controlnet"]
        model = model or Zero123Plus.load(
            GOLDEN / "checkpoint", controlnet=GOLDEN / "controlnet" if controlled else None
        )
        draws = {k[6:]: v for k, v in case.recorded.items() if k.startswith("noise.")}
        arguments: dict[str, Any] = {
            "image": Image.open(GOLDEN / "input.png"),
            "control_image": Image.open(GOLDEN / "depth.png") if controlled else None,
            "control_scale": settings["conditioning_scale"] or 0.75,
            "steps": settings["num_inference_steps"],
            "guidance_scale": settings["guidance_scale"],
            "images_per_prompt": settings["num_images_per_prompt"],
            "width": settings["width"],
            "height": settings["height"],
            "noise": noise(draws) if noise else RecordedNoise(draws),
            "observe": case.observe,
        }
        case.sample = model.sample(**{**arguments, **changes})  # type: ignore[attr-defined]
        return case

    return run
