"""The six views: exact pictures of one body, honest about where they come from."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from img2mesh import pipeline
from img2mesh.artifacts import Cutout
from img2mesh.core.rigs import rig
from img2mesh.errors import InputError
from img2mesh.graph import Run
from img2mesh.multiview import geometric

SIZE = 256


def blob(size=SIZE):
    """An irregular cut-out with a painted face and fine texture."""
    yy, xx = (np.mgrid[:size, :size] + 0.5) / size * 2 - 1
    radius = 0.62 + 0.12 * np.cos(3 * np.arctan2(yy, xx) + 0.7)
    alpha = np.clip((radius - np.hypot(xx, yy)) * size / 2 + 0.5, 0, 1)
    rgb = np.empty((size, size, 3))
    rgb[:] = [0.8, 0.5, 0.2]
    for x in (-0.2, 0.2):
        rgb[np.hypot(xx - x, yy + 0.15) < 0.1] = 0.05
    rgb[(np.abs(yy - 0.2) < 0.05) & (np.abs(xx) < 0.25)] = [0.9, 0.95, 0.9]
    return Cutout(rgb.astype(np.float32), alpha.astype(np.float32))


@pytest.fixture(scope="module")
def views():
    return geometric.generate(blob(), body="auto", parts="join", tile=320)


def test_views_follow_the_rig_and_fill_it(views):
    wanted = rig("zero123plus-v1.1").cameras(320)
    assert views.rgb.shape == (6, 320, 320, 3)
    for camera, want in zip(views.cameras, wanted, strict=True):
        assert camera.world_from_camera == pytest.approx(want.world_from_camera)
        assert camera.fx == pytest.approx(want.fx)
    points = np.concatenate([unproject(views, i) for i in range(6)])
    assert 0.97 < np.linalg.norm(points, axis=1).max() <= 1.001
    assert (points.min(0) + points.max(0)) / 2 == pytest.approx(np.zeros(3), abs=0.02)


def unproject(views, index):
    camera, depth = views.cameras[index], views.depth[index]
    seen = np.isfinite(depth)
    return camera.origin + depth[seen][:, None] * camera.directions()[seen]


def test_depth_agrees_between_views(views):
    from scipy.ndimage import binary_dilation

    for i in range(6):
        points = unproject(views, i)
        for j in range(6):
            camera = views.cameras[j]
            uv, depth = camera.project(points)
            column, row = np.floor(uv).astype(int).T
            there = views.depth[j][row.clip(0, 319), column.clip(0, 319)]
            inside = np.isfinite(there)
            around = binary_dilation(np.isfinite(views.depth[j]))
            # What one view sees lies in the outline of all.
            assert around[row.clip(0, 319), column.clip(0, 319)].mean() > 0.995
            # Nothing stands in front of what the other view sees (a pixel of slack on slopes).
            assert np.mean(depth[inside] > there[inside] - 0.03) > 0.99


def test_normals_are_those_of_the_depth(views):
    for i in range(6):
        camera, depth = views.cameras[i], views.depth[i]
        points = camera.origin + depth[..., None] * camera.directions()
        across = points[1:-1, 2:] - points[1:-1, :-2]
        down = points[2:, 1:-1] - points[:-2, 1:-1]
        normal = np.cross(down, across)
        normal /= np.linalg.norm(normal, axis=-1, keepdims=True)
        given = views.normals[i][1:-1, 1:-1]
        steep = np.abs((given * camera.forward).sum(-1)) < 0.3
        known = np.isfinite(normal).all(-1) & ~steep
        cosine = (normal * given).sum(-1)[known]
        assert np.median(cosine) > 0.99
        assert np.mean(cosine > 0.9) > 0.95
    length = np.linalg.norm(views.normals, axis=-1)
    assert length[np.isfinite(views.depth)] == pytest.approx(1, abs=1e-4)
    assert (length[~np.isfinite(views.depth)] == 0).all()


def test_the_photo_camera_sees_the_cutout(views):
    cutout, photo = blob(), views.photo
    assert photo.camera.width == cutout.size
    assert (photo.rgb == cutout.rgb).all() and (photo.alpha == cutout.alpha).all()
    canvas = np.zeros((cutout.size, cutout.size), bool)
    for i in range(6):  # every point of the body must fall into the outline
        uv, _ = photo.camera.project(unproject(views, i))
        column, row = np.floor(uv).astype(int).T
        canvas[row.clip(0, SIZE - 1), column.clip(0, SIZE - 1)] = True
    mask = cutout.alpha > 0.5
    assert (canvas & ~mask).sum() < 0.02 * mask.sum()


def test_the_body_has_the_photos_outline():
    from img2mesh.multiview.geometric.choose import make_body
    from img2mesh.multiview.geometric.draw import Canvas

    cutout = blob()
    canvas = Canvas(make_body(cutout, body="auto", parts="join"))
    rgb, alpha, _, _ = canvas.draw(canvas.photo_camera)
    seen, mask = alpha > 0.5, cutout.alpha > 0.5
    assert (seen & mask).sum() / (seen | mask).sum() > 0.97
    # Where the surface faces the photo, the body wears the photo.
    yy, xx = np.mgrid[:SIZE, :SIZE] / SIZE * 2 - 1
    middle = np.hypot(xx, yy) < 0.3
    assert np.abs(rgb - cutout.rgb)[middle].mean() < 0.03


def test_the_back_is_no_second_face(views):
    from img2mesh.core.cameras import Camera
    from img2mesh.multiview.geometric.choose import make_body
    from img2mesh.multiview.geometric.draw import Canvas

    canvas = Canvas(make_body(blob(), body="auto", parts="join"))
    detail = []
    for azimuth in (0, 180):
        camera = Camera.orbit(azimuth, 0, distance=4, fov_deg=30, width=160, height=160)
        rgb, alpha, _, _ = canvas.draw(camera)
        assert (alpha[50:100, 50:100] == 1).all()
        detail.append(float((np.diff(rgb[50:100, 50:100], axis=0) ** 2).mean()))
    assert detail[1] < 0.1 * detail[0]


def test_no_background_colour_bleeds_in():
    clean = blob()
    yy, xx = (np.mgrid[:SIZE, :SIZE] + 0.5) / SIZE * 2 - 1
    radius = 0.62 + 0.12 * np.cos(3 * np.arctan2(yy, xx) + 0.7)
    # The matte is right, but the colours of the outermost 1.5 pixels are half background.
    rim = radius - np.hypot(xx, yy) < 3 / SIZE
    magenta = np.array([1, 0, 1], np.float32)
    rgb = np.where(rim[..., None], 0.5 * clean.rgb + 0.5 * magenta, clean.rgb)
    views = geometric.generate(Cutout(rgb, clean.alpha), body="auto", parts="join", tile=160)
    purple = np.minimum(views.rgb[..., 0], views.rgb[..., 2]) - views.rgb[..., 1]
    assert purple[views.alpha > 0].max() < 0.05


def test_same_cutout_same_bytes(views):
    again = geometric.generate(blob(), body="auto", parts="join", tile=320)
    for name in ("rgb", "alpha", "depth", "normals"):
        assert getattr(again, name).tobytes() == getattr(views, name).tobytes()


def test_it_says_that_nothing_was_learned(views):
    assert views.provenance.generator == "geometric"
    assert views.provenance.learned_weights is False
    assert views.provenance.exact is True
    assert "no learned weights" in views.provenance.notes[0]


def test_progress_ends_at_one():
    seen = []
    geometric.generate(blob(64), body="auto", parts="join", tile=32, progress=seen.append)
    assert seen == sorted(seen) and seen[-1] == pytest.approx(1)


@pytest.mark.parametrize("size", [1, 2, 5, 16])
def test_tiny_cutouts_work(size):
    rgb = np.full((size, size, 3), 0.5, np.float32)
    views = geometric.generate(
        Cutout(rgb, np.ones((size, size), np.float32)), body="auto", parts="join", tile=32
    )
    assert (views.alpha > 0.5).any(axis=(1, 2)).all()


def test_the_named_generator_is_used():
    small = pipeline.views(blob(64), generator="geometric", tile=32)
    assert small.provenance.generator == "geometric"
    with pytest.raises(InputError, match="dall-e"):
        pipeline.views(blob(64), generator="dall-e")


@pytest.mark.parametrize(
    ("wishes", "said"),
    [
        ({}, None),
        ({"seed": 7}, None),
        ({"steps": 50}, "steps had no effect: the generator geometric"),
        ({"steps": 50, "guidance_scale": 2.0}, "steps and guidance_scale had no effect"),
    ],
)
def test_wishes_that_only_a_sampler_hears_are_pointed_out(wishes, said):
    run = Run()
    views = pipeline.views(blob(64), generator="geometric", tile=32, run=run, **wishes)
    assert views.provenance.generator == "geometric"
    assert len(run.notes) == (said is not None)
    assert said is None or run.notes[0].startswith(said)


def test_importing_the_room_is_light():
    heavy = "torch, open3d, cv2, scipy, skimage"
    code = (
        "import sys, img2mesh.multiview, img2mesh.multiview.geometric\n"
        f"sys.exit(any(m in sys.modules for m in '{heavy}'.split(', ')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
