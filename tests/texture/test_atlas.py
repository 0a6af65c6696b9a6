"""Unwrapping: charts that are few, flat, apart from each other, and cover every face once."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from img2mesh.artifacts import Mesh
from img2mesh.texture.atlas import Atlas, unwrap
from img2mesh.texture.raster import rasterise


def crumpled(strength, subdivisions=4):
    """A ball whose vertices are thrown about: many of its faces look the wrong way."""
    body = trimesh.creation.icosphere(subdivisions, 0.8)
    noise = np.random.default_rng(3).normal(0, strength, body.vertices.shape)
    return Mesh(body.vertices + noise, body.faces)


def mesh_of(body) -> Mesh:
    return Mesh(body.vertices, body.faces)


BODIES = {
    "ball": lambda: mesh_of(trimesh.creation.icosphere(4, 0.8)),
    "box": lambda: mesh_of(trimesh.creation.box((1, 0.6, 0.4)).subdivide_to_size(0.1)),
    "torus": lambda: mesh_of(trimesh.creation.torus(0.7, 0.25, 64, 32)),
    "crumpled": lambda: crumpled(0.02),
    "tetrahedron": lambda: mesh_of(trimesh.creation.icosphere(0, 1)),
}


def charts(atlas: Atlas) -> int:
    ends = atlas.faces[:, [0, 1]].ravel(), atlas.faces[:, [1, 2]].ravel()
    size = len(atlas.uv)
    return connected_components(coo_matrix((np.ones(len(ends[0])), ends), (size, size)))[0]


def stretch(mesh: Mesh, atlas: Atlas):
    """Texture area over true area of every face, 1 on the mean."""

    def areas(points):
        a, b, c = (points[:, k] for k in range(3))
        return np.linalg.norm(np.cross(b - a, c - a), axis=1)

    true = areas(mesh.vertices[mesh.faces].astype(float))
    uv = np.pad(atlas.uv.astype(float), ((0, 0), (0, 1)))
    shown = areas(uv[atlas.faces])
    return shown / true * true.sum() / shown.sum(), true / true.sum()


@pytest.mark.parametrize("name", BODIES)
def test_every_face_has_its_own_place(name):
    mesh = BODIES[name]()
    atlas = unwrap(mesh, 512)
    np.testing.assert_array_equal(atlas.source_vertex[atlas.faces], mesh.faces)
    assert atlas.uv.min() >= 0
    assert atlas.uv.max() <= 1
    assert rasterise(atlas.uv, atlas.faces, 512).overlap <= 0.005
    ratio, share = stretch(mesh, atlas)
    assert share[(ratio < 0.5) | (ratio > 2)].sum() < 0.02


@pytest.mark.parametrize(("name", "most"), [("ball", 8), ("box", 6), ("torus", 12)])
def test_charts_are_few(name, most):
    assert charts(unwrap(BODIES[name](), 512)) <= most


def test_a_box_is_cut_at_its_edges():
    mesh = BODIES["box"]()
    atlas = unwrap(mesh, 512)
    normal = np.cross(
        mesh.vertices[mesh.faces[:, 1]] - mesh.vertices[mesh.faces[:, 0]],
        mesh.vertices[mesh.faces[:, 2]] - mesh.vertices[mesh.faces[:, 0]],
    )
    side = np.abs(normal).argmax(axis=1) * 2 + (normal.sum(axis=1) > 0)
    seen = np.zeros((len(atlas.uv), 6), bool)
    for k in range(3):
        seen[atlas.faces[:, k], side] = True
    assert (seen.sum(axis=1) == 1).all()  # no split vertex serves two sides
    ratio, _ = stretch(mesh, atlas)
    np.testing.assert_allclose(ratio, 1, atol=0.02)


def test_charts_keep_their_gutter():
    from scipy import ndimage

    mesh, side = BODIES["ball"](), 512
    atlas = unwrap(mesh, side)
    texels = rasterise(atlas.uv, atlas.faces, side)
    size = len(atlas.uv)
    ends = atlas.faces[:, [0, 1]].ravel(), atlas.faces[:, [1, 2]].ravel()
    chart = connected_components(coo_matrix((np.ones(len(ends[0])), ends), (size, size)))[1]
    grid = np.full(side * side, -1)
    inside = texels.inside
    grid[texels.index[inside]] = chart[atlas.faces[texels.face[inside], 0]]
    grid = grid.reshape(side, side)
    for k in range(int(chart.max()) + 1):
        near = ndimage.distance_transform_edt(grid != k)
        assert near[(grid >= 0) & (grid != k)].min() >= 2


def test_unwrapping_is_deterministic():
    mesh = BODIES["crumpled"]()
    one, two = unwrap(mesh, 512), unwrap(mesh, 512)
    assert one.uv.tobytes() == two.uv.tobytes()
    assert one.faces.tobytes() == two.faces.tobytes()
