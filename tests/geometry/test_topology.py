"""Topology of shapes whose numbers are known, of planted damage, and as trimesh sees it."""

from __future__ import annotations

import numpy as np
import trimesh

from img2mesh.geometry.topology import defects, topology
from tests.shapes import box_asset

TETRAHEDRON = np.array([[0, 2, 1], [0, 1, 3], [1, 2, 3], [2, 0, 3]])


def torus(n: int = 6, m: int = 5) -> np.ndarray:
    i, j = (x.reshape(-1) for x in np.meshgrid(np.arange(n), np.arange(m), indexing="ij"))
    a, b = i * m + j, (i + 1) % n * m + j
    c, d = i * m + (j + 1) % m, (i + 1) % n * m + (j + 1) % m
    return np.concatenate([np.stack([a, b, c], 1), np.stack([b, d, c], 1)])


def test_closed_shapes() -> None:
    for faces, euler in ((box_asset().joined.faces, 2), (TETRAHEDRON, 2), (torus(), 0)):
        found = topology(faces)
        assert found.watertight and found.manifold and found.winding_consistent
        assert (found.components, found.euler_number) == (1, euler)


def test_a_hole_is_not_watertight_but_manifold() -> None:
    found = topology(torus()[1:])
    assert not found.watertight
    assert found.manifold
    assert found.euler_number == -1


def test_two_bodies() -> None:
    found = topology(np.concatenate([TETRAHEDRON, TETRAHEDRON + 4]))
    assert (found.components, found.euler_number, found.manifold) == (2, 4, True)


def test_bodies_that_touch_in_a_vertex_are_not_manifold() -> None:
    """Every edge has two faces here: only the fan test sees it."""
    other = np.where(TETRAHEDRON == 0, 0, TETRAHEDRON + 3)
    found = topology(np.concatenate([TETRAHEDRON, other]))
    assert found.watertight
    assert not found.manifold
    assert found.components == 2


def test_bodies_that_share_an_edge_are_not_manifold() -> None:
    other = np.where(TETRAHEDRON < 2, TETRAHEDRON, TETRAHEDRON + 2)
    found = topology(np.concatenate([TETRAHEDRON, other]))
    assert not found.watertight
    assert not found.manifold


def test_a_turned_face_breaks_the_winding() -> None:
    faces = TETRAHEDRON.copy()
    faces[0] = faces[0][::-1]
    found = topology(faces)
    assert found.watertight and not found.winding_consistent


def test_unused_vertices_do_not_count() -> None:
    assert topology(TETRAHEDRON * 3) == topology(TETRAHEDRON)


def test_damage_is_named_and_measured_alike() -> None:
    """Random subsets of faces: what is no defect is closed, oriented and manifold, and trimesh's
    words for closed, for orientation and for the Euler number are ours.
    """
    rng = np.random.default_rng(2)
    for faces in (torus(), TETRAHEDRON, box_asset().joined.faces):
        for kept in (1.0, 0.8, 0.5):
            some = faces[rng.random(len(faces)) < kept]
            if not len(some):
                continue
            found = topology(some)
            body = trimesh.Trimesh(np.zeros((int(faces.max()) + 1, 3)), some, process=False)
            assert found.watertight == body.is_watertight
            assert found.euler_number == body.euler_number
            sound = found.watertight and found.winding_consistent and found.manifold
            assert (defects(some) == "") == sound
