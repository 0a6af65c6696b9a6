"""Score distillation as it runs on a GPU, on a pretend one: nothing mixed, little waited for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from img2mesh.core.cameras import Camera
from img2mesh.diffusion.distillation import Reference, ScoreGuidance, Step, Window
from img2mesh.field.distillation.loop import distil
from img2mesh.multiview.zero123 import Zero123
from img2mesh.multiview.zero123.denoiser import Zero123Denoiser
from tests.field.test_distillation import QUICK
from tests.pretend_gpu import DEVICE, PretendGpu

#: VSD's copy says how wrong it was; no score waits otherwise.
WAITS = {"sds": 0, "sjc": 0, "vsd": 1}
#: A render asks how many samples a ray has, which of them count, and where the surface is.
RENDER_WAITS = 6


def camera(azimuth: float, side: int = 64) -> Camera:
    return Camera.orbit(azimuth, 10, distance=2.5, fov_deg=49.13, width=side, height=side)


@pytest.fixture
def reference() -> Reference:
    rgb = torch.rand(64, 64, 3, generator=torch.Generator().manual_seed(0))
    return Reference(rgb, torch.ones(64, 64), camera(0))


def guidance(folder: Path, kind: Any, device: Any = "cpu", **more: Any) -> ScoreGuidance:
    judge = Zero123Denoiser(Zero123.load(folder, device=device))
    return ScoreGuidance(judge, kind, scale=3.0, window=Window(0.3, 0.6), **more)


@pytest.mark.parametrize("kind", ["sds", "sjc", "vsd"])
def test_a_score_is_that_of_the_cpu(
    kind: Any, folder: Callable[[str], Path], reference: Reference
) -> None:
    checkpoint, cameras = folder("cc_projection"), [camera(30), camera(-70)]
    renders = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))

    def second(guide: ScoreGuidance, given: torch.Tensor) -> tuple[torch.Tensor, Counter[str]]:
        """The second step's: the first encodes the reference, and VSD's copy learns in it."""
        guide.gradient(given, cameras, reference, Step(2, 10, 0))
        before = gpu.waits.copy()
        return guide.gradient(given, cameras, reference, Step(3, 10, 0)), gpu.waits - before

    with PretendGpu() as gpu:
        expected, _ = second(guidance(checkpoint, kind), renders)
        assert not gpu.operations
        found, waits = second(guidance(checkpoint, kind, DEVICE), renders.to(DEVICE))
        assert found.is_cuda and waits.total() == WAITS[kind], waits
        assert (found.cpu() - expected).abs().max() < 1e-4 * expected.abs().max()


@pytest.mark.parametrize("latent", [False, True])
def test_a_distillation_is_that_of_the_cpu(
    latent: bool, folder: Callable[[str], Path], reference: Reference
) -> None:
    checkpoint = folder("cc_projection")
    recipe = replace(QUICK, steps=2, grid=16, resolutions=(8 if latent else 16,), weight_input=1.0,
                     weight_mask=1.0, weight_near=0.1, weight_depth_smooth=0.01,
                     weight_sparse=1e-3, weight_opaque=1e-3, weight_empty=1e-3)  # fmt: skip
    kind = "sjc" if latent else "sds"
    expected = distil(guidance(checkpoint, kind, latent=latent), reference, recipe)
    waits = []
    for steps in (2, 4):
        with PretendGpu() as gpu:
            guide = guidance(checkpoint, kind, DEVICE, latent=latent)
            field = distil(guide, reference, replace(recipe, steps=steps), device=str(DEVICE))
        waits.append(gpu.waits)
        if steps == 2:
            # The table has moved by .6; Adam makes much of rounding where there is no gradient.
            assert (field.table - expected.table).abs().max() < 0.01
            assert (field.table - expected.table).abs().mean() < 1e-4
    more = waits[1] - waits[0]
    assert more.total() == 2 * 3 * RENDER_WAITS, more  # three renders a step
