"""Renders of a box: where its sides fall and what colours they have, from the camera's formula."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from img2mesh.core.cameras import Camera
from img2mesh.report import render
from img2mesh.report.rendering import CLAY, SHADED, UNLIT, Renderer
from tests.shapes import COLOURS, box_asset


def camera(azimuth: float = 0.0, elevation: float = 0.0, size: int = 120) -> Camera:
    return Camera.orbit(azimuth, elevation, distance=4, fov_deg=40, width=size, height=size)


@pytest.mark.parametrize(
    ("azimuth", "side"), [(0, "front"), (90, "right"), (180, "back"), (270, "left")]
)
def test_each_side_in_its_place_and_upright(azimuth: float, side: str) -> None:
    rgb, alpha = render(box_asset((1.2, 1.2, 1.2)), camera(azimuth))
    full = np.array(COLOURS[side]) / 255
    quarter = 15  # pixels off the middle
    for du, dv, colour in ((1, 1, full), (1, -1, full), (-1, -1, full), (-1, 1, full / 2)):
        u, v = 60 + du * quarter, 60 + dv * quarter
        np.testing.assert_allclose(rgb[v, u], colour, atol=0.004)
        assert alpha[v, u] == 1


def test_the_outline_is_where_the_camera_projects_it() -> None:
    box = box_asset((1.2, 0.8, 1.0))
    view = camera()
    _, alpha = render(box, view, supersample=4)
    corners = box.vertices[box.vertices[:, 2] > 0]
    uv, _ = view.project(corners)
    area = np.prod(uv.max(axis=0) - uv.min(axis=0))
    assert alpha.sum() == pytest.approx(area, rel=0.01)
    rows, columns = np.nonzero(alpha > 0.5)
    np.testing.assert_allclose([columns.min(), rows.min()], np.round(uv.min(axis=0)), atol=0.51)


def test_background_and_straight_alpha() -> None:
    box = box_asset((1.2, 0.8, 1.0))
    rgb, alpha = render(box, camera(35, 20))
    over, again = render(box, camera(35, 20), background=(1.0, 0.5, 0.0))
    np.testing.assert_array_equal(alpha, again)
    np.testing.assert_allclose(over[0, 0], (1, 0.5, 0))
    expected = rgb * alpha[..., None] + np.array([1, 0.5, 0]) * (1 - alpha[..., None])
    np.testing.assert_allclose(over, expected, atol=1e-6)
    edge = (alpha > 0) & (alpha < 1)
    assert edge.any()
    # Straight colours: even an edge pixel has a colour of the box, not a mix with the outside.
    assert rgb[edge].max(axis=1).min() > 0.2


def test_a_fine_texture_far_away_is_averaged() -> None:
    """A checkerboard of single texels, many to a pixel, is grey: mip levels at work."""
    box = box_asset((1.2, 1.2, 1.2), texture=768)
    checks = (np.indices((768, 768)).sum(axis=0) % 2 * 255).astype(np.uint8)
    box = replace(box, texture=np.stack([checks] * 3, axis=2))
    rgb, alpha = render(box, camera(0, 0, size=40), supersample=1)
    inside = rgb[alpha == 1]
    assert np.abs(inside - 0.5).max() < 0.1
    assert inside.std() < 0.03


def test_light_shades_without_taking_the_colour() -> None:
    renderer = Renderer(box_asset((1.2, 1.2, 1.2)))
    view = camera(35, 25)
    (plain, alpha), (shaded, _), (clay, _) = renderer.render_styles(view, (UNLIT, SHADED, CLAY))
    inside = alpha == 1
    assert 0.75 < shaded[inside].mean() / plain[inside].mean() < 1.15
    assert clay[inside].std() > 0.03  # the sides differ
    assert np.ptp(clay[inside], axis=1).max() < 0.05  # grey
    for picture in (plain, shaded, clay):
        assert picture.min() >= 0 and picture.max() <= 1


def test_hollows_are_darker_than_open_sides() -> None:
    """Two boxes face to face with a narrow gap: the vertices in the gap see little sky."""
    a, b = box_asset((1, 1, 1)), box_asset((1, 1, 1), centre=(1.1, 0, 0))
    pair = replace(
        a,
        vertices=np.concatenate([a.vertices, b.vertices]),
        faces=np.concatenate([a.faces, b.faces + 24]),
        uv=np.concatenate([a.uv, b.uv]),
        normals=np.concatenate([a.normals, b.normals]),
        source_vertex=np.arange(48),
    )
    open_sky = Renderer(pair).occlusion
    right_of_a = np.flatnonzero(a.normals[:, 0] > 0.5)
    left_of_a = np.flatnonzero(a.normals[:, 0] < -0.5)
    assert open_sky[right_of_a].max() < 0.85
    assert open_sky[left_of_a].min() > 0.95
