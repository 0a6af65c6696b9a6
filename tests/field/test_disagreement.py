"""Views that do not quite agree: how much is measured, and what is divided out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from img2mesh.artifacts import ViewSet
from img2mesh.errors import InputError
from img2mesh.field import fit
from img2mesh.field.disagreement import LIMIT_PX, misalignment
from img2mesh.field.matching import distinctness
from img2mesh.field.pictures import gather
from img2mesh.field.rays import stage_rays
from img2mesh.field.shading import Shading, estimate_shading
from img2mesh.geometry.grid import Grid
from img2mesh.geometry.silhouettes import make_silhouettes, relaxed
from tests.field import scenes

CPU = torch.device("cpu")


def shifted(views: ViewSet, pixels: int) -> ViewSet:
    """Every other view moved up, the others moved down."""
    moves = [pixels if k % 2 else -pixels for k in range(len(views.cameras))]
    rgb = np.stack([np.roll(p, m, axis=0) for p, m in zip(views.rgb, moves, strict=True)])
    alpha = np.stack([np.roll(p, m, axis=0) for p, m in zip(views.alpha, moves, strict=True)])
    return replace(views, rgb=rgb, alpha=alpha)


@pytest.fixture(scope="module")
def box_views() -> ViewSet:
    return scenes.views_of(scenes.box())


@pytest.mark.parametrize("rig", ["zero123plus-v1.1", "zero123plus-v1.2"])
def test_outlines_of_one_body_agree(rig: str) -> None:
    for body in (scenes.box(), scenes.sphere(), scenes.torus()):
        outlines = make_silhouettes(scenes.views_of(body, rig=rig).views)
        assert misalignment(outlines) < 0.3


def test_misplacement_is_measured_in_pixels(box_views: ViewSet) -> None:
    one, three = (misalignment(make_silhouettes(shifted(box_views, n).views)) for n in (1, 3))
    assert 0.6 < one < 2
    assert 2.5 < three / one < 3.5


def test_a_widened_outline_alone_is_no_misplacement(box_views: ViewSet) -> None:
    plain = misalignment(make_silhouettes(box_views.views))
    wide = misalignment(relaxed(make_silhouettes(box_views.views), 1.0))
    assert abs(plain - wide) < 0.1


class Chosen(Exception):
    """Stops a fit once it has chosen its plan."""


def test_given_views_that_disagree_are_smoothed_and_get_room(
    box_views: ViewSet, monkeypatch: Any
) -> None:
    notes: list[tuple[str, float]] = []

    def note(views: ViewSet, *, plan: Any, relax_px: float, **_: object) -> None:
        notes.append((plan[-1].curvature, relax_px))
        raise Chosen

    monkeypatch.setattr("img2mesh.field.loop.fit_field", note)
    for views, wish in ((box_views, None), (shifted(box_views, 2), None), (box_views, 0.5)):
        with pytest.raises(Chosen):
            fit(views, relax_px=wish)
    (plain, no_room), (strong, room), (_, asked) = notes
    assert no_room == 0 and asked == 0.5
    assert 0.6 < room < 2
    assert strong > plain
    with pytest.raises(InputError, match="relax_px -1"):
        fit(box_views, relax_px=-1.0)


def test_a_photo_with_an_inexact_camera_does_not_make_the_views_doubtful(
    box_views: ViewSet, monkeypatch: Any
) -> None:
    chosen: list[tuple[float, float]] = []

    def note(views: ViewSet, *, plan: Any, relax_px: float, **_: object) -> None:
        chosen.append((plan[-1].curvature, relax_px))
        raise Chosen

    monkeypatch.setattr("img2mesh.field.loop.fit_field", note)
    photo = replace(shifted(box_views, 4).views[0], camera=box_views.cameras[0])
    seven = replace(box_views, photo=photo)
    assert misalignment(make_silhouettes(seven.posed)) > LIMIT_PX
    for views in (box_views, seven):
        with pytest.raises(Chosen):
            fit(views)
    assert chosen[0] == chosen[1]


def estimate(views: ViewSet) -> Shading:
    """What is found on a ball whose shape is known."""
    pictures = gather(views, use_photo=False)
    rays = stage_rays(pictures, make_silhouettes(views.views), stride=1, blur_px=0.5, device=CPU)
    grid = Grid.around(np.full(3, -1.0), np.ones(3), grid=48, margin=0.0)
    field = torch.as_tensor(np.linalg.norm(grid.slab(0, 48), axis=-1) - 0.8, dtype=torch.float32)
    assert rays.depth is not None
    surface = rays.depth.nan_to_num(nan=float("inf"))
    maps = torch.full((len(rays.pictures.rgb),), float("inf"))
    maps[rays.pixel] = surface
    return estimate_shading(field, grid, rays, surface, maps, stride=1)


def test_exposure_and_headlight_are_found() -> None:
    views = scenes.views_of(scenes.sphere(), known=True)
    assert views.normals is not None
    plain = estimate(views)  # nothing to divide out
    assert plain.lamp < 0.02 and float(plain.gain.abs().max()) < 0.01
    gains = np.array([0.08, -0.06, 0.03, 0.0, -0.05, 0.0])
    lit = []
    for k, camera in enumerate(views.cameras):
        rays = camera.directions()
        cosine = -(views.normals[k] * rays).sum(-1) / np.linalg.norm(rays, axis=-1)
        lit.append(0.7 * views.rgb[k] * np.exp(gains[k] + 0.12 * cosine)[..., None])
    views = replace(views, rgb=np.stack(lit).clip(0, 1).astype(np.float32))
    found = estimate(views)
    assert found.lamp == pytest.approx(0.12, abs=0.03)
    wanted = gains - gains.mean()
    np.testing.assert_allclose(found.gain.numpy(), wanted[:, None].repeat(3, 1), atol=0.015)
    # Divided out, a point seen by two views has the colour both would show without their share.
    view, cosine = torch.tensor([0, 1]), torch.tensor([0.9, 0.4])
    shown = 0.5 * torch.exp(found.gain[view] + found.lamp * cosine[:, None])
    torch.testing.assert_close(found.paint(shown, view, cosine), torch.full((2, 3), 0.5))


def test_only_lone_sharp_peaks_are_distinct() -> None:
    steps = torch.arange(30.0)
    sharp = torch.exp(-0.5 * ((steps - 12) / 1.0) ** 2)
    twice = sharp + 0.99 * torch.exp(-0.5 * ((steps - 22) / 1.0) ** 2)
    slow = 0.95 - 0.0005 * (steps - 12) ** 2
    found = distinctness(torch.stack([sharp, twice, slow], dim=1))
    assert float(found[0]) == 1
    assert float(found[1]) < 0.05
    assert float(found[2]) < 0.05
