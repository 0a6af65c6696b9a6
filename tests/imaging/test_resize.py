"""Smaller pictures: area averages, premultiplied, and parts of a picture."""

from __future__ import annotations

import numpy as np
from PIL import Image

from img2mesh.imaging.resize import fitted_size, resample, shrink, shrink_rgba


def test_a_block_becomes_its_mean() -> None:
    bands = np.random.default_rng(0).random((12, 18, 2)).astype(np.float32)
    small = shrink(bands, width=6, height=4)
    assert np.allclose(small, bands.reshape(4, 3, 6, 3, 2).mean((1, 3)), atol=1e-6)


def test_what_is_transparent_does_not_colour() -> None:
    rgb = np.zeros((4, 4, 3), np.float32)
    rgb[:, :2], rgb[:, 2:] = (1, 0, 0), (0, 1, 0)
    alpha = np.zeros((4, 4), np.float32)
    alpha[:, :1] = 1
    colour, share = shrink_rgba(rgb, alpha, width=1, height=1)
    assert np.allclose(colour, (1, 0, 0)) and np.allclose(share, 0.25)


def test_a_part_of_a_picture_is_pillow_s() -> None:
    bands = np.random.default_rng(1).random((20, 30, 4)).astype(np.float32)
    box = (2.5, 1.0, 27.0, 19.5)
    found = resample(bands, width=9, height=8, how="bicubic", box=box)
    for c in range(4):
        plane = Image.fromarray(np.ascontiguousarray(bands[..., c]))
        expected = plane.resize((9, 8), Image.Resampling.BICUBIC, box=box)
        assert np.array_equal(found[..., c], np.asarray(expected))


def test_the_longer_side_is_held() -> None:
    assert fitted_size(400, 100, 200) == (200, 50)
    assert fitted_size(100, 40, 200) == (100, 40)
    assert fitted_size(4000, 1, 200) == (200, 1)
