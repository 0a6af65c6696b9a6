"""Vertex tangents against numbers from the reference implementation (mikktspace.c 1.0, as WASM)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from img2mesh.artifacts import TexturedMesh
from img2mesh.texture.tangents import vertex_tangents
from tests.shapes import box_asset


def bent_sheet() -> TexturedMesh:
    """A wavy sheet of 4 x 3 vertices, cut in the middle; the right half's chart is mirrored."""
    across, down = np.meshgrid([0.0, 0.5, 0.5, 1.0], [0.0, 0.4, 1.0])
    u, v = across.ravel(), down.ravel()
    points = np.stack([u - 0.5, 0.5 - v, 0.3 * np.sin(2 * u) * np.cos(3 * v)], axis=1)
    normals = np.stack(
        [
            -0.6 * np.cos(2 * u) * np.cos(3 * v),
            -0.9 * np.sin(2 * u) * np.sin(3 * v),
            np.ones_like(u),
        ],
        axis=1,
    )
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    right = np.tile([False, False, True, True], 3)
    uv = np.stack(
        [np.where(right, 0.95 - 0.6 * (u - 0.5), 0.1 + 0.7 * u + 0.1 * v), 0.1 + 0.7 * v], axis=1
    )
    faces = []
    for row in (0, 4):
        for left in (0, 2):
            a = row + left
            faces += [(a, a + 4, a + 1), (a + 1, a + 4, a + 5)]
    picture = np.zeros((8, 8, 3), np.uint8)
    return TexturedMesh(
        points,
        np.array(faces),
        uv,
        normals,
        picture,
        np.zeros((8, 8), np.uint8),
        np.unique(points.astype(np.float32), axis=0, return_inverse=True)[1].reshape(-1),
    )


# generateTangents of npm mikktspace 1.1.1 for the sheet with v counted upwards, a row a vertex.
REFERENCE = np.array(
    [
        [0.85749, 0.00000, 0.51450, 1],
        [0.95126, 0.00000, 0.30838, 1],
        [-0.95126, 0.00000, -0.30838, -1],
        [-0.97021, 0.00000, 0.24225, -1],
        [0.97717, 0.00000, 0.21245, 1],
        [0.99534, -0.04432, 0.08564, 1],
        [-0.99535, 0.04474, -0.08534, -1],
        [-0.99742, -0.04538, 0.05563, -1],
        [0.85976, 0.00000, -0.51069, 1],
        [0.95157, -0.01553, -0.30705, 1],
        [-0.95267, -0.03032, 0.30251, -1],
        [-0.97114, 0.03213, -0.23634, -1],
    ]
)


def test_tangents_are_those_of_the_reference_implementation() -> None:
    np.testing.assert_allclose(vertex_tangents(bent_sheet()), REFERENCE, atol=2e-4)


def test_the_bitangent_points_up_in_the_picture() -> None:
    """Also on mirrored charts: moving along it makes v smaller and leaves u alone."""
    asset = bent_sheet()
    tangents = vertex_tangents(asset).astype(float)
    bitangents = tangents[:, 3:] * np.cross(asset.normals, tangents[:, :3])
    corners, uv = asset.vertices[asset.faces].astype(float), asset.uv[asset.faces].astype(float)
    edges = np.stack([corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]], axis=1)
    steps = np.stack([uv[:, 1] - uv[:, 0], uv[:, 2] - uv[:, 0]], axis=1)
    for face, corner in np.ndindex(asset.faces.shape):
        vertex = asset.faces[face, corner]
        for direction, wanted in ((tangents[vertex, :3], (1, 0)), (bitangents[vertex], (0, -1))):
            along = np.linalg.lstsq(edges[face].T, direction, rcond=None)[0] @ steps[face]
            assert np.dot(along, wanted) > 0.8 * np.linalg.norm(along)
    assert set(tangents[:, 3]) == {1.0, -1.0}


def test_tangents_are_unit_and_across_the_normal_even_without_texture() -> None:
    flat = replace(box_asset(), uv=np.zeros((24, 2)))
    for asset in (bent_sheet(), box_asset(), flat):
        tangents = vertex_tangents(asset)
        np.testing.assert_allclose(np.linalg.norm(tangents[:, :3], axis=1), 1, atol=1e-6)
        assert np.abs((tangents[:, :3] * asset.normals).sum(axis=1)).max() < 1e-6
        assert set(np.abs(tangents[:, 3])) == {1.0}
    assert vertex_tangents(box_asset())[0, :3] == pytest.approx((1, 0, 0))
