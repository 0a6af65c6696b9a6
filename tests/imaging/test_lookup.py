"""Bilinear look-ups against the formula and against scipy's."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import map_coordinates

from img2mesh.imaging.lookup import bilinear


def test_a_plane_is_read_exactly() -> None:
    v, u = np.mgrid[:12, :17] + 0.5
    plane = (3 * u - 2 * v).astype(np.float32)
    uv = np.random.default_rng(0).uniform([0.5, 0.5], [16.5, 11.5], (5, 40, 2))
    found = bilinear(plane, uv)
    assert found.dtype == np.float32 and found.shape == (5, 40)
    assert np.abs(found - (3 * uv[..., 0] - 2 * uv[..., 1])).max() < 1e-5


def test_channels_and_what_lies_beyond() -> None:
    rng = np.random.default_rng(1)
    picture = rng.random((9, 11, 3)).astype(np.float32)
    uv = rng.uniform(-3, 14, (200, 2))
    found = bilinear(picture, uv)
    at = [np.clip(uv[:, 1] - 0.5, 0, 8), np.clip(uv[:, 0] - 0.5, 0, 10)]
    for c in range(3):  # inside the outermost centres scipy's own border modes do not matter
        expected = map_coordinates(picture[..., c], at, order=1, mode="constant")
        assert np.allclose(found[:, c], expected, atol=1e-6)
        assert np.array_equal(found[:, c], bilinear(picture[..., c], uv))
    assert np.array_equal(bilinear(picture, np.array([[-9.0, -9.0]]))[0], picture[0, 0])
