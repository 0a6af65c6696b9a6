"""Even triangles and quads: closed, within budget, evenly shaped, on the surface."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from img2mesh.errors import MissingExtraError
from img2mesh.geometry.mesh import components
from img2mesh.geometry.topology import defects
from img2mesh.meshing.polishing import smallest_angles
from tests.meshing.test_extract import field, grid
from tests.rooms import extract
from tests.shapes import torus_sdf as torus

LIBRARY = {"triangle": "pymeshlab", "quad": "pynanoinstantmeshes"}


def made(kind, target=3000):
    pytest.importorskip(LIBRARY[kind])
    points, voxel, origin = grid()
    return extract(field(torus(points), voxel, origin), target_faces=target, remesh=kind)


@pytest.mark.parametrize("kind", ["triangle", "quad"])
def test_remeshed_surface_is_even_and_sound(kind, capfd):
    mesh = made(kind)
    assert not defects(mesh.faces)
    assert components(mesh.faces).max() == 0
    assert abs(len(mesh.faces) - 3000) <= 30 or any("3000" in note for note in mesh.notes)
    corners = mesh.vertices[mesh.faces].astype(float)
    area = np.linalg.norm(
        np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1
    )
    assert area.std() < 0.5 * area.mean()
    assert np.quantile(smallest_angles(mesh.vertices, mesh.faces), 0.05) > 25
    assert np.abs(torus(mesh.vertices.astype(float))).max() < 0.04  # a voxel
    assert capfd.readouterr().out == ""  # standard output belongs to results


def test_quads_are_pairs_of_triangles():
    faces = made("quad").faces
    shared = [len(set(a) & set(b)) for a, b in zip(faces[::2], faces[1::2], strict=True)]
    assert set(shared) == {2}


@pytest.mark.parametrize("kind", ["triangle", "quad"])
def test_a_missing_library_is_named_with_its_pip_line(kind, monkeypatch):
    monkeypatch.setitem(sys.modules, LIBRARY[kind], None)
    points, voxel, origin = grid(20)
    with pytest.raises(MissingExtraError, match=r"img2mesh\[remesh\]"):
        extract(field(torus(points), voxel, origin), target_faces=500, remesh=kind)
