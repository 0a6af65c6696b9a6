"""Budgets met, slivers gone, edges kept: decimation judged on shapes of known form."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial import cKDTree

from img2mesh.geometry.mesh import components
from img2mesh.geometry.topology import defects
from img2mesh.meshing import decimation, polishing
from img2mesh.meshing.polishing import smallest_angles
from tests.meshing.test_extract import field, grid
from tests.rooms import extract
from tests.shapes import box_sdf as box
from tests.shapes import sphere_sdf as sphere
from tests.shapes import torus_sdf as torus


@pytest.mark.parametrize("target", [300, 1001, 4000])
@pytest.mark.parametrize("shape", [sphere, box, torus])
def test_the_budget_is_met(shape, target):
    points, voxel, origin = grid()
    mesh = extract(field(shape(points), voxel, origin), target_faces=target)
    assert abs(len(mesh.faces) - target) <= target % 2, "faces of a closed body come in pairs"
    assert not defects(mesh.faces)
    assert components(mesh.faces).max() == 0
    assert not mesh.notes


def test_too_few_faces_to_begin_with_is_said():
    points, voxel, origin = grid(20)
    mesh = extract(field(sphere(points), voxel, origin), target_faces=100_000)
    assert any("instead of 100000" in note and "mc-resolution" in note for note in mesh.notes)


@pytest.mark.parametrize("shape", [sphere, box, torus])
def test_no_slivers(shape):
    points, voxel, origin = grid()
    mesh = extract(field(shape(points), voxel, origin), target_faces=3000)
    angle = smallest_angles(mesh.vertices, mesh.faces)
    assert (angle < 5).mean() < 0.01
    assert np.median(angle) > 25


def test_faces_follow_curvature():
    """A ball on a long rod: the ball's tight end gets more faces for its area than the flat box."""
    points, voxel, origin = grid(64)
    shape = np.minimum(
        box(points - [-0.3, 0, 0], (0.5, 0.5, 0.5)), sphere(points, 0.15, (0.32, 0, 0))
    )
    mesh = extract(field(shape, voxel, origin), target_faces=800)
    corners = mesh.vertices[mesh.faces].astype(float)
    area = np.linalg.norm(
        np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1
    )
    middle = corners.mean(axis=1)
    on_ball = middle[:, 0] > 0.25
    flat = (np.abs(middle - [-0.3, 0, 0]) < 0.4).sum(axis=1) >= 2
    flat &= ~on_ball
    mean_flat = np.average(area[flat], weights=area[flat])  # over the surface, not the faces
    assert np.average(area[on_ball], weights=area[on_ball]) < 0.1 * mean_flat


def test_polishing_keeps_edges_and_surface():
    points, voxel, origin = grid(64)
    fine = extract(field(box(points), voxel, origin), target_faces=10**6)
    coarse = extract(field(box(points), voxel, origin), target_faces=1000)
    distance = np.abs(box(coarse.vertices.astype(float)))
    assert distance.max() < np.abs(box(fine.vertices.astype(float))).max() + 0.1 * voxel
    reach = np.abs(fine.vertices).sum(axis=1).max()  # how sharp the fine corners are
    assert np.abs(coarse.vertices).sum(axis=1).max() > reach - 0.2 * voxel
    assert cKDTree(fine.vertices).query(coarse.vertices)[0].max() < voxel


def test_what_mending_takes_is_spared_for_it(monkeypatch):
    """A body whose mending takes a hundred faces below what is left to it ends on its budget."""
    mend = polishing.polish

    def greedy(points, faces, surface, *, target):
        return mend(points, faces, surface, target=min(target, len(faces) - 100))

    monkeypatch.setattr(polishing, "polish", greedy)
    points, voxel, origin = grid()
    mesh = extract(field(torus(points), voxel, origin), target_faces=2000)
    assert len(mesh.faces) == 2000


def test_a_part_lost_on_the_way_is_said(monkeypatch):
    """As when a neck is pinched off: the body that is left is shorter."""
    collapse = decimation._collapse

    def losing(vertices, faces, budget, aggressiveness):
        points, triangles = collapse(vertices, faces, budget, aggressiveness)
        return np.float32(points * (1, 0.94, 1)), triangles

    points, voxel, origin = grid()
    shape = field(sphere(points), voxel, origin)
    assert not extract(shape, target_faces=800).notes
    monkeypatch.setattr(decimation, "_collapse", losing)
    (note,) = extract(shape, target_faces=800).notes
    assert "a thin part was lost" in note
