"""The visual hull: contains the shape, touches its outlines, and says what is wrong with input."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from img2mesh.artifacts import View
from img2mesh.core.cameras import Camera
from img2mesh.errors import InputError
from img2mesh.geometry.raycast import Scene
from img2mesh.geometry.silhouettes import contour_distance
from tests import shapes
from tests.field import scenes


def test_contour_distance_of_a_disc_is_exact_to_a_tenth_of_a_pixel() -> None:
    v, u = np.mgrid[0:64, 0:64]
    true = np.hypot(u - 31.3, v - 30.8) - 17.4
    alpha = np.clip(0.5 - true, 0, 1).astype(np.float32)  # one pixel wide anti-aliased edge
    error = np.abs(contour_distance(alpha) - true)
    assert error.max() < 0.1 and np.median(error) < 0.03


def test_contour_of_a_binary_mask_runs_halfway_between_the_pixels() -> None:
    alpha = np.zeros((20, 20), np.float32)
    alpha[:, 8:] = 1
    distance = contour_distance(alpha)
    assert np.allclose(distance[10, 6:10], [1.5, 0.5, -0.5, -1.5], atol=1e-3)


@pytest.mark.parametrize("shape", [shapes.ball(), shapes.box(), shapes.torus()])
def test_hull_contains_the_shape(shape: scenes.Mesh) -> None:
    views = scenes.views_of(shape)
    hull = scenes.hull_of(views.views, grid=48)
    index = (shape.vertices - hull.origin) / hull.voxel
    assert (index > 0).all() and (index < np.array(hull.sdf.shape) - 1).all()
    from scipy.ndimage import map_coordinates

    assert map_coordinates(hull.sdf, index.T, order=1).max() < 0.7 * hull.voxel


def test_hull_shows_the_same_masks_again() -> None:
    views = scenes.views_of(shapes.torus())
    mesh = scenes.surface_of(scenes.hull_of(views.views, grid=96))
    for view in views.views:
        assert view.camera is not None
        seen, wanted = Scene(mesh.vertices, mesh.faces).look(view.camera).mask, view.alpha > 0.5
        assert (seen & wanted).sum() / (seen | wanted).sum() > 0.96


def test_box_is_tight_whatever_the_scale_and_place_of_the_world() -> None:
    views = scenes.views_of(shapes.ball())
    hull = scenes.hull_of(views.views, grid=48)
    move = np.diag([7.0, 7.0, 7.0, 1.0])
    move[:3, 3] = (30.0, -4.0, 11.0)
    moved = [replace(v, camera=v.camera.moved(move, scale=7.0)) for v in views.views if v.camera]
    other = scenes.hull_of(moved, grid=48)
    assert other.voxel == pytest.approx(7 * hull.voxel, rel=1e-6)
    assert other.origin == pytest.approx(7 * hull.origin + move[:3, 3], abs=1e-6)
    assert np.abs(other.sdf / 7 - hull.sdf).max() < 1e-3
    size = hull.voxel * (np.array(hull.sdf.shape) - 1)
    assert (size < 2.35 * 0.8 * np.array([1.1, 1.35, 1.1])).all()  # diameter, bulge, margin


def test_relaxing_grows_the_hull() -> None:
    views = scenes.views_of(shapes.ball()).views
    tight, wide = scenes.hull_of(views, grid=40), scenes.hull_of(views, grid=40, relax_px=2.0)
    assert (wide.sdf < 0).sum() * wide.voxel**3 > 1.05 * (tight.sdf < 0).sum() * tight.voxel**3


def _without(view: View, alpha: float) -> View:
    return replace(view, alpha=np.full_like(view.alpha, alpha))


def test_bad_views_get_one_sentence() -> None:
    views = scenes.views_of(shapes.ball()).views
    with pytest.raises(InputError, match="view 1 shows no object"):
        scenes.hull_of([views[0], _without(views[1], 0.0)], grid=32)
    with pytest.raises(InputError, match="view 1 has no background"):
        scenes.hull_of([views[0], _without(views[1], 1.0)], grid=32)
    with pytest.raises(InputError, match="at least two"):
        scenes.hull_of(views[:1], grid=32)
    with pytest.raises(InputError, match="same direction"):
        scenes.hull_of([views[0], views[0]], grid=32)
    camera = views[1].camera
    assert camera is not None
    turned = camera.world_from_camera.copy()
    turned[:3, [0, 2]] *= -1  # looks the other way
    away = Camera(turned, camera.fx, camera.fy, camera.cx, camera.cy, 96, 96)
    with pytest.raises(InputError, match="looks away"):
        scenes.hull_of([views[0], replace(views[1], camera=away), views[2]], grid=32)


def test_outlines_without_a_common_volume_are_an_error() -> None:
    views = scenes.views_of(shapes.ball(0.2)).views
    corner = np.zeros_like(views[0].alpha)
    corner[:6, :6] = 1.0
    with pytest.raises(InputError, match="no volume in common"):
        scenes.hull_of([replace(views[0], alpha=corner), *views[1:]], grid=32)
