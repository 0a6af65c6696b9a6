"""What no view saw takes its colour from along the surface, not from across a gap."""

from __future__ import annotations

import numpy as np
import trimesh

from img2mesh.artifacts import Mesh
from img2mesh.texture.inpainting import detail, membrane

RED, BLUE = np.array([0.9, 0.1, 0.1]), np.array([0.1, 0.1, 0.9])


def test_a_membrane_follows_the_surface_across_a_narrow_gap():
    """Two plates close together: the unseen inside of each takes its own plate's colour."""
    plates = [
        trimesh.creation.box((2, 2, 0.2)).subdivide_to_size(0.15).apply_translation((0, 0, z))
        for z in (-0.13, 0.13)
    ]
    both = trimesh.util.concatenate(plates)
    mesh = Mesh(both.vertices, both.faces)
    top = mesh.vertices[:, 2] > 0
    inner = (np.abs(mesh.vertices[:, 2]) < 0.05) & (np.abs(mesh.vertices[:, :2]).max(axis=1) < 0.9)
    colour = np.where(top[:, None], RED, BLUE).astype(np.float32)
    filled = membrane(mesh, np.where(inner[:, None], 0.5, colour).astype(np.float32), ~inner)
    assert inner.sum() > 100
    np.testing.assert_allclose(filled, colour, atol=1e-3)


def test_a_membrane_is_linear_along_a_tube():
    tube = trimesh.creation.cylinder(0.1, 2.0, sections=24).subdivide_to_size(0.05)
    mesh = Mesh(tube.vertices, tube.faces)
    along = mesh.vertices[:, 2]
    seen = np.abs(along) > 0.6
    wanted = np.repeat(0.5 + 0.5 * along[:, None], 3, axis=1).astype(np.float32)
    filled = membrane(mesh, np.where(seen[:, None], wanted, 0).astype(np.float32), seen)
    assert np.abs(filled - wanted)[~seen].max() < 0.02


def test_detail_fades_with_distance_and_around_thin_parts():
    points = np.array([[0, 0, 0], [0.1, 0, 0], [9, 0, 0], [0.1, 0, 0]], np.float32)
    normals = np.array([[0, 0, 1], [0, 0, 1], [0, 0, 1], [0, 0, -1]], np.float32)
    rest = np.array([[0.4] * 3, [0] * 3, [0] * 3, [0] * 3], np.float32)
    near, far, behind = detail(points, normals, rest, np.array([0]), np.array([1, 2, 3]), reach=1.0)
    np.testing.assert_allclose(near, 0.4 * np.exp(-0.1), rtol=1e-3)
    assert not far.any()
    assert behind.max() < 0.2 * near.max()
    assert not detail(points, normals, rest, np.array([], int), np.array([1]), reach=1.0).any()
