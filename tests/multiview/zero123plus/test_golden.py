"""Numeric parity with the recorded runs of the public reference program."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from img2mesh.diffusion import samplers
from img2mesh.diffusion.guidance import guide
from img2mesh.diffusion.reference_attention import layers
from img2mesh.diffusion.schedules import TrainingSchedule
from img2mesh.diffusion.speed import Execution
from img2mesh.multiview.zero123plus import Zero123Plus

CASES = ("base", "depth", "nocfg", "n2")


@pytest.mark.parametrize("name", CASES)
def test_every_intermediate_and_result_agrees(name: str, run_case: Callable[..., Any]) -> None:
    case = run_case(name)
    deviations = case.deviations()
    limits = {n: 5e-4 if n == "final.image" else 1e-4 for n in deviations}
    assert {n: d for n, d in deviations.items() if not d < limits[n]} == {}
    assert len(deviations) >= 12, "hardly anything was compared"


@pytest.mark.parametrize("name", CASES)
def test_the_plain_algorithm_agrees_too(
    name: str, run_case: Callable[..., Any], golden: Path
) -> None:
    net = golden / "controlnet" if name == "depth" else None
    model = Zero123Plus.load(golden / "checkpoint", net, execution=Execution(plain=True))
    deviations = run_case(name, model=model).deviations()
    assert max(deviations.values()) < 1e-4


def test_returned_values_are_the_sampler_latents_and_pictures(
    run_case: Callable[..., Any], deviation: Callable[..., float]
) -> None:
    case = run_case("n2")
    images, recorded = case.sample.images, case.recorded["final.image"]
    assert images.dtype == np.float32 and images.shape == (2, 96, 64, 3)
    assert deviation(images.transpose(0, 3, 1, 2), recorded) < 5e-4
    assert deviation(case.sample.latents, case.recorded["final.latents"]) < 1e-4


@pytest.mark.parametrize("name", ["base", "depth"])
def test_eight_bit_picture(name: str, run_case: Callable[..., Any], golden: Path) -> None:
    ours = np.rint(255 * run_case(name).sample.images[0])
    theirs = np.asarray(Image.open(golden / f"{name}_image.png"), np.float64)
    assert np.abs(ours - theirs).max() <= 1


@pytest.mark.parametrize("name", CASES)
def test_each_step_alone_from_the_recorded_latents(
    name: str, golden: Path, deviation: Callable[..., float]
) -> None:
    """Teacher forced: guidance and sampler on recorded network outputs."""
    t = load_file(golden / f"{name}.safetensors")
    scale = json.loads((golden / "manifest.json").read_text())["cases"][name]["guidance_scale"]
    sigmas = t["sched.sigmas"]
    for i in range(len(sigmas) - 1):
        guided = guide(t["step.unet_output"][i], scale)
        assert deviation(guided, t["step.guided_output"][i]) < 1e-6
        x = t["step.latents_in"][i]
        clean = samplers.predicted_clean(guided, x, sigmas[i], "v_prediction")
        out = samplers.euler_ancestral_step(
            x, clean, t["noise.ancestral"][i], sigmas[i], sigmas[i + 1]
        )
        assert deviation(out, t["step.latents_out"][i]) < 1e-5


def test_layers_are_those_recorded(golden: Path) -> None:
    manifest = json.loads((golden / "manifest.json").read_text())
    unet = Zero123Plus.load(golden / "checkpoint").parts.unet
    assert layers(unet) == manifest["cases"]["base"]["reference_attention_layers"]


def test_alphas_cumprod_ends(golden: Path) -> None:
    recorded = load_file(golden / "base.safetensors")["sched.alphas_cumprod_first_last"]
    abar = TrainingSchedule().alphas_cumprod()
    assert torch.equal(abar[[0, -1]], recorded)


def test_unet_state_dict_stays_stock(golden: Path) -> None:
    model = Zero123Plus.load(golden / "checkpoint")
    stored = load_file(golden / "checkpoint/unet/diffusion_pytorch_model.safetensors")
    assert model.parts.unet.state_dict().keys() == stored.keys()
