"""A texture that follows redrawn renders: to the true one, and to the same after a kill."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from img2mesh.artifacts import TexturedMesh, View
from img2mesh.core.arrays import F32, SEEN_IN_PHOTO, UNSEEN
from img2mesh.core.cameras import Camera
from img2mesh.report.rendering import Renderer
from img2mesh.texture.refinement import Schedule, refine_texture
from tests.shapes import box_asset

SCHEDULE = Schedule(steps=80, strengths=(0.2, 0.05), rate=0.2, side=96, seed=3)
SHORT = replace(SCHEDULE, steps=24, side=48)
TRUE = box_asset()
GREY = replace(TRUE, texture=np.full_like(TRUE.texture, 128))
#: Never drawn: azimuth, elevation.
AROUND = ((20, 10), (110, -20), (200, 25), (290, 0))


TRUTH = Renderer(TRUE)


def seen(renderer: Renderer, camera: Camera) -> F32:
    """The asset on white, by the renderer of the reports."""
    rgb, alpha = renderer.render(camera, supersample=1)
    return rgb * alpha[..., None] + 1 - alpha[..., None]


def psnr(asset: TexturedMesh) -> float:
    """The worst of four views, over what they show of the asset."""
    renderer, worst = Renderer(asset), np.inf
    for azimuth, elevation in AROUND:
        camera = Camera.orbit(azimuth, elevation, distance=3, fov_deg=49.1, width=128, height=128)
        _, alpha = TRUTH.render(camera, supersample=1)
        error = (seen(renderer, camera) - seen(TRUTH, camera))[alpha > 0]
        worst = min(worst, float(-10 * np.log10((error**2).mean())))
    return worst


class Truth:
    """A model that always knows what it should see, and remembers what it was asked."""

    def __init__(self, *, dies_at: int = -1) -> None:
        self.asked: list[tuple[float, int]] = []
        self.dies_at = dies_at

    def __call__(self, picture: F32, camera: Camera, /, *, strength: float, seed: int) -> F32:
        if len(self.asked) == self.dies_at:
            raise KeyboardInterrupt
        self.asked.append((strength, seed))
        return seen(TRUTH, camera)


def content(picture: F32, camera: Camera, /, *, strength: float, seed: int) -> F32:
    """A model that likes what it sees."""
    return picture


def test_a_wrong_texture_follows_to_the_true_one() -> None:
    truth = Truth()
    found = refine_texture(GREY, truth, SCHEDULE)
    assert psnr(GREY) < 10 and psnr(found) > 25
    for name in ("vertices", "faces", "uv", "coverage"):
        assert getattr(found, name) is getattr(GREY, name)
    strengths, seeds = zip(*truth.asked, strict=True)
    assert strengths[-1] == pytest.approx(0.05) and np.all(np.diff(strengths) < 0)
    assert len(set(seeds)) == SCHEDULE.steps


def test_what_the_model_likes_keeps_its_bytes() -> None:
    found = refine_texture(TRUE, content, SHORT)
    assert (found.texture == TRUE.texture).all()


def test_the_photo_is_held_to() -> None:
    camera = Camera.orbit(0, 0, distance=3, fov_deg=49.1, width=64, height=64)
    rgb, alpha = TRUTH.render(camera, supersample=1)
    found = refine_texture(GREY, content, replace(SHORT, steps=60), photo=View(rgb, alpha, camera))
    front = TRUE.coverage == SEEN_IN_PHOTO
    off = np.abs(found.texture.astype(int) - TRUE.texture)[front]
    assert off.mean() < 12 and (found.texture[TRUE.coverage == UNSEEN] == 128).all()


def test_a_killed_refinement_goes_on_to_the_same_bytes(tmp_path: Path) -> None:
    whole = refine_texture(GREY, Truth(), SHORT)
    with pytest.raises(KeyboardInterrupt):
        refine_texture(GREY, Truth(dies_at=15), SHORT, scratch=tmp_path)
    rest = Truth()
    found = refine_texture(GREY, rest, SHORT, scratch=tmp_path)
    assert len(rest.asked) == 14, "it goes on at step 10, where it last stored itself"
    assert (found.texture == whole.texture).all()
    other = Truth()
    refine_texture(GREY, other, replace(SHORT, seed=4), scratch=tmp_path)
    assert len(other.asked) == 24, "another seed is another refinement"
