"""What a fit starts from: the carved hull, distances, and colours without a background."""

from __future__ import annotations

import numpy as np

from img2mesh.artifacts import RadianceField, View
from img2mesh.field.initial import initial_field, redistance
from img2mesh.field.pictures import Observation, comparable_colours, observations_of
from img2mesh.geometry.silhouettes import make_silhouettes
from img2mesh.geometry.visual_hull import hull_values
from tests import shapes
from tests.field import scenes
from tests.field.balls import GRID, ball


def test_carving_with_depths_beats_the_hull() -> None:
    truth = shapes.bowl()
    known = scenes.views_of(truth, known=True)
    observations = observations_of(known, use_photo=False)
    outlined = hull_values(make_silhouettes([p.view for p in observations]), GRID)
    carved = initial_field(observations, outlined, GRID)
    hull = initial_field([Observation(p.view) for p in observations], outlined, GRID)
    errors = [
        scenes.chamfer(scenes.surface_of(RadianceField(f, GRID.origin, GRID.voxel, 1.0)), truth)
        for f in (carved, hull)
    ]
    assert errors[0] < 0.5 * errors[1]


def test_redistancing_keeps_the_zero_set_and_restores_slope_one() -> None:
    true = ball(0.6).values.numpy()
    bent = np.clip(true, -0.05, 0.05)
    again = redistance(bent, GRID.voxel)
    assert np.abs(again - true).max() < 1.1 * GRID.voxel
    near = np.abs(true) < 0.5 * GRID.voxel
    assert np.abs(again - true)[near].max() < 1e-6


def test_background_colour_never_reaches_the_comparison() -> None:
    view = scenes.views_of(shapes.ball(), size=64).views[0]
    loud = View(
        np.where(view.alpha[..., None] > 0.95, view.rgb, np.float32([1, 0, 1])),
        view.alpha,
        view.camera,
    )
    assert np.array_equal(comparable_colours(view, 2.0), comparable_colours(loud, 2.0))
