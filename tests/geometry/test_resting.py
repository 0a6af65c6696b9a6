"""Where a body that was seen from above only stands."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh

from img2mesh.artifacts import Mesh, ViewSet
from img2mesh.core.cameras import Camera
from img2mesh.geometry.resting import floor_height
from img2mesh.geometry.silhouettes import Silhouette, make_silhouettes
from img2mesh.geometry.visual_hull import hull_values, tight_box
from tests.field.fits import fit
from tests.field.scenes import look
from tests.rooms import extract
from tests.shapes import ball


def ring_views(body: Mesh, *elevations: float, count: int = 8) -> ViewSet:
    """Pictures from a ring of cameras at each elevation."""
    cameras = tuple(
        Camera.orbit(azimuth, elevation, distance=4.0, fov_deg=35.0, width=96, height=96)
        for elevation in elevations
        for azimuth in np.arange(count) * 360 / count
    )
    drawn = [look(body, camera)[0] for camera in cameras]
    return ViewSet(np.stack([d.rgb for d in drawn]), np.stack([d.alpha for d in drawn]), cameras)


def ring(body: Mesh, *elevations: float, count: int = 8) -> list[Silhouette]:
    """Their outlines."""
    return make_silhouettes(ring_views(body, *elevations, count=count).views)


def can(radius: float = 0.5, low: float = -0.4, high: float = 0.5) -> Mesh:
    made = trimesh.creation.cylinder(radius, segment=[[0, low, 0], [0, high, 0]], sections=48)
    return Mesh(made.vertices, made.faces)


@pytest.mark.parametrize("elevation", [15.0, 40.0])
def test_a_flat_base_is_found_where_the_hull_goes_on(elevation: float) -> None:
    outlines = ring(can(), elevation)
    box = tight_box(outlines, grid=48, margin=0.05)
    assert box.origin[1] < -0.47, "the hull alone has a cone"
    floor = floor_height(outlines)
    assert floor == pytest.approx(-0.4, abs=0.02)
    cut = tight_box(outlines, grid=48, margin=0.05, floor=floor)
    inside = np.argwhere(hull_values(outlines, cut, floor=floor) < 0)
    assert cut.origin[1] + cut.voxel * inside[:, 1].min() > -0.44


def test_a_round_body_has_none() -> None:
    assert floor_height(ring(ball(0.6), 30.0)) is None


def test_nor_has_what_somebody_saw_from_below() -> None:
    assert floor_height(ring(can(), 30.0, -10.0, count=4)) is None


def test_it_is_told_up_to_the_mesh() -> None:
    scene = ring_views(can(), 30.0, count=6)
    field = fit(scene, grid=24, density_steps=0)
    assert any("taken to be flat" in note for note in field.notes)
    mesh = extract(field, target_faces=500)
    assert any("taken to be flat" in note for note in mesh.notes)
    assert mesh.vertices[:, 1].min() > -0.5, "the cone ends at -.69"
