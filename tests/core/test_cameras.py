"""The conventions hold: poses, pixels, depth and the published rigs."""

from __future__ import annotations

import numpy as np
import pytest

from img2mesh.core.cameras import Camera, look_at, orbit
from img2mesh.core.rigs import rig
from img2mesh.errors import InputError


def camera(**changes: float) -> Camera:
    pose = {"azimuth_deg": 30.0, "elevation_deg": 20.0} | changes
    return Camera.orbit(**pose, distance=4.0, fov_deg=30.0, width=64, height=48)


def test_azimuth_zero_looks_from_plus_z_and_grows_to_the_cameras_right() -> None:
    assert np.allclose(orbit(0, 0, 2)[:3, 3], [0, 0, 2])
    assert np.allclose(orbit(90, 0, 2)[:3, 3], [2, 0, 0])
    assert np.allclose(orbit(0, 90, 2)[:3, 3], [0, 2, 0])
    # A point on the object's front moves to the left of the picture as the camera goes right.
    uv, _ = camera(azimuth_deg=30.0, elevation_deg=0.0).project(np.array([0.0, 0.0, 0.5]))
    assert uv[0] < 32


def test_the_origin_is_the_middle_of_the_picture() -> None:
    uv, depth = camera().project(np.zeros(3))
    assert np.allclose(uv, [32, 24]) and np.isclose(depth, 4)


def test_up_is_up_and_right_is_right() -> None:
    view = camera(azimuth_deg=0.0, elevation_deg=0.0)
    uv, _ = view.project(np.array([[0.1, 0, 0], [0, 0.1, 0]]))
    assert uv[0, 0] > 32 and uv[1, 1] < 24


def test_directions_invert_project() -> None:
    view = camera()
    depth = 3.3
    points = view.origin + depth * view.directions()
    uv, back = view.project(points)
    v, u = np.mgrid[0:48, 0:64] + 0.5
    assert np.allclose(uv[..., 0], u) and np.allclose(uv[..., 1], v) and np.allclose(back, depth)


def test_resizing_keeps_the_field_of_view() -> None:
    view, point = camera(), np.array([0.3, -0.2, 0.1])
    uv, _ = view.project(point)
    large, _ = view.resized(128, 96).project(point)
    assert np.allclose(large, 2 * uv) and np.isclose(view.resized(128, 96).fov_deg, view.fov_deg)


def test_moving_world_and_camera_together_changes_no_pixel() -> None:
    new_from_world = np.eye(4)
    new_from_world[:3, :3] = 2.5 * orbit(40, 10, 1)[:3, :3]
    new_from_world[:3, 3] = [1, 2, 3]
    point = np.array([0.3, -0.2, 0.1])
    moved_point = (new_from_world @ np.append(point, 1))[:3]
    uv, depth = camera().project(point)
    moved, moved_depth = camera().moved(new_from_world, scale=2.5).project(moved_point)
    assert np.allclose(uv, moved) and np.isclose(moved_depth, 2.5 * depth)


@pytest.mark.parametrize(
    ("name", "elevations", "fov_deg", "distance"),
    [
        ("zero123plus-v1.1", (30, -20), 2 * np.rad2deg(np.arctan(16 / 35)), 2.490),
        ("zero123plus-v1.2", (20, -10), 30.0, 4.0),
    ],
)
def test_the_published_rigs(
    name: str, elevations: tuple[float, float], fov_deg: float, distance: float
) -> None:
    cameras = rig(name).cameras(320)
    assert len(cameras) == 6
    for index, view in enumerate(cameras):
        x, y, z = view.origin
        assert np.isclose(np.rad2deg(np.arctan2(x, z)) % 360, 30 + 60 * index)
        assert np.isclose(
            np.rad2deg(np.arcsin(y / np.linalg.norm(view.origin))), elevations[index % 2]
        )
        assert np.isclose(view.fov_deg, fov_deg) and np.isclose(
            np.linalg.norm(view.origin), distance, atol=1e-3
        )
    # Both rigs show the unit sphere at the same size: 0.964 of the half-width.
    half = np.deg2rad(fov_deg) / 2
    assert np.isclose(
        np.tan(np.arcsin(1 / np.linalg.norm(cameras[0].origin))) / np.tan(half), 0.964, atol=0.02
    )


def test_unknown_rigs_are_named() -> None:
    with pytest.raises(InputError, match=r"zero123plus-v1\.1"):
        rig("zero123plus")


@pytest.mark.parametrize("spoil", ["scale", "mirror", "shear", "nan", "shape"])
def test_only_rigid_matrices_are_cameras(spoil: str) -> None:
    matrix = orbit(10, 10, 2)
    match spoil:
        case "scale":
            matrix[:3, :3] *= 1.1
        case "mirror":
            matrix[:3, 0] *= -1
        case "shear":
            matrix[0, 1] += 0.1
        case "nan":
            matrix[0, 3] = np.nan
        case "shape":
            matrix = matrix[:3]
    with pytest.raises(InputError):
        Camera.from_fov(matrix, fov_deg=30, width=8, height=8)


def test_looking_straight_down_is_still_rigid() -> None:
    matrix = look_at([0, 3, 0], [0, 0, 0])
    assert np.allclose(matrix[:3, :3] @ matrix[:3, :3].T, np.eye(3))
    assert np.allclose(matrix[:3, 2], [0, 1, 0])
