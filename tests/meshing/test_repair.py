"""Repair on hand-made bad surfaces, each wrong in exactly one way."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh

from img2mesh.geometry.mesh import components, volume
from img2mesh.geometry.topology import defects
from img2mesh.meshing.repair import repair


def cubes(*offsets):
    """Unit cubes at integer offsets, welded where their corners coincide."""
    parts = [trimesh.creation.box().apply_translation(o) for o in offsets]
    vertices = np.concatenate([p.vertices for p in parts])
    faces = np.concatenate([p.faces + 8 * k for k, p in enumerate(parts)])
    places, index = np.unique(vertices.round(6), axis=0, return_inverse=True)
    return places.astype(np.float32), index.reshape(-1)[faces].astype(np.int32)


def assert_mended(vertices, faces):
    assert defects(faces) == ""
    assert components(faces).max() == 0
    body = trimesh.Trimesh(vertices, faces, process=True)  # welding does not undo the mending
    assert body.is_watertight
    assert body.is_winding_consistent


def test_a_cube_is_left_alone():
    vertices, faces = cubes((0, 0, 0))
    assert defects(faces) == ""
    again, same = repair(vertices, faces)
    np.testing.assert_array_equal(again[same], vertices[faces])


def test_cubes_that_share_an_edge_come_apart():
    vertices, faces = cubes((0, 0, 0), (1, 1, 0))
    assert "more than two faces" in defects(faces)
    vertices, faces = repair(vertices, faces)
    assert_mended(vertices, faces)
    assert volume(vertices, faces) == pytest.approx(1, rel=0.05)


def test_cubes_that_share_a_corner_come_apart():
    vertices, faces = cubes((0, 0, 0), (1, 1, 1))
    assert defects(faces) == "faces touch in a single point"
    assert_mended(*repair(vertices, faces))


def test_a_ring_that_touches_itself_along_an_edge():
    """Five cubes in a ring, first and last share an edge only: one body, one edge of four faces."""
    ring = [(0, 0, 0), (0, 0, 1), (1, 0, 1), (1, 1, 1), (1, 1, 0)]
    vertices, faces = cubes(*ring)
    # Faces between neighbouring cubes cancel out: two faces on the same three or four corners.
    quads = {}
    for k, face in enumerate(faces):
        normal = np.cross(*(vertices[face[i]] - vertices[face[0]] for i in (1, 2)))
        centre = (vertices[face].min(axis=0) + vertices[face].max(axis=0)) / 2
        quads.setdefault((tuple(centre), tuple(np.abs(normal).round(3))), []).append(k)
    keep = np.ones(len(faces), bool)
    for members in quads.values():
        if len(members) == 4:  # two triangles of either cube
            keep[members] = False
    faces = faces[keep]
    assert "more than two faces" in defects(faces)
    before = volume(vertices, faces)
    assert before == pytest.approx(5, rel=1e-5)
    vertices, faces = repair(vertices, faces)
    assert_mended(vertices, faces)
    assert volume(vertices, faces) == pytest.approx(before, rel=0.05)


def test_back_to_back_faces_vanish():
    vertices, faces = cubes((0, 0, 0))
    vertices = np.concatenate([vertices, [[3, 3, 3]]]).astype(np.float32)
    fin = np.array([[0, 1, 8], [1, 0, 8]], np.int32)
    vertices, faces = repair(vertices, np.concatenate([faces, fin]))
    assert_mended(vertices, faces)
    assert len(faces) == 12


def test_a_hole_is_named_not_hidden():
    vertices, faces = cubes((0, 0, 0))
    assert defects(faces[1:]) == "an edge has only one face"
    assert defects(repair(vertices, faces[1:])[1]) != ""


def test_cavity_loses_to_its_body():
    vertices, faces = cubes((0, 0, 0), (0, 0, 0))
    inner = faces[:12, ::-1] + 8
    both = np.concatenate([vertices, 0.5 * vertices])
    kept, index = repair(both, np.concatenate([inner, faces[:12]]))
    assert volume(kept, index) == pytest.approx(1)
