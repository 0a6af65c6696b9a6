"""Look-ups against the formula, against scipy's, and against the copies they replaced."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import map_coordinates

from img2mesh.imaging.lookup import bilinear, texels_at

RNG = np.random.default_rng(4)
PICTURE = RNG.random((7, 11, 3)).astype(np.float32)


@pytest.mark.parametrize(("repeat", "mode"), [(False, "nearest"), (True, "grid-wrap")])
def test_texels_are_scipys(repeat: bool, mode: str) -> None:
    uv = RNG.uniform(-6, 20, (500, 2))
    found = texels_at(PICTURE, uv, repeat=repeat)
    for c in range(3):
        truth = map_coordinates(PICTURE[..., c], uv[:, ::-1].T - 0.5, order=1, mode=mode)
        np.testing.assert_allclose(found[:, c], truth, atol=1e-6)
    np.testing.assert_array_equal(texels_at(PICTURE[..., 0], uv, repeat=repeat), found[:, 0])


def test_texels_of_a_texture_is_what_it_was() -> None:
    """To the byte: the copy that painted textures."""
    uv = RNG.uniform(-1, 12, (500, 2))
    x, y = np.clip(uv[:, 0] - 0.5, 0, 10), np.clip(uv[:, 1] - 0.5, 0, 6)
    left, top = np.minimum(x.astype(int), 9), np.minimum(y.astype(int), 5)
    fx = (x - left).astype(np.float32)[:, None]
    fy = (y - top).astype(np.float32)[:, None]
    upper = PICTURE[top, left] * (1 - fx) + PICTURE[top, left + 1] * fx
    lower = PICTURE[top + 1, left] * (1 - fx) + PICTURE[top + 1, left + 1] * fx
    np.testing.assert_array_equal(texels_at(PICTURE, uv), upper * (1 - fy) + lower * fy)


def test_a_picture_of_one_pixel() -> None:
    uv = np.array([[0.0, 0.0], [0.5, 0.5], [9.0, -3.0]])
    one = np.full((1, 1), 0.25, np.float32)
    assert (texels_at(one, uv) == 0.25).all() and (texels_at(one, uv, repeat=True) == 0.25).all()


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
