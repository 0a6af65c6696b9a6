from __future__ import annotations

import numpy as np

from img2mesh.core.cameras import Camera
from img2mesh.core.rigs import rig
from img2mesh.imaging import matting
from img2mesh.multiview.zero123plus import normals

SIZE = 96
CAMERAS = rig("zero123plus-v1.2").cameras(SIZE)
RADIUS = 0.7


def _sphere(camera: Camera) -> tuple[np.ndarray, np.ndarray]:
    """World normals of a ball (0 outside) and its mask."""
    d, o = camera.directions(), camera.origin
    a, b, c = (d * d).sum(-1), d @ o, o @ o - RADIUS**2
    root = b * b - a * c
    depth = (-b - np.sqrt(np.maximum(root, 0))) / a
    hit = root > 0
    world = (o + depth[..., None] * d) / RADIUS
    return np.where(hit[..., None], world, 0.0), hit


def _pictures() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    worlds, masks, rgbs = [], [], []
    for camera in CAMERAS:
        world, hit = _sphere(camera)
        worlds.append(world)
        masks.append(hit)
        view = world @ camera.world_from_camera[:3, :3]
        rgbs.append(np.rint(normals.encode(view) * 255) / 255)
    return np.stack(worlds), np.stack(masks), np.stack(rgbs)


def test_directions_of_the_encoding() -> None:
    """x right, y up, z towards the viewer: what the published sample shows on a dome."""
    _, masks, rgbs = _pictures()
    for mask, rgb in zip(masks, rgbs, strict=True):
        rows, columns = np.nonzero(mask)
        top, left = rgb[rows.min() + 1, SIZE // 2], rgb[SIZE // 2, columns.min() + 1]
        right, centre = rgb[SIZE // 2, columns.max() - 1], rgb[SIZE // 2, SIZE // 2]
        assert top[1] > 0.9 and right[0] > 0.9 and left[0] < 0.1 and centre[2] > 0.97


def test_world_normals_come_back() -> None:
    worlds, masks, rgbs = _pictures()
    decoded = normals.to_world(normals.decode(rgbs), masks.astype(np.float32), CAMERAS)
    cosine = (decoded * worlds).sum(-1)[masks]
    assert np.degrees(np.arccos(np.clip(cosine, -1, 1))).max() < 1.5
    assert (decoded[~masks] == 0).all()
    np.testing.assert_allclose(np.linalg.norm(decoded[masks], axis=-1), 1, atol=1e-6)


def test_alpha_from_normals_finds_a_body_of_the_background_colour() -> None:
    """Where colour says nothing, the normals do: a grey ball on grey."""
    _, masks, rgbs = _pictures()
    tiles = np.full((6, SIZE, SIZE, 3), 127 / 255, np.float32)
    cut = matting.cut_out(tiles, *normals.seeds(normals.decode(rgbs)), background=127 / 255)
    both = ((cut.alpha > 0.5) & masks).sum() / ((cut.alpha > 0.5) | masks).sum()
    assert both > 0.96
    assert ((cut.alpha > 0.02) & (cut.alpha < 0.98)).any(), "the rim should be soft"


def test_seeds_stay_clear_of_the_outline_and_of_each_other() -> None:
    _, masks, rgbs = _pictures()
    foreground, background = normals.seeds(normals.decode(rgbs))
    assert not (foreground & background).any()
    assert not (foreground & ~masks).any() and not (background & masks).any()
    assert background[:, 0, 0].all(), "outside the picture counts as background"


def test_vectors_that_face_away_are_turned_to_the_silhouette() -> None:
    vectors = np.zeros((1, 1, 1, 3))
    vectors[..., 0], vectors[..., 2] = 0.6, -0.8
    world = normals.to_world(vectors, np.ones((1, 1, 1), np.float32), CAMERAS[:1])
    assert abs(world[0, 0, 0] @ CAMERAS[0].forward) < 1e-6
