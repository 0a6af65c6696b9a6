"""Views that do not quite agree: by how much, and what the fit does about it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from img2mesh.artifacts import ViewSet
from img2mesh.field.disagreement import LIMIT_PX, misalignment
from img2mesh.field.optimize import Fit
from img2mesh.geometry.silhouettes import make_silhouettes, relaxed
from tests.field import scenes
from tests.field.fits import fit


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
    """Stops a fit once it has chosen its schedule."""


@pytest.fixture
def choices(monkeypatch: Any) -> list[tuple[float, float]]:
    """Of every fit that starts: the curvature's weight, and what the outlines are widened by."""
    notes: list[tuple[float, float]] = []

    def note(chosen: Fit) -> None:
        plain = make_silhouettes([o.view for o in chosen.observations])[0].distance
        widened = float((plain - chosen.silhouettes[0].distance).mean())
        notes.append((chosen.schedule[-1].curvature, round(widened, 5)))
        raise Chosen

    monkeypatch.setattr("img2mesh.field.optimize.optimize", note)
    return notes


def test_given_views_that_disagree_are_smoothed_and_get_room(
    box_views: ViewSet, choices: list[tuple[float, float]]
) -> None:
    for views, wish in ((box_views, None), (shifted(box_views, 2), None), (box_views, 0.5)):
        with pytest.raises(Chosen):
            fit(views, relax_px=wish)
    (plain, no_room), (strong, room), (_, asked) = choices
    assert no_room == 0 and asked == 0.5
    assert 0.6 < room < 2
    assert strong > plain


def test_a_photo_with_an_inexact_camera_does_not_make_the_views_doubtful(
    box_views: ViewSet, choices: list[tuple[float, float]]
) -> None:
    photo = replace(shifted(box_views, 4).views[0], camera=box_views.cameras[0])
    seven = replace(box_views, photo=photo)
    assert misalignment(make_silhouettes(seven.posed)) > LIMIT_PX
    for views in (box_views, seven):
        with pytest.raises(Chosen):
            fit(views)
    assert choices[0] == choices[1]
