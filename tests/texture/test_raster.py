"""Rasterising against counting by hand."""

from __future__ import annotations

import numpy as np

from img2mesh.texture.raster import rasterise

SQUARE = np.array([[0.25, 0.25], [0.75, 0.25], [0.75, 0.75], [0.25, 0.75]], np.float32)


def test_square_of_two_triangles_covers_each_texel_once():
    texels = rasterise(SQUARE, np.array([[0, 1, 2], [0, 2, 3]], np.int32), 16)
    inside = texels.index[texels.inside]
    rows, columns = np.divmod(inside, 16)
    assert sorted(set(rows)) == sorted(set(columns)) == list(range(4, 12))
    assert len(inside) == 64
    assert texels.overlap == 0
    # The diagonal is an edge of both; one of them has it all.
    assert len(set(texels.face[texels.inside][rows == columns])) == 1


def test_winding_does_not_matter():
    faces = np.array([[0, 1, 2], [0, 2, 3]], np.int32)
    one, two = rasterise(SQUARE, faces, 16), rasterise(SQUARE, faces[:, ::-1].copy(), 16)
    np.testing.assert_array_equal(one.index, two.index)
    np.testing.assert_array_equal(one.face, two.face)


def test_barycentric_reproduces_the_texel_centres():
    faces = np.array([[0, 1, 2], [0, 2, 3]], np.int32)
    texels = rasterise(SQUARE, faces, 32)
    uv = texels.interpolate(faces, SQUARE.astype(np.float64))
    centre = np.stack([texels.index % 32 + 0.5, texels.index // 32 + 0.5], axis=1) / 32
    np.testing.assert_allclose(uv, centre, atol=1e-6)  # the skirt is extrapolated, and right
    assert (~texels.inside).any()


def test_overlap_is_measured():
    uv = np.concatenate([SQUARE, SQUARE + np.array([0.25, 0])]).astype(np.float32)
    faces = np.array([[0, 1, 2], [0, 2, 3], [4, 5, 6], [4, 6, 7]], np.int32)
    # A third of the three half squares; texels right on a diagonal are given no second owner.
    assert abs(rasterise(uv, faces, 64).overlap - 1 / 3) < 0.03


def test_faces_smaller_than_a_texel_still_get_one():
    tiny = (SQUARE - 0.5) * 1e-3 + 0.53
    texels = rasterise(tiny.astype(np.float32), np.array([[0, 1, 2], [0, 2, 3]], np.int32), 16)
    assert texels.inside.sum() == 1
    assert np.isfinite(texels.barycentric).all()
