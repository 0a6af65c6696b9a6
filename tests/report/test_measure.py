"""``measure`` on assets whose agreement with their views is known."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from img2mesh.artifacts import Provenance, TexturedMesh, View, ViewSet
from img2mesh.core.cameras import Camera
from img2mesh.core.rigs import RIGS
from img2mesh.report import measure, render
from img2mesh.report.fidelity import shrunk
from tests.rooms import to_asset_frame
from tests.shapes import box_asset


@pytest.fixture(scope="module")
def box() -> TexturedMesh:
    return box_asset((1.1, 0.9, 0.7), centre=(0.05, -0.1, 0.02), texture=192)


@pytest.fixture(scope="module")
def views(box: TexturedMesh) -> ViewSet:
    """What the rig's cameras see of the box, and a larger photo."""
    cameras = RIGS["zero123plus-v1.2"].cameras(96)
    pictures = [render(box, camera) for camera in cameras]
    front = Camera.orbit(0, 10, distance=4, fov_deg=30, width=240, height=240)
    return ViewSet(
        np.stack([rgb for rgb, _ in pictures]),
        np.stack([alpha for _, alpha in pictures]),
        cameras,
        photo=View(*render(box, front), front),
        provenance=Provenance("geometric", False, True, ("none",), ("the prior guesses",)),
    )


def test_a_perfect_asset_scores_perfectly(box: TexturedMesh, views: ViewSet) -> None:
    m = measure(box, views).measures
    assert m["silhouette_iou"]["views"] == [1.0] * 6
    assert m["psnr_views"]["views"] == [100.0] * 6
    assert m["silhouette_iou"]["input"] == 1.0
    assert m["psnr_views"]["input"] == 100.0


def test_a_huge_photo_is_averaged_down(box: TexturedMesh, views: ViewSet) -> None:
    large = Camera.orbit(0, 10, distance=4, fov_deg=30, width=1200, height=1200)
    m = measure(box, replace(views, photo=View(*render(box, large, supersample=1), large))).measures
    assert m["silhouette_iou"]["input"] > 0.995
    assert m["psnr_views"]["input"] > 33


def test_averaging_keeps_what_lies_behind_the_object_out() -> None:
    rgb = np.zeros((40, 40, 3), np.float32)
    rgb[:, :19] = (0.8, 0.4, 0.2)
    alpha = np.zeros((40, 40), np.float32)
    alpha[:, :19] = 1
    small, cover = shrunk(rgb, alpha, 10)
    assert small.shape == (10, 10, 3)
    np.testing.assert_allclose(
        small[:, :5], np.broadcast_to([0.8, 0.4, 0.2], (10, 5, 3)), atol=1e-6
    )
    np.testing.assert_allclose(cover[:, 3:6], np.broadcast_to([1, 0.75, 0], (10, 3)), atol=1e-6)


def test_the_delivery_frame_changes_no_score(box: TexturedMesh, views: ViewSet) -> None:
    placed = to_asset_frame(box, scale=0.3)
    m, still = measure(placed, views).measures, measure(box, views).measures
    np.testing.assert_allclose(m["silhouette_iou"]["views"], 1.0, atol=0.002)
    assert m["silhouette_iou"]["input"] == pytest.approx(still["silhouette_iou"]["input"], abs=2e-3)
    assert min(m["psnr_views"]["views"]) > 30
    np.testing.assert_allclose(m["bounds"]["max"], placed.vertices.max(axis=0))


def test_a_shifted_asset_scores_lower(box: TexturedMesh, views: ViewSet) -> None:
    shifted = replace(box, vertices=box.vertices + np.float32([0.1, 0.0, 0.0]))
    m = measure(shifted, views).measures
    # A shift by 0.1 of a 1.1 wide box, seen from the front: about (1 - 1/11) / (1 + 1/11).
    assert m["silhouette_iou"]["input"] == pytest.approx(0.85, abs=0.04)
    assert max(m["silhouette_iou"]["views"]) < 0.97
    assert max(m["psnr_views"]["views"]) < 25


def test_psnr_is_the_error_of_the_object_pixels(box: TexturedMesh, views: ViewSet) -> None:
    """Every colour off by 26 of 255, however much background there is around the object."""
    flat = replace(box, texture=np.full_like(box.texture, 100))
    lighter = replace(box, texture=np.full_like(box.texture, 126))
    pictures = [render(flat, c) for c in views.cameras]
    given = replace(views, rgb=np.stack([rgb for rgb, _ in pictures]))
    scores = measure(lighter, given).measures["psnr_views"]["views"]
    # Half-covered edge pixels, a few in a hundred, differ less and add up to 0.2 dB.
    np.testing.assert_allclose(scores, -20 * np.log10(26 / 255), atol=0.25)
    assert min(scores) > -20 * np.log10(26 / 255)


def test_the_input_camera_repeats_the_measurement(box: TexturedMesh, views: ViewSet) -> None:
    placed = to_asset_frame(box)
    told = measure(placed, views).measures["input_camera"]
    assert told["azimuth_deg"] == pytest.approx(0, abs=1e-6)
    assert told["elevation_deg"] == pytest.approx(10, abs=1e-6)
    assert told["fov_deg"] == pytest.approx(30, abs=1e-6)
    assert told["distance"] == pytest.approx(4 / 1.1, rel=1e-5)
    camera = Camera.from_fov(
        told["world_from_camera"], fov_deg=told["fov_deg"], width=240, height=240
    )
    _, alpha = render(placed, camera)
    assert views.photo is not None
    assert np.abs(alpha - views.photo.alpha).mean() < 1e-3


def test_report_keys_and_json(box: TexturedMesh, views: ViewSet) -> None:
    m = measure(replace(box, notes=("a note",)), views).measures
    assert json.loads(json.dumps(m, allow_nan=False)) == m
    assert (m["faces"], m["vertices"], m["texture_resolution"]) == (12, 8, 192)
    assert (m["watertight"], m["manifold"], m["components"], m["euler_number"]) == (
        True,
        True,
        1,
        2,
    )
    assert m["uv_overlap"] == 0
    assert m["generator"] == "geometric" and m["learned_weights"] is False
    assert m["licences"] == ["none"]
    assert m["warnings"] == ["the prior guesses", "a note"]
    area = 1.1 * 0.9 + 1.1 * 0.7 + 0.9 * 0.7
    assert m["seen_surface_fraction"]["photo"] == pytest.approx(1.1 * 0.9 / 2 / area, abs=1e-3)


def test_damage_is_measured_and_warned_of(box: TexturedMesh, views: ViewSet) -> None:
    m = measure(replace(box, faces=box.faces[1:]), views).measures
    assert not m["watertight"]
    assert any("watertight" in w for w in m["warnings"])
    uv = box.uv.copy()
    uv[4:8] = uv[:4]
    m = measure(replace(box, uv=uv), views).measures
    assert m["uv_overlap"] == pytest.approx(0.2, abs=0.01)
    assert any("more than one chart" in w for w in m["warnings"])


def test_without_photo_or_pose(box: TexturedMesh, views: ViewSet) -> None:
    for photo in (None, replace(views.photo, camera=None)):
        quality = measure(box, replace(views, photo=photo))
        assert quality.measures["silhouette_iou"]["input"] is None
        assert quality.measures["psnr_views"]["input"] is None
        assert quality.measures["input_camera"] is None
        assert quality.preview.shape[1] == 1600


def test_the_preview_shows_the_input_and_the_views(box: TexturedMesh, views: ViewSet) -> None:
    quality = measure(box, views)
    again = measure(box, views)
    np.testing.assert_array_equal(quality.preview, again.preview)
    ground = quality.preview[2, 2].astype(int)
    different = np.abs(quality.preview.astype(int) - ground).max(axis=2) > 60
    height, width = different.shape
    for row in (slice(0, height // 2), slice(height // 2, height)):
        for column in range(5):
            cell = different[row, column * width // 5 : (column + 1) * width // 5]
            assert cell.mean() > 0.08, "a cell of the preview is empty"
    border = np.concatenate([different[:10].ravel(), different[:, :10].ravel()])
    assert not border.any()


def test_an_asset_out_of_sight_is_no_crash(box: TexturedMesh, views: ViewSet) -> None:
    m = measure(replace(box, vertices=box.vertices + np.float32(50)), views).measures
    assert m["silhouette_iou"]["views"] == [0.0] * 6
    assert json.dumps(m, allow_nan=False)
