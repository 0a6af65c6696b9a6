"""Views drawn again one at a time: order, cameras and outlines stay; strength 0 is the identity."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from img2mesh import multiview, pipeline
from img2mesh.artifacts import Cutout, DepthSet, Provenance, ViewSet
from img2mesh.core.arrays import F32
from img2mesh.core.rigs import rig
from img2mesh.errors import InputError
from img2mesh.multiview.refiner import Refiner, redrawn
from tests.conftest import made_once
from tests.models.tiny_pictures import make_pictures

SIDE = 32


@pytest.fixture(scope="module")
def painter(tmp_path_factory: pytest.TempPathFactory) -> str:
    made = made_once(tmp_path_factory, "pictures", lambda home: make_pictures(home / "painter"))
    return str(made / "painter")


@pytest.fixture(scope="module")
def views() -> ViewSet:
    """Six discs, each with a grey of its own."""
    v, u = (np.mgrid[0:SIDE, 0:SIDE] + 0.5) / SIDE * 2 - 1
    alpha = np.stack([(np.hypot(u, v) < 0.5 + 0.05 * k).astype(np.float32) for k in range(6)])
    rgb = np.stack([np.full((SIDE, SIDE, 3), 0.1 * k + 0.1, np.float32) for k in range(6)])
    cameras = rig("zero123plus-v1.1").cameras(SIDE)
    source = Provenance("geometric", notes=("a note",), licences=("CC0",))
    return ViewSet(rgb, alpha, cameras, provenance=source)


def refined(views: ViewSet, **settings: object) -> ViewSet:
    cutout = Cutout(views.rgb[0], views.alpha[0])
    depths = DepthSet(np.full(views.alpha.shape, np.nan, np.float32), views.cameras)
    return pipeline.refined(cutout, views, depths, generator="geometric", **settings)


def test_views_stay_in_order_on_their_cameras_and_in_their_outlines(views: ViewSet) -> None:
    asked: list[F32] = []

    def redraw(picture: F32, number: int, /) -> F32:
        asked.append(picture)
        return np.full_like(picture, (number + 1) / 8)

    found = redrawn(views, redraw)
    assert found.cameras == views.cameras and (found.alpha == views.alpha).all()
    assert [float(view.mean()) for view in found.rgb] == [(k + 1) / 8 for k in range(6)]
    for picture, view in zip(asked, views.views, strict=True):
        assert (picture[view.alpha == 0] == 1).all(), "it sees the object on white"
        assert np.allclose(picture[view.alpha == 1], view.rgb[view.alpha == 1])


@pytest.mark.parametrize("strength", [0.0, 0.01])
def test_at_strength_0_nothing_changes(views: ViewSet, strength: float) -> None:
    plain = refined(views)
    found = refined(views, refiner="not-even-read", refiner_strength=strength)
    assert found.rgb.tobytes() == views.rgb.tobytes()
    assert found.provenance == plain.provenance


def test_a_refiner_redraws_and_says_so(views: ViewSet, painter: str) -> None:
    settings = {"refiner": painter, "steps": 4, "seed": 5}
    found = refined(views, **settings, refiner_strength=0.5)
    again = refined(views, **settings, refiner_strength=0.5)
    assert found.rgb.tobytes() == again.rgb.tobytes()
    assert np.abs(found.rgb - views.rgb).mean(axis=(1, 2, 3)).min() > 0.01, "every view"
    assert (found.alpha == views.alpha).all()
    source = found.provenance
    assert source.learned_weights and not source.exact
    assert source.licences == ("CC0", "none: random") and source.generator == "geometric"
    assert "drawn again by painter, strength 0.5" in source.notes[-1]
    more = refined(views, **settings, refiner_strength=1.0)
    assert np.abs(more.rgb - views.rgb).mean() > np.abs(found.rgb - views.rgb).mean()


def test_the_refiner_is_part_of_the_key(painter: str, tmp_path: Path) -> None:
    plain = multiview.identity(generator="geometric", refiner=None, strength=1.0)
    found = multiview.identity(generator="geometric", refiner=painter, strength=1.0)
    assert plain == {} and set(found) == {"refiner"}
    with pytest.raises(InputError, match="models fetch sdxl-refiner"):
        multiview.identity(generator="geometric", refiner="sdxl-refiner", strength=1.0)


def test_progress_and_idleness(painter: str) -> None:
    sampling = multiview.Sampling(steps=4)
    assert Refiner(painter, 0.2, "").idle(sampling) and not Refiner(painter, 0.3, "").idle(sampling)
    assert Refiner(None, 1.0, "").idle(sampling)
    assert not Refiner(painter, 0.1, "").idle(replace(sampling, steps=None)), "50 of its own"
