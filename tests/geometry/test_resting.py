"""Where a body that was seen from above only stands."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh

from img2mesh.artifacts import Mesh
from img2mesh.core.cameras import Camera
from img2mesh.geometry.resting import floor_height
from img2mesh.geometry.silhouettes import Silhouette, make_silhouettes
from img2mesh.geometry.visual_hull import hull_values, tight_box
from tests.field.scenes import look
from tests.shapes import ball


def ring(body: Mesh, *elevations: float, count: int = 12) -> list[Silhouette]:
    """Outlines from a ring of cameras at each elevation."""
    cameras = [
        Camera.orbit(azimuth, elevation, distance=4.0, fov_deg=35.0, width=128, height=128)
        for elevation in elevations
        for azimuth in np.arange(count) * 360 / count
    ]
    return make_silhouettes([look(body, camera)[0] for camera in cameras])


def can(radius: float = 0.5, low: float = -0.4, high: float = 0.5) -> Mesh:
    made = trimesh.creation.cylinder(radius, segment=[[0, low, 0], [0, high, 0]], sections=48)
    return Mesh(made.vertices, made.faces)


@pytest.mark.parametrize("elevation", [15.0, 30.0, 50.0])
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
    assert floor_height(ring(can(), 30.0, -10.0, count=6)) is None
