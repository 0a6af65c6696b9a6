"""Pixels without a value take the nearest one that has."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from img2mesh.imaging.fill import continue_colours, from_nearest


def test_unknown_pixels_take_the_nearest_known_value() -> None:
    values = np.array([[1, 9, 9, 9, 5]], np.uint8)[..., None].repeat(3, axis=2)
    known = np.array([[True, False, False, False, True]])
    found = from_nearest(values, known)
    assert found.dtype == np.uint8
    assert found[0, :, 0].tolist() in ([1, 1, 1, 5, 5], [1, 1, 5, 5, 5])


@pytest.mark.parametrize("known", [np.ones((2, 3), bool), np.zeros((2, 3), bool)])
def test_all_or_nothing_known_gives_a_copy(known: NDArray[np.bool_]) -> None:
    values = np.arange(6.0).reshape(2, 3)
    found = from_nearest(values, known)
    assert found is not values and np.array_equal(found, values)


def test_colours_go_on_past_the_outline() -> None:
    rng = np.random.default_rng(0)
    rgb = rng.random((20, 30, 3)).astype(np.float32)
    alpha = np.zeros((20, 30), np.float32)
    alpha[5:15, 8:22] = 1
    alpha[5, 8:22] = 0.4
    filled = continue_colours(rgb, alpha, above=0.5)
    assert np.array_equal(filled, from_nearest(rgb, alpha > 0.5))
    soft = continue_colours(rgb, alpha, above=0.5, blur_px=1.5)
    assert np.array_equal(soft, gaussian_filter(filled, (1.5, 1.5, 0)))
    thin = continue_colours(rgb, 0.5 * alpha, above=0.9)
    assert np.array_equal(thin, from_nearest(rgb, alpha == 1)), "the most opaque pixels count"
    nothing = continue_colours(rgb, 0 * alpha, above=0)
    assert nothing is not rgb and np.array_equal(nothing, rgb)
