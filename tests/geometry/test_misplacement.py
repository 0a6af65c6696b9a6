"""How far outlines contradict each other, in pixels."""

from __future__ import annotations

import pytest

from img2mesh.artifacts import ViewSet
from img2mesh.geometry.misplacement import misalignment
from img2mesh.geometry.silhouettes import make_silhouettes, relaxed
from tests import shapes
from tests.field import scenes


@pytest.fixture(scope="module")
def box_views() -> ViewSet:
    return scenes.views_of(shapes.box())


@pytest.mark.parametrize("rig", ["zero123plus-v1.1", "zero123plus-v1.2"])
def test_outlines_of_one_body_agree(rig: str) -> None:
    for body in (shapes.box(), shapes.ball(), shapes.torus()):
        outlines = make_silhouettes(scenes.views_of(body, rig=rig).views)
        assert misalignment(outlines) < 0.3


def test_misplacement_is_measured_in_pixels(box_views: ViewSet) -> None:
    one, three = (
        misalignment(make_silhouettes(scenes.shifted(box_views, n).views)) for n in (1, 3)
    )
    assert 0.6 < one < 2
    assert 2.5 < three / one < 3.5


def test_a_widened_outline_alone_is_no_misplacement(box_views: ViewSet) -> None:
    plain = misalignment(make_silhouettes(box_views.views))
    wide = misalignment(relaxed(make_silhouettes(box_views.views), 1.0))
    assert abs(plain - wide) < 0.1
