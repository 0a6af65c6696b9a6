"""Mesh primitives against the copies they replaced, byte for byte, and against trimesh."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh

from img2mesh.geometry import mesh as m
from img2mesh.geometry.raycast import Scene, ambient_occlusion

BODIES = {
    "ball": trimesh.creation.icosphere(3),
    "torus": trimesh.creation.torus(1.0, 0.3),
    "two": trimesh.util.concatenate(
        [trimesh.creation.box(), trimesh.creation.icosphere(2).apply_translation([3, 0, 0])]
    ),
}


@pytest.fixture(params=BODIES, scope="module")
def body(request: pytest.FixtureRequest) -> tuple[np.ndarray, np.ndarray]:
    found = BODIES[request.param]
    shaken = found.vertices + np.random.default_rng(1).normal(0, 0.02, found.vertices.shape)
    return shaken.astype(np.float32), found.faces.astype(np.int32)


def corners(vertices: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, ...]:
    return tuple(vertices[faces[:, k]].astype(np.float64) for k in range(3))


def test_areas_and_normals_are_those_of_the_old_copies(body) -> None:
    a, b, c = corners(*body)
    cross = np.cross(b - a, c - a)
    length = np.linalg.norm(cross, axis=1)
    np.testing.assert_array_equal(m.areas(*body), length / 2)
    np.testing.assert_array_equal(m.face_normals(*body), cross / length[:, None])
    np.testing.assert_allclose(m.areas(*body), trimesh.Trimesh(*body, process=False).area_faces)


def test_volume(body) -> None:
    a, b, c = corners(*body)
    old = float(np.einsum("ij,ij->i", a, np.cross(b, c)).sum() / 6)
    assert m.volume(*body) == pytest.approx(old, rel=1e-12)
    assert m.volume(*body) == pytest.approx(trimesh.Trimesh(*body, process=False).volume)


def test_vertex_normals_are_those_of_the_old_copies(body) -> None:
    """Weighted by angle (textures), and by area (bodies of the geometric prior)."""
    vertices, faces = body
    points = vertices[faces].astype(np.float64)
    ahead, back = np.roll(points, -1, axis=1) - points, np.roll(points, 1, axis=1) - points
    lengths = np.linalg.norm(ahead, axis=2) * np.linalg.norm(back, axis=2)
    angle = np.arccos(np.clip((ahead * back).sum(axis=2) / lengths, -1, 1))
    normal = m.face_normals(*body)
    total = np.stack(
        [
            np.bincount(faces.ravel(), (angle * normal[:, None, k]).ravel(), len(vertices))
            for k in range(3)
        ],
        axis=1,
    )
    old = (total / np.linalg.norm(total, axis=1, keepdims=True)).astype(np.float32)
    np.testing.assert_array_equal(m.vertex_normals(*body), old)

    total = np.zeros((len(vertices), 3))
    for k in range(3):
        np.add.at(total, faces[:, k], m.area_vectors(*body))
    new = m.sum_at_vertices(faces, m.area_vectors(*body), len(vertices))
    np.testing.assert_allclose(new, total, atol=1e-15)


def test_a_vertex_without_area_points_up() -> None:
    normals = m.vertex_normals(np.zeros((3, 3), np.float32), np.array([[0, 1, 2]], np.int32))
    np.testing.assert_array_equal(normals, [[0, 1, 0]] * 3)


def test_edges_are_trimeshs(body) -> None:
    ours = np.stack(m.edges(body[1]), axis=1)
    truth = np.sort(trimesh.geometry.faces_to_edges(body[1]), axis=1)
    np.testing.assert_array_equal(ours, np.unique(truth, axis=0))


def test_shared_edges_pair_neighbours(body) -> None:
    one, other = m.shared_edges(body[1])
    start, end = m.half_edges(body[1])
    assert len(one) == len(m.edges(body[1])[0])  # closed: every edge has two faces
    np.testing.assert_array_equal(start[one], end[other])
    np.testing.assert_array_equal(end[one], start[other])
    pairs = np.sort(np.stack([one // 3, other // 3], axis=1), axis=1)
    truth = trimesh.Trimesh(*body, process=False).face_adjacency
    np.testing.assert_array_equal(np.unique(pairs, axis=0), np.unique(truth, axis=0))


def test_components_leave_no_gaps() -> None:
    body = BODIES["two"]
    number = m.components((body.faces + 5).astype(np.int32))
    assert set(number[:12]) == {0} and set(number[12:]) == {1}


def test_labels_by_first_appearance() -> None:
    np.testing.assert_array_equal(m.by_appearance(np.array([7, 2, 7, 9, 2])), [0, 1, 0, 2, 1])


def test_frames_are_orthonormal_and_right_handed() -> None:
    normals = np.concatenate([trimesh.creation.icosphere(2).vertices, np.eye(3), -np.eye(3)])
    frames = m.frames(normals)
    eye = np.broadcast_to(np.eye(3), frames.shape)
    np.testing.assert_allclose(frames @ frames.transpose(0, 2, 1), eye, atol=1e-12)
    np.testing.assert_allclose(np.linalg.det(frames), 1)
    np.testing.assert_array_equal(frames[:, 2], normals)


def test_samples_are_even_and_lie_on_their_faces(body) -> None:
    points, face = m.sample_surface(*body, 20_000, np.random.default_rng(0))
    again, _ = m.sample_surface(*body, 20_000, np.random.default_rng(0))
    np.testing.assert_array_equal(points, again)
    share = m.areas(*body) / m.areas(*body).sum()
    # Stratified along the faces: no count is off by more than the two strata at its ends.
    assert np.abs(np.bincount(face, minlength=len(share)) - 20_000 * share).max() <= 2
    off = points - body[0][body[1][face, 0]]
    assert np.abs((off * m.face_normals(*body)[face]).sum(axis=1)).max() < 1e-9


def test_bounds_leave_stray_vertices_out() -> None:
    vertices = np.array([[0, 0, 0], [1, 0, 0], [0, 2, 0], [9, 9, 9]], np.float32)
    low, high = m.bounds(vertices, np.array([[0, 1, 2]], np.int32))
    assert low.tolist() == [0, 0, 0] and high.tolist() == [1, 2, 0]
    assert m.diagonal(vertices, np.array([[0, 1, 2]])) == pytest.approx(5**0.5)


def test_ambient_occlusion_is_that_of_the_old_renderer(body) -> None:
    """Around the normals themselves, 32 rays: what the report drew with."""
    scene, normals = Scene(*body), m.vertex_normals(*body).astype(np.float64)
    points, extent = body[0].astype(np.float64), 2.0
    i = np.arange(32)
    radius, angle = np.sqrt((i + 0.5) / 32), i * np.pi * (3 - np.sqrt(5))
    local = np.stack([radius * np.cos(angle), radius * np.sin(angle), np.sqrt(1 - radius**2)], 1)
    tangent, bitangent, normal = m.frames(normals).transpose(1, 0, 2)
    rays = (
        local[None, :, :1] * tangent[:, None]
        + local[None, :, 1:2] * bitangent[:, None]
        + local[None, :, 2:] * normal[:, None]
    )
    distance, _ = scene.cast((points + 2e-3 * extent * normals)[:, None], rays)
    old = np.minimum(distance / (0.5 * extent), 1).mean(axis=1)
    new = ambient_occlusion(
        scene, points, normals, flat=normals, rays=32, reach=0.5 * extent, offset=2e-3 * extent
    )
    np.testing.assert_allclose(new, old, atol=1e-5)
