"""Pixels of triangles: every centre belongs to one of the triangles around it."""

from __future__ import annotations

import numpy as np

from img2mesh.geometry.raster import texels_of


def test_neighbours_share_no_texel_and_leave_none_out() -> None:
    """Random triangulated sheet, vertices exactly on texel centres among them."""
    rng = np.random.default_rng(3)
    n, size = 12, 64
    t = np.linspace(0, 1, n)
    points = np.stack(np.meshgrid(t, t), axis=-1)
    points[1:-1, 1:-1] += rng.uniform(-0.03, 0.03, (n - 2, n - 2, 2))
    points[3:6, 3:6] = (np.round(points[3:6, 3:6] * size - 0.5) + 0.5) / size
    flat = points.reshape(-1, 2)
    i = np.arange(n * n).reshape(n, n)
    a, b, c, d = (x.reshape(-1) for x in (i[:-1, :-1], i[:-1, 1:], i[1:, :-1], i[1:, 1:]))
    faces = np.concatenate([np.stack([a, b, c], 1), np.stack([b, c, d], 1)])  # both windings
    count = np.zeros((size, size), int)
    for _, x, y in texels_of(flat[faces].astype(np.float32), size, size):
        np.add.at(count, (y, x), 1)
    np.testing.assert_array_equal(count, 1)
