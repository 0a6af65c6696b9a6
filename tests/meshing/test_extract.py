"""Extraction against closed forms: shapes whose volume, genus and distance are known."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest
import trimesh

from img2mesh.artifacts import Mesh, RadianceField
from img2mesh.errors import Img2MeshError, InputError
from tests.rooms import extract
from tests.shapes import box_sdf as box
from tests.shapes import sphere_sdf as sphere
from tests.shapes import torus_sdf as torus


def grid(n=48, half=1.0):
    """Points (n, n, n, 3) of a cube, its voxel and its origin."""
    axis = np.linspace(-half, half, n)
    points = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1)
    return points, axis[1] - axis[0], np.full(3, -half)


def field(sdf, voxel, origin) -> RadianceField:
    return RadianceField(sdf.astype(np.float32), origin, float(voxel), 0.01)


def assert_clean(mesh: Mesh) -> trimesh.Trimesh:
    """Everything a downstream tool relies on, judged by trimesh and by plain loops."""
    body = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)
    assert body.is_watertight
    assert body.is_winding_consistent
    assert body.volume > 0
    assert body.body_count == 1
    welded = trimesh.Trimesh(mesh.vertices, mesh.faces, process=True)
    assert len(welded.vertices) == len(mesh.vertices), "two vertices at one place"
    assert welded.is_watertight
    assert (np.sort(mesh.faces, axis=1)[:, 1:] > np.sort(mesh.faces, axis=1)[:, :-1]).all()
    assert len(np.unique(np.sort(mesh.faces, axis=1), axis=0)) == len(mesh.faces)
    assert len(np.unique(mesh.faces)) == len(mesh.vertices)
    # Around each vertex the links "next corner -> corner after" form one closed ring.
    rings: dict[int, dict[int, int]] = defaultdict(dict)
    for a, b, c in mesh.faces.tolist():
        for v, s, e in ((a, b, c), (b, c, a), (c, a, b)):
            assert s not in rings[v]
            rings[v][s] = e
    for ring in rings.values():
        start = next(iter(ring))
        step, length = ring[start], 1
        while step != start:
            step, length = ring[step], length + 1
        assert length == len(ring), "two fans touch in one vertex"
    return body


@pytest.mark.parametrize(
    ("shape", "volume", "euler"),
    [
        (sphere, 4 / 3 * np.pi * 0.7**3, 2),
        (box, 0.96, 2),
        (torus, 2 * np.pi**2 * 0.55 * 0.2**2, 0),
    ],
)
def test_known_shapes(shape, volume, euler):
    points, voxel, origin = grid()
    mesh = extract(field(shape(points), voxel, origin), target_faces=2000)
    body = assert_clean(mesh)
    assert body.volume == pytest.approx(volume, rel=0.02)
    assert body.euler_number == euler
    assert abs(len(mesh.faces) - 2000) <= 20
    assert np.abs(shape(mesh.vertices.astype(float))).max() < voxel  # box edges are rounded
    assert np.abs(shape(mesh.vertices.astype(float))).mean() < 0.15 * voxel


def test_grid_position_and_scale_are_kept():
    points, voxel, origin = grid(32)
    shift = np.array([3.0, -2.0, 0.5])
    plain = extract(field(sphere(points), voxel, origin))
    moved = extract(field(10 * sphere(points), 10 * voxel, 10 * (origin + shift)))
    np.testing.assert_allclose(moved.vertices, 10 * (plain.vertices + shift), atol=1e-4)


def test_smoothing_does_not_shrink():
    points, voxel, origin = grid(32)
    rough = extract(field(sphere(points), voxel, origin), smoothing_steps=0)
    smooth = extract(field(sphere(points), voxel, origin), smoothing_steps=10)
    volumes = [trimesh.Trimesh(m.vertices, m.faces).volume for m in (rough, smooth)]
    assert volumes[1] == pytest.approx(volumes[0], rel=0.005)


@pytest.mark.parametrize("seed", range(4))
def test_noise_stays_manifold(seed):
    points, voxel, origin = grid(40)
    noise = np.random.default_rng(seed).normal(0, 1.0, points.shape[:3])
    mesh = extract(field(sphere(points) + 1.2 * voxel * noise, voxel, origin), target_faces=3000)
    assert_clean(mesh)


def test_the_worst_field_of_all_stays_manifold():
    sdf = np.random.default_rng(7).normal(0, 1, (22, 23, 24))
    for target in (200_000, 4000):
        assert_clean(extract(field(sdf, 0.1, np.zeros(3)), target_faces=target))


def test_values_of_exactly_zero_make_no_slivers():
    steps = np.round(sphere(grid(24)[0]) / 0.25) * 0.25  # whole terraces at 0
    mesh = extract(field(steps, *grid(24)[1:]), smoothing_steps=0, target_faces=100_000)
    assert assert_clean(mesh).area_faces.min() > 0


def test_thin_plate_and_thin_legs_survive():
    points, voxel, origin = grid(64)
    plate = box(points - [0, 0.5, 0], (0.7, 0.75 * voxel, 0.7))
    legs = [
        np.maximum(
            np.hypot(points[..., 0] - x, points[..., 2] - z) - 0.8 * voxel,
            np.abs(points[..., 1]) - 0.6,
        )
        for x in (-0.6, 0.6)
        for z in (-0.6, 0.6)
    ]
    sdf = np.min([plate, *legs], axis=0)
    mesh = extract(field(sdf, voxel, origin), target_faces=6000)
    assert_clean(mesh)
    low, high = mesh.vertices.min(axis=0), mesh.vertices.max(axis=0)
    assert low[1] < -0.6 + 1.5 * voxel  # the legs reach the floor
    assert high[0] > 0.7 - 1.5 * voxel
    thickness = mesh.vertices[np.abs(mesh.vertices[:, [0, 2]]).max(axis=1) < 0.4, 1]
    assert np.ptp(thickness) == pytest.approx(1.5 * voxel, rel=0.35)


def test_object_cut_by_the_border_is_closed():
    points, voxel, origin = grid(24)
    mesh = extract(field(sphere(points, 1.2), voxel, origin))
    assert_clean(mesh)
    assert np.abs(mesh.vertices).max() < 1 + voxel


def test_cavity_is_filled():
    points, voxel, origin = grid(40)
    shell = np.abs(sphere(points, 0.6)) - 0.15
    body = assert_clean(extract(field(shell, voxel, origin)))
    assert body.volume == pytest.approx(4 / 3 * np.pi * 0.75**3, rel=0.02)


def test_small_loose_part_is_dropped_and_said():
    points, voxel, origin = grid()
    sdf = np.minimum(sphere(points, 0.6), sphere(points, 0.12, (0.85, 0.85, 0.85)))
    mesh = extract(field(sdf, voxel, origin))
    assert_clean(mesh)
    assert mesh.vertices.max() < 0.65
    assert any("1 small loose part dropped" in note for note in mesh.notes)


def test_broken_part_is_joined_and_said():
    points, voxel, origin = grid()
    sdf = np.minimum(sphere(points, 0.5, (-0.3, 0, 0)), sphere(points, 0.25, (0.55, 0, 0)))
    mesh = extract(field(sdf, voxel, origin))  # a gap of 0.1, two voxels and a bit
    body = assert_clean(mesh)
    assert body.euler_number == 2
    assert mesh.vertices[:, 0].max() > 0.75
    assert any("joined" in note for note in mesh.notes)


def test_long_thin_loose_part_is_no_noise():
    points, voxel, origin = grid(64)
    rail = np.maximum(
        np.hypot(points[..., 1] + 0.66, points[..., 2]) - 1.2 * voxel, np.abs(points[..., 0]) - 0.6
    )
    mesh = extract(field(np.minimum(sphere(points, 0.55), rail), voxel, origin))
    assert_clean(mesh)
    assert mesh.vertices[:, 1].min() < -0.66


def test_far_part_is_dropped_and_said():
    points, voxel, origin = grid()
    sdf = np.minimum(sphere(points, 0.45, (-0.5, 0, 0)), sphere(points, 0.3, (0.65, 0, 0)))
    mesh = extract(field(sdf, voxel, origin))
    assert_clean(mesh)
    assert mesh.vertices[:, 0].max() < 0
    assert any("largest was kept" in note for note in mesh.notes)


def test_resolution_resamples():
    points, voxel, origin = grid(20)
    coarse = extract(field(sphere(points), voxel, origin), smoothing_steps=0)
    fine = extract(
        field(sphere(points), voxel, origin), smoothing_steps=0, resolution=60, target_faces=10**6
    )
    assert_clean(fine)
    assert len(fine.faces) > 6 * len(coarse.faces)

    def facets_off(mesh):  # how far the middles of the faces lie from the sphere
        return np.abs(sphere(mesh.vertices[mesh.faces].mean(axis=1))).mean()

    assert facets_off(fine) < 0.3 * facets_off(coarse)


def test_deterministic():
    points, voxel, origin = grid(32)
    noise = np.random.default_rng(0).normal(0, 0.02, points.shape[:3])
    one, two = (extract(field(torus(points) + noise, voxel, origin)) for _ in range(2))
    assert one.vertices.tobytes() == two.vertices.tobytes()
    assert one.faces.tobytes() == two.faces.tobytes()


def test_what_cannot_be_done_is_said():
    points, voxel, origin = grid(16)
    with pytest.raises(Img2MeshError, match="no surface"):
        extract(field(np.ones((8, 8, 8)), 1.0, np.zeros(3)))
    with pytest.raises(InputError, match="target_faces"):
        extract(field(sphere(points), voxel, origin), target_faces=0)
    with pytest.raises(InputError, match="resolution 5"):
        extract(field(sphere(points), voxel, origin), resolution=5)


def test_progress_ends_at_one():
    points, voxel, origin = grid(16)
    told: list[float] = []
    extract(field(sphere(points), voxel, origin), progress=told.append)
    assert told == sorted(told)
    assert told[-1] == 1.0
