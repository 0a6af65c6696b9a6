"""Distillation into the field: where exact scores take it, and that it can be interrupted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from img2mesh.artifacts import Cutout, Provenance
from img2mesh.core.cameras import Camera
from img2mesh.diffusion.distillation import Guidance, ScoreGuidance, Window
from img2mesh.errors import InputError
from img2mesh.field.distillation import views as module
from img2mesh.field.distillation.loop import distil
from img2mesh.field.distillation.recipe import Recipe
from img2mesh.field.distillation.views import distilled_views, reference_of
from img2mesh.field.distillation.voxels import Voxels
from tests.models.analytic import AnalyticDenoiser, KnownObject

QUICK = Recipe(
    steps=60, rate=0.3, optimiser="adam", grid=32, resolutions=(32,), milestones=(), batch=1,
    distance=2.5, fov_deg=49.13, elevations=(-40, 70), jitter=0.1, radius=0.5,
    weight_guidance=1, weight_input=0, weight_mask=0, weight_depth_smooth=0, weight_near=0,
    weight_empty=0, weight_sparse=0, weight_opaque=0, weight_rough=1e-2, preview_every=0, seed=0,
)  # fmt: skip


@pytest.fixture(scope="module")
def known() -> KnownObject:
    return KnownObject()


def camera(azimuth: float, elevation: float, size: int = 64) -> Camera:
    return Camera.orbit(azimuth, elevation, distance=2.5, fov_deg=49.13, width=size, height=size)


def exact(known: KnownObject, kind: Any, **more: Any) -> ScoreGuidance:
    return ScoreGuidance(AnalyticDenoiser(known), kind, scale=1, window=Window(), **more)


def agreement(field: Voxels, known: KnownObject) -> tuple[float, float]:
    """Mean silhouette IoU and PSNR in dB over cameras that were not drawn."""
    scores = []
    for azimuth, elevation in ((15, 20), (135, 50), (255, 35), (315, -30)):
        with torch.no_grad():
            seen = field.render(camera(azimuth, elevation), torch.ones(3))
        rgb, alpha = known.see(camera(azimuth, elevation))
        ours, theirs = seen.opacity > 0.5, alpha > 0.5
        error = float((seen.picture - rgb).square().mean())
        scores.append((float((ours & theirs).sum() / (ours | theirs).sum()), error))
    iou, error = np.mean(scores, axis=0)
    return float(iou), float(-10 * np.log10(error))


@pytest.mark.parametrize("kind", ["sds", "sjc", "vsd"])
def test_an_exact_score_takes_a_ball_to_its_object(kind: Any, known: KnownObject) -> None:
    reference = known.reference(camera(0, 10))
    ball = Voxels.ball(32, 3, radius=0.5, spacing=1.0, latent=False)
    iou, psnr = agreement(ball, known)
    assert iou < 0.7 and psnr < 17, (iou, psnr)
    iou, psnr = agreement(distil(exact(known, kind), reference, QUICK), known)
    assert iou > 0.92 and psnr > 25, (iou, psnr)


def test_a_field_of_latents_is_judged_as_it_is(known: KnownObject) -> None:
    guide = exact(known, "sjc", latent=True)
    field = distil(guide, known.reference(camera(0, 10)), replace(QUICK, steps=15))
    assert field.latent and field.spacing == 0.5
    with torch.no_grad():
        seen = field.render(camera(40, 10), guide.background())
    assert seen.picture.min() < 0, "values of [-1, 1], not colours"


class Stopped(Exception):
    """The power went."""


def test_it_goes_on_to_the_same_bytes(known: KnownObject, tmp_path: Path) -> None:
    reference = known.reference(camera(0, 10))
    recipe = replace(QUICK, steps=40, grid=16, weight_input=1.0, weight_near=0.1,
                     weight_depth_smooth=0.01, resolutions=(8, 12), milestones=(30,),
                     preview_every=20, optimiser="adamax")  # fmt: skip
    told: list[str] = []

    def stop(fraction: float, message: str) -> None:
        told.append(message)
        if len(told) == 34:
            raise Stopped

    def run(scratch: Path, progress: Any = lambda fraction, message: None) -> Voxels:
        return distil(exact(known, "sds"), reference, recipe, scratch=scratch, progress=progress)

    with pytest.raises(Stopped):
        run(tmp_path / "broken", stop)
    assert "preview" in told[-1] and list((tmp_path / "broken").glob("preview_00020.png"))
    steps: list[str] = []
    resumed = run(tmp_path / "broken", lambda fraction, message: steps.append(message))
    assert len(steps) == 15, "it goes on after step 25"
    assert torch.equal(resumed.table, run(tmp_path / "whole").table)
    other = replace(recipe, seed=1)
    begun: list[str] = []
    distil(exact(known, "sds"), reference, replace(other, steps=1), scratch=tmp_path / "broken",
           progress=lambda fraction, message: begun.append(message))  # fmt: skip
    assert len(begun) == 1, "another run's checkpoint is not gone on from"


def test_regularisers_hold_the_input_view(known: KnownObject) -> None:
    """Without any guidance the photo's own view is still met."""
    reference = known.reference(camera(0, 10))
    recipe = replace(QUICK, weight_guidance=0, weight_input=1.0, weight_mask=1.0, steps=40,
                     weight_empty=1e-3, weight_sparse=1e-4, weight_opaque=1e-4)  # fmt: skip
    field = distil(Guidance(), reference, recipe)
    seen = field.render(camera(0, 10), torch.ones(3))
    rgb, _ = known.see(camera(0, 10))
    assert float(-10 * torch.log10((seen.picture - rgb).square().mean())) > 20


class Wrong(Guidance):
    """Returns something else."""

    def gradient(self, *given: Any) -> torch.Tensor:
        return torch.zeros(1)


def test_a_guidance_that_returns_no_gradient_is_told_so(known: KnownObject) -> None:
    with pytest.raises(InputError, match=r"returned \(1,\) as gradient.*\(1, 3, 32, 32\)"):
        distil(Wrong(), known.reference(camera(0, 10)), QUICK)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"milestones": (5,)}, "1 resolutions need 0"),
        ({"resolutions": (4,)}, "8 to 512"),
        ({"elevations": (50, 10)}, "elevations"),
        ({"distance": 1.05}, "would stand in the field"),
    ],
)
def test_senseless_recipes(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        replace(QUICK, **changes)
    with pytest.raises(InputError, match="noise levels"):
        Window(0.5, 0.2)


def test_the_photo_gets_the_camera_of_the_reference(
    known: KnownObject, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the reference shows at a pixel, the cutout shows where its own camera puts it."""
    monkeypatch.setattr(module, "_VIEW", 64)
    rgb, alpha = known.see(camera(0, 0, 200))
    shifted = np.roll(alpha.numpy(), (11, -7), axis=(0, 1))
    cutout = Cutout(np.roll(rgb.permute(1, 2, 0).numpy(), (11, -7), axis=(0, 1)), shifted)
    recipe = replace(QUICK, steps=1)
    views = distilled_views(
        cutout, exact(known, "sds"), recipe, elevation=5.0, provenance=Provenance(generator="x"),
        device="cpu", scratch=None, key="", progress=lambda fraction, message: None,
    )  # fmt: skip
    reference = reference_of(cutout, 5.0, recipe)
    assert views.photo is not None and views.photo.camera is not None
    points = np.random.default_rng(0).uniform(-0.4, 0.4, (50, 3))
    ours, _ = views.photo.camera.project(points)
    theirs, _ = reference.camera.project(points)
    seen_here = alpha_at(shifted, ours)
    assert np.abs(seen_here - alpha_at(reference.alpha.numpy(), theirs)).mean() < 0.08
    assert views.depth is not None and np.isfinite(views.depth[views.alpha > 0.5]).all()


def alpha_at(picture: np.ndarray, uv: np.ndarray) -> np.ndarray:
    column, row = np.clip(uv.astype(int), 0, np.array(picture.shape[::-1]) - 1).T
    return picture[row, column]


def test_the_surface_is_where_the_ball_is() -> None:
    ball = Voxels.ball(64, 3, radius=0.6, spacing=1.0, latent=False)
    with torch.no_grad():
        seen = ball.render(camera(30, 20, 33), torch.ones(3))
    assert float(seen.surface[16, 16]) == pytest.approx(2.5 - 0.6, abs=0.05)
    assert torch.isnan(seen.surface[0, 0]) and seen.opacity[0, 0] < 0.5
