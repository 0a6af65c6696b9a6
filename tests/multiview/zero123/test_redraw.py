"""A render drawn again by Zero-1-to-3: its noised latents, denoised as that view of the photo."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from img2mesh import multiview
from img2mesh.artifacts import View
from img2mesh.core.cameras import Camera
from img2mesh.errors import InputError
from img2mesh.multiview.zero123.model import Zero123
from img2mesh.multiview.zero123.redraw import Redrawer

SIDE = 64


def at(azimuth: float, elevation: float) -> Camera:
    return Camera.orbit(azimuth, elevation, distance=2, fov_deg=49.1, width=SIDE, height=SIDE)


def photo(camera: Camera | None) -> View:
    v, u = (np.mgrid[0:SIDE, 0:SIDE] + 0.5) / SIDE * 2 - 1
    alpha = (np.hypot(u, v) < 0.6).astype(np.float32)
    rgb = np.stack([0.5 + 0.4 * u, 0.5 + 0.4 * v, 0.5 + 0 * u], axis=2).astype(np.float32)
    return View(rgb, alpha, camera)


def test_it_denoises_the_share_that_is_asked_for_from_the_right_camera(
    stable_zero123: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = Zero123.load(stable_zero123)
    redraw = Redrawer(model, photo(at(10, 20)), steps=10, guidance_scale=5.0)
    seen: list[tuple[int, torch.Tensor]] = []
    predict = model.noise_prediction

    def noted(noisy, timestep, known, vectors, **more):  # type: ignore[no-untyped-def]
        seen.append((timestep, vectors[0]))
        return predict(noisy, timestep, known, vectors, **more)

    monkeypatch.setattr(model, "noise_prediction", noted)
    picture = photo(None).rgb
    assert redraw(picture, at(50, 5), strength=0.05, seed=1) is picture and not seen
    first = redraw(picture, at(50, 5), strength=0.3, seed=1)
    assert first.shape == picture.shape and first.dtype == np.float32
    assert [t for t, _ in seen] == [201, 101, 1], "the last three of ten"
    expected = [np.deg2rad(15), np.sin(np.deg2rad(40)), np.cos(np.deg2rad(40)), np.deg2rad(70)]
    assert np.allclose(seen[0][1], expected, atol=1e-6), "down by 15, round by 40, from 20 degrees"
    again = redraw(picture, at(50, 5), strength=0.3, seed=1)
    assert (first == again).all()
    assert (first != redraw(picture, at(50, 5), strength=0.3, seed=2)).any()
    assert (first != redraw(picture, at(150, 5), strength=0.3, seed=1)).any()


def test_it_needs_the_photos_camera(stable_zero123: Path) -> None:
    sampling = multiview.Sampling(device="cpu")
    with (
        pytest.raises(InputError, match="there is no such photo: take a text-to-image model"),
        multiview.redrawing(str(stable_zero123), "", photo=photo(None), sampling=sampling),
    ):
        pass
    with pytest.raises(InputError, match="--texture-refiner needs a model that draws pictures"):
        multiview.require_redrawer("zero123plus-v1.1")
