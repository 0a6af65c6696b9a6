"""Painting judged on bodies whose true colour is a formula of the place.

The oracle never looks at how the atlas was made: random points are taken on the finished mesh,
their uv interpolated, the texture looked up bilinearly, and the result compared with the formula.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import trimesh

from img2mesh.artifacts import Mesh, Provenance, TexturedMesh, View, ViewSet
from img2mesh.core.arrays import OUTSIDE, SEEN_IN_PHOTO, SEEN_IN_VIEWS, UNSEEN
from img2mesh.core.cameras import Camera
from img2mesh.errors import InputError
from img2mesh.geometry.raycast import Scene
from tests.rooms import texture_mesh
from tests.shapes import ball

RING = [(30, 20), (90, -20), (150, 20), (210, -20), (270, 20), (330, -20)]
POLES = [(0, 80), (180, -80)]
#: Side of the textures: on 1,280 faces of a ball a texel is a fortieth of its radius.
SIZE = 128


def waves(p):
    """A smooth colour for every place."""
    p = np.asarray(p)
    return np.clip(0.5 + 0.3 * np.sin(4 * p + [0, 1, 2]) * np.cos(3 * p[..., [1, 2, 0]]), 0, 1)


def camera(azimuth, elevation, size=192):
    return Camera.orbit(azimuth, elevation, distance=4, fov_deg=30, width=size, height=size)


def shot(mesh, cam, colour=waves, background=(1.0, 0.0, 1.0)) -> View:
    """A picture of the mesh with a hard mask, magenta behind."""
    hits = Scene(mesh.vertices, mesh.faces).look(cam)
    points = hits.interpolate(mesh.faces, mesh.vertices)
    rgb = np.where(hits.mask[..., None], colour(points), background)
    return View(rgb, hits.mask, cam)


def view_set(shots, photo=None, **provenance) -> ViewSet:
    return ViewSet(
        np.stack([s.rgb for s in shots]),
        np.stack([s.alpha for s in shots]),
        tuple(s.camera for s in shots),
        photo=photo,
        provenance=Provenance(**provenance),
    )


def around(mesh, poses=RING, **options) -> ViewSet:
    return view_set([shot(mesh, camera(a, e), **options) for a, e in poses])


def sampled(asset: TexturedMesh, count=20_000):
    """Random surface points (n, 3), their texture colour (n, 3) and coverage (n,)."""
    rng = np.random.default_rng(5)
    corners = asset.vertices[asset.faces].astype(float)
    area = np.linalg.norm(
        np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1
    )
    face = rng.choice(len(area), count, p=area / area.sum())
    weights = rng.dirichlet((1, 1, 1), count)
    points = np.einsum("nk,nkc->nc", weights, corners[face])
    uv = np.einsum("nk,nkc->nc", weights, asset.uv[asset.faces[face]].astype(float))
    size = len(asset.texture)
    x, y = (uv * size - 0.5).clip(0, size - 1.001).T
    i, j = x.astype(int), y.astype(int)
    fx, fy = (x - i)[:, None], (y - j)[:, None]
    t = asset.texture / 255.0
    colour = (t[j, i] * (1 - fx) + t[j, i + 1] * fx) * (1 - fy) + (
        t[j + 1, i] * (1 - fx) + t[j + 1, i + 1] * fx
    ) * fy
    nearest = asset.coverage[(uv[:, 1] * size).astype(int), (uv[:, 0] * size).astype(int)]
    return points, colour, nearest


def psnr(one, other):
    return -10 * np.log10(((one - other) ** 2).mean())


@pytest.fixture(scope="module")
def body():
    return ball(0.8, 3)


@pytest.fixture(scope="module")
def fine():
    """For claims about places and angles, which a coarse ball's flat faces blur."""
    return ball(0.8, 4)


@pytest.fixture(scope="module")
def asset(body):
    return texture_mesh(body, around(body), resolution=SIZE)


def test_colours_are_those_of_the_place(asset):
    points, colour, coverage = sampled(asset)
    seen = coverage == SEEN_IN_VIEWS
    assert seen.mean() > 0.9
    assert psnr(colour[seen], waves(points[seen])) > 30
    # No outliers either: nothing magenta, no wrong chart shining through.
    assert np.quantile(np.abs(colour - waves(points))[seen], 0.999) < 0.15


def test_shape_is_handed_on(asset, body):
    joined = asset.joined
    np.testing.assert_array_equal(joined.vertices, body.vertices)
    np.testing.assert_array_equal(joined.faces, body.faces)
    np.testing.assert_array_equal(asset.asset_from_world, np.eye(4))
    assert asset.texture.shape == (SIZE, SIZE, 3)
    assert asset.coverage.shape == (SIZE, SIZE)


def test_normals_are_smooth_and_the_same_on_both_sides_of_a_cut(asset):
    length = np.linalg.norm(asset.vertices, axis=1, keepdims=True)
    np.testing.assert_allclose(asset.normals, asset.vertices / length, atol=0.02)
    first = np.zeros((len(asset.joined.vertices), 3), np.float32)
    first[asset.source_vertex] = asset.normals
    np.testing.assert_array_equal(asset.normals, first[asset.source_vertex])


def test_background_never_bleeds_in(body):
    """The same views on magenta and on green give the very same texture."""
    one = texture_mesh(body, around(body), resolution=128)
    two = texture_mesh(body, around(body, background=(0.0, 1.0, 0.0)), resolution=128)
    np.testing.assert_array_equal(one.texture, two.texture)


def test_a_soft_dirty_rim_does_not_show(body):
    """Two rim pixels mixed with magenta, as a careless matte leaves them."""
    from scipy import ndimage

    shots = []
    for a, e in RING:
        s = shot(body, camera(a, e), colour=lambda p: np.full(p.shape, 0.25))
        soft = ndimage.gaussian_filter(s.alpha, 0.8)
        rgb = s.rgb * soft[..., None] + np.array([1, 0, 1]) * (1 - soft[..., None])
        shots.append(View(rgb.clip(0, 1), soft, s.camera))
    result = texture_mesh(body, view_set(shots), resolution=128)
    _, colour, _ = sampled(result)
    assert np.abs(colour - 0.25).max() < 0.03


def test_unseen_is_counted_as_geometry_says(fine):
    """One camera on a sphere of radius r at distance d sees the cap with cosine > 0.12."""
    asset = texture_mesh(fine, around(fine, [(0, 0)]), resolution=256)
    points, colour, coverage = sampled(asset)
    to_camera = np.array([0, 0, 4.0]) - points
    cosine = (to_camera * points).sum(axis=1) / (
        np.linalg.norm(to_camera, axis=1) * np.linalg.norm(points, axis=1)
    )
    expected = (cosine > 0.12).mean()
    assert (coverage == SEEN_IN_VIEWS).mean() == pytest.approx(expected, abs=0.015)
    assert (coverage == OUTSIDE).mean() < 0.01  # points on a chart's very border
    assert not (coverage == SEEN_IN_PHOTO).any()
    # Filled smoothly from what is next to it: no black, no magenta, no spread beyond the seen.
    hidden, shown = colour[coverage == UNSEEN], colour[coverage == SEEN_IN_VIEWS]
    assert (hidden >= shown.min(axis=0) - 0.02).all()
    assert (hidden <= shown.max(axis=0) + 0.02).all()
    assert any("no view" in note for note in asset.notes)


def test_photo_wins_where_it_sees_well(fine):
    """Red photo, blue views, no levelling to be fooled by: each shows where it should."""
    red, blue = np.array([0.8, 0.1, 0.1]), np.array([0.1, 0.1, 0.8])
    shots = [shot(fine, camera(a, e), colour=lambda p: p * 0 + blue) for a, e in RING + POLES]
    photo = shot(fine, camera(0, 10, 256), colour=lambda p: p * 0 + red)
    asset = texture_mesh(fine, view_set(shots, photo), resolution=256)
    points, colour, coverage = sampled(asset)
    to_photo = photo.camera.origin - points
    cosine = (to_photo * points).sum(axis=1) / (
        np.linalg.norm(to_photo, axis=1) * np.linalg.norm(points, axis=1)
    )
    np.testing.assert_allclose(colour[cosine > 0.55].mean(axis=0), red, atol=0.03)
    np.testing.assert_allclose(colour[cosine < -0.4].mean(axis=0), blue, atol=0.03)
    assert (coverage[cosine > 0.25] == SEEN_IN_PHOTO).mean() > 0.98
    assert (coverage[cosine < 0.1] != SEEN_IN_PHOTO).all()


def test_photo_without_a_pose_is_not_used(body):
    photo = replace(shot(body, camera(0, 0)), camera=None)
    views = around(body)
    with_it = texture_mesh(body, replace(views, photo=photo), resolution=128)
    np.testing.assert_array_equal(
        with_it.texture, texture_mesh(body, views, resolution=128).texture
    )


def test_occluder_leaves_no_print_on_the_wall():
    """A red ball in front of a grey wall: the wall behind is seen from the sides only."""
    wall = trimesh.creation.box((1.4, 1.4, 0.1)).subdivide_to_size(0.08)
    front = trimesh.creation.icosphere(3, 0.25).apply_translation((0, 0, 0.5))
    both = trimesh.util.concatenate([wall, front])
    mesh = Mesh(both.vertices, both.faces)

    def colour(p):
        return np.where((p[..., 2] > 0.2)[..., None], [0.9, 0.1, 0.1], [0.5, 0.5, 0.5])

    poses = [(0, 0), (40, 10), (-40, 10), (0, -40), (0, 40), (180, 0)]
    asset = texture_mesh(mesh, around(mesh, poses, colour=colour), resolution=256)
    points, painted, coverage = sampled(asset)
    wall_seen = (np.abs(points[:, 2] - 0.05) < 1e-3) & (coverage == SEEN_IN_VIEWS)
    assert wall_seen.sum() > 1000
    assert np.abs(painted[wall_seen] - 0.5).max() < 0.1
    ball_seen = (points[:, 2] > 0.3) & (coverage == SEEN_IN_VIEWS)
    off = np.abs(painted[ball_seen] - [0.9, 0.1, 0.1]).max(axis=1)
    assert np.quantile(off, 0.95) < 0.05
    assert off.max() < 0.25  # its rim is seen through pixels that are half wall


@pytest.mark.parametrize("exact", [True, False])
def test_no_step_between_views_of_different_exposure(body, exact):
    shots = [
        shot(body, camera(a, e), colour=lambda p, g=g: p * 0 + 0.5 * g)
        for (a, e), g in zip(RING, (1.1, 0.9) * 3, strict=True)
    ]
    asset = texture_mesh(body, view_set(shots, exact=exact), resolution=SIZE)
    points, colour, coverage = sampled(asset, 6000)
    seen = coverage == SEEN_IN_VIEWS
    points, colour = points[seen], colour[seen]
    from scipy.spatial import cKDTree

    near = cKDTree(points).query_pairs(0.03, output_type="ndarray")  # about 4 texels
    step = np.abs(colour[near[:, 0]] - colour[near[:, 1]]).max(axis=1)
    assert step.max() < 0.05  # a hard seam would be 0.10
    if not exact:  # exposures are drawn together; cautiously, for these views overlap little
        assert colour.std() < 0.03


def test_charts_do_not_overlap_and_borders_are_padded(asset):
    from img2mesh.texture.raster import rasterise

    assert rasterise(asset.uv, asset.faces, SIZE).overlap == 0
    # Every empty texel within 8 of a chart carries a colour of that chart, not black or magenta.
    from scipy import ndimage

    distance = ndimage.distance_transform_edt(asset.coverage == OUTSIDE)
    ring = asset.texture[(distance > 0) & (distance <= 8)] / 255.0
    inside = asset.texture[asset.coverage != OUTSIDE] / 255.0
    assert len(ring) > 4 * SIZE
    assert (ring >= inside.min(axis=0) - 0.05).all()
    assert (ring <= inside.max(axis=0) + 0.05).all()


def test_a_shrunken_photo_is_filtered_not_aliased(body):
    """A fine checkerboard in a photo of 4 pixels a texel averages out to grey."""
    cam = camera(0, 0, 512)
    photo = shot(body, cam, colour=lambda p: p * 0 + 0.5)
    check = ((np.indices((512, 512)).sum(axis=0) % 2) * 1.0)[..., None].repeat(3, axis=2)
    photo = replace(photo, rgb=check)
    asset = texture_mesh(body, replace(around(body), photo=photo), resolution=64)
    points, colour, _ = sampled(asset)
    middle = points[:, 2] > 0.7
    assert np.abs(colour[middle] - 0.5).max() < 0.06


def test_deterministic(body, asset):
    again = texture_mesh(body, around(body), resolution=SIZE)
    assert again.texture.tobytes() == asset.texture.tobytes()
    assert again.uv.tobytes() == asset.uv.tobytes()
    assert again.coverage.tobytes() == asset.coverage.tobytes()


def test_progress_and_bad_settings(body):
    told: list[float] = []
    texture_mesh(body, around(body, [(0, 0)]), resolution=64, progress=told.append)
    assert told == sorted(told)
    assert told[-1] == pytest.approx(1)
    with pytest.raises(InputError, match="resolution 8"):
        texture_mesh(body, around(body), resolution=8)
