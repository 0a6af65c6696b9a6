"""The fit as a whole: it comes closer to the truth than the hull, and does as it is told."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from img2mesh.artifacts import Mesh, Provenance, View, ViewSet
from img2mesh.core.cameras import Camera
from img2mesh.errors import InputError
from img2mesh.field.optimize import Fit
from img2mesh.field.pictures import match_footprint
from img2mesh.geometry.misplacement import LIMIT_PX, misalignment
from img2mesh.geometry.raycast import Scene
from img2mesh.geometry.silhouettes import make_silhouettes
from tests import shapes
from tests.field import scenes
from tests.field.fits import brief_fit, fit


def mask_overlap(mesh: Mesh, view: View) -> float:
    assert view.camera is not None
    seen, wanted = Scene(mesh.vertices, mesh.faces).look(view.camera).mask, view.alpha > 0.5
    return float((seen & wanted).sum() / (seen | wanted).sum())


@pytest.fixture(scope="module")
def turned_box() -> ViewSet:
    return scenes.views_of(shapes.box(), size=80)


def test_textured_box_comes_much_closer_than_its_hull(turned_box: ViewSet) -> None:
    truth = shapes.box()
    hull = scenes.surface_of(scenes.hull_of(turned_box.views, grid=96))
    # The smallest grid that looks at every pixel.
    fitted = scenes.surface_of(fit(turned_box, grid=96, density_steps=50))
    assert scenes.chamfer(fitted, truth) < 0.25 * scenes.chamfer(hull, truth)
    assert scenes.chamfer(fitted, truth) < 0.01
    assert min(mask_overlap(fitted, v) for v in turned_box.views) > 0.96


def test_torus_keeps_its_hole_and_its_masks() -> None:
    views = scenes.views_of(shapes.torus(), rig="zero123plus-v1.1")
    field = fit(views, grid=40)
    fitted = scenes.surface_of(field)
    assert scenes.chamfer(fitted, shapes.torus()) < 0.012
    assert min(mask_overlap(fitted, v) for v in views.views) > 0.93
    middle = tuple(np.round(-field.origin / field.voxel).astype(int))
    assert field.sdf[middle] > 0.1  # empty, and far from everything


@pytest.mark.slow
def test_known_depths_and_normals_open_a_hollow_no_outline_shows() -> None:
    truth = shapes.bowl()
    # In much smaller pictures the hollow is too few pixels wide for normals to be integrated.
    known = scenes.views_of(truth, size=128, known=True, plain=True)
    blind = replace(known, depth=None, normals=None)
    error = {
        name: scenes.chamfer(scenes.surface_of(fit(views, grid=48)), truth)
        for name, views in {
            "nothing": blind,
            "normals": replace(blind, normals=known.normals),
            "both": known,
        }.items()
    }
    assert error["both"] < 0.6 * error["nothing"]
    assert error["normals"] < 0.8 * error["nothing"]


def test_thin_legs_survive_with_known_depth() -> None:
    import trimesh

    parts = [trimesh.creation.box((1.0, 0.12, 1.0))]
    parts[0].apply_translation([0, 0.4, 0])
    for x in (-0.42, 0.42):
        for z in (-0.42, 0.42):
            leg = trimesh.creation.box((0.08, 0.9, 0.08))
            leg.apply_translation([x, -0.05, z])
            parts.append(leg)
    shape = trimesh.boolean.union(parts, engine="manifold")
    table = Mesh(shape.vertices, shape.faces)
    views = scenes.views_of(table, size=128, known=True)
    fitted = scenes.surface_of(fit(views, grid=64))
    assert min(mask_overlap(fitted, v) for v in views.views) > 0.9


def test_photo_is_a_seventh_view_only_where_its_camera_is_known() -> None:
    truth = shapes.torus()
    views = scenes.views_of(truth, size=64)
    above = Camera.orbit(0, 60.0, distance=4.0, fov_deg=30.0, width=192, height=192)
    photo, _, _ = scenes.look(truth, above)
    with_photo = scenes.surface_of(brief_fit(replace(views, photo=photo)))
    without = brief_fit(replace(views, photo=photo), use_photo=False)
    unknown = brief_fit(replace(views, photo=replace(photo, camera=None)))
    assert np.array_equal(without.sdf, unknown.sdf)
    assert mask_overlap(with_photo, photo) > mask_overlap(scenes.surface_of(without), photo) + 0.02


def test_photo_is_brought_down_to_the_views_pixel_size() -> None:
    views = scenes.views_of(shapes.ball(), size=64)
    camera = Camera.orbit(0, 10.0, distance=8.0, fov_deg=15.0, width=320, height=320)
    photo, _, _ = scenes.look(shapes.ball(), camera)
    small = match_footprint(photo, views.cameras)
    assert abs(small.alpha.shape[0] - 64) <= 1
    assert small.camera is not None and small.camera.fov_deg == pytest.approx(15.0)
    assert small.alpha.mean() == pytest.approx(photo.alpha.mean(), abs=5e-3)
    assert match_footprint(small, views.cameras) is small


class Chosen(Exception):
    """Stops a fit once it has chosen its schedule."""


def test_provenance_chooses_the_smoothness(turned_box: ViewSet, monkeypatch: Any) -> None:
    chosen = []

    def note(*, exact: bool, **_: object) -> None:
        chosen.append(exact)
        raise Chosen

    monkeypatch.setattr("img2mesh.field.schedule.make_schedule", note)
    guessed = replace(turned_box, provenance=Provenance(generator="x", exact=False))
    for views, wish in ((turned_box, "auto"), (guessed, "auto"), (guessed, "exact")):
        with pytest.raises(Chosen):
            fit(views, smoothness=wish)
    assert chosen == [True, False, True]


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
    turned_box: ViewSet, choices: list[tuple[float, float]]
) -> None:
    for views, wish in (
        (turned_box, None),
        (scenes.shifted(turned_box, 2), None),
        (turned_box, 0.5),
    ):
        with pytest.raises(Chosen):
            fit(views, relax_px=wish)
    (plain, no_room), (strong, room), (_, asked) = choices
    assert no_room == 0 and asked == 0.5
    assert 0.6 < room < 2
    assert strong > plain


def test_a_photo_with_an_inexact_camera_does_not_make_the_views_doubtful(
    turned_box: ViewSet, choices: list[tuple[float, float]]
) -> None:
    photo = replace(scenes.shifted(turned_box, 4).views[0], camera=turned_box.cameras[0])
    seven = replace(turned_box, photo=photo)
    assert misalignment(make_silhouettes(seven.posed)) > LIMIT_PX
    for views in (turned_box, seven):
        with pytest.raises(Chosen):
            fit(views)
    assert choices[0] == choices[1]


def test_senseless_input_gets_one_sentence(turned_box: ViewSet) -> None:
    with pytest.raises(InputError, match="grid 4 and fine_grid 0"):
        fit(turned_box, grid=4)
    with pytest.raises(InputError, match="smoothness 'soft'"):
        fit(turned_box, smoothness="soft")
    with pytest.raises(InputError, match="shows no object"):
        fit(replace(turned_box, alpha=np.zeros_like(turned_box.alpha)))
    with pytest.raises(InputError, match="relax_px -1"):
        fit(turned_box, relax_px=-1.0)
    with pytest.raises(InputError, match="density_steps -1 must be 0"):
        fit(turned_box, grid=24, density_steps=-1)
