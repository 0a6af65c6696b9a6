"""The photo's camera from outlines and colours, on a painted shape with a known camera."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from img2mesh.artifacts import Mesh, PhotoPose, View, ViewSet
from img2mesh.artifacts.codecs import load_views, save_views
from img2mesh.core.cameras import Camera
from img2mesh.core.rigs import RIGS
from img2mesh.errors import InputError
from img2mesh.geometry.raycast import Scene
from img2mesh.pose import pose_photo
from img2mesh.pose.evidence import colour_misfit, gather, outline_misfit, subject
from img2mesh.pose.search import Pose, confidence, estimate
from tests.shapes import ball, steps

SIZE, ELEVATION = 128, 17.0


def paint(points: np.ndarray) -> np.ndarray:
    x, y, z = np.moveaxis(points, -1, 0)
    waves = [np.sin(7 * x + 4 * y), np.sin(8 * y - 5 * z), np.sin(9 * z + 6 * x)]
    return np.clip(0.5 + 0.35 * np.stack(waves, -1), 0, 1).astype(np.float32)


def look(mesh: Mesh, camera: Camera, *, upset: bool = False) -> View:
    hits = Scene(mesh.vertices, mesh.faces).look(camera)
    points = camera.origin + np.nan_to_num(hits.depth)[..., None] * camera.directions()
    rgb = paint(points[..., ::-1] * 1.3 if upset else points) * hits.mask[..., None]
    return View(rgb, hits.mask.astype(np.float32), camera)


@pytest.fixture(scope="module")
def views() -> ViewSet:
    cameras = RIGS["zero123plus-v1.2"].cameras(SIZE)
    drawn = [look(steps(), camera) for camera in cameras]
    return ViewSet(np.stack([v.rgb for v in drawn]), np.stack([v.alpha for v in drawn]), cameras)


@pytest.fixture(scope="module")
def true_camera() -> Camera:
    """Closer and with another lens than the rig's, cut out off the middle."""
    camera = Camera.orbit(0, ELEVATION, distance=3.2, fov_deg=34, width=SIZE, height=SIZE)
    return replace(camera, fx=camera.fx * 1.1, fy=camera.fy * 1.1, cx=68.0, cy=61.0)


@pytest.fixture(scope="module")
def found(views: ViewSet, true_camera: Camera) -> Pose:
    return estimate(views, replace(look(steps(), true_camera), camera=None))


def test_the_photo_s_camera_is_found(found: Pose, true_camera: Camera) -> None:
    assert abs(found.elevation_deg - ELEVATION) < 1.5 and abs(found.azimuth_deg) < 1.5
    assert found.confidence > 0.5
    corners = steps().vertices
    off = found.camera.project(corners)[0] - true_camera.project(corners)[0]
    assert np.abs(off).max() < 3.0, "pixels"


def test_another_object_s_photo_is_not_trusted(views: ViewSet, true_camera: Camera) -> None:
    said: list[str] = []
    photo = replace(look(ball(0.7, 3), true_camera, upset=True), camera=None)
    out = pose_photo(replace(views, photo=photo), least=0.5, note=said.append)
    assert out.photo_pose is not None and out.photo_pose.confidence < 0.1
    assert out.photo is not None and out.photo.camera is None
    assert "not used" in said[0]


def test_evidence_is_best_at_the_true_camera(views: ViewSet, true_camera: Camera) -> None:
    known, photo = gather(views), subject(look(steps(), true_camera))
    best = outline_misfit(known, photo, true_camera)
    colours = colour_misfit(known, photo, true_camera)
    assert best < 0.35
    for elevation in (ELEVATION - 5, ELEVATION + 5):
        turned = Camera.orbit(0, elevation, distance=3.2, fov_deg=34, width=SIZE, height=SIZE)
        other = replace(true_camera, world_from_camera=turned.world_from_camera)
        assert outline_misfit(known, photo, other) > best + 0.03
        assert colour_misfit(known, photo, other) > colours + 0.01


def test_a_known_camera_and_no_photo_pass_through(views: ViewSet, true_camera: Camera) -> None:
    assert pose_photo(views, least=0.5) is views
    with_camera = replace(views, photo=look(steps(), true_camera))
    assert pose_photo(with_camera, least=0.5) is with_camera
    without = replace(views, photo=replace(look(steps(), true_camera), camera=None))
    assert pose_photo(without, least=2.0) is without
    with pytest.raises(InputError, match="confidence"):
        pose_photo(views, least=-1)


def test_the_estimate_is_stored_with_the_views(views: ViewSet, tmp_path: Path) -> None:
    pose = PhotoPose(12.5, -0.5, 0.25)
    save_views(tmp_path, replace(views, photo_pose=pose))
    assert load_views(tmp_path).photo_pose == pose


def test_confidence_falls_with_every_misfit() -> None:
    assert confidence(0, 0, 0) == 1
    assert confidence(0.1, 0.3, 2.5) > 0.8
    for bad in ((2, 0, 0), (0, 1.2, 0), (0, 0, 9)):
        assert confidence(*bad) < 0.2
