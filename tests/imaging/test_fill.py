"""Pixels without a value take the nearest one that has."""

import numpy as np
import pytest
from numpy.typing import NDArray

from img2mesh.imaging.fill import from_nearest


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
