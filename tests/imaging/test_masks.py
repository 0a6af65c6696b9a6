"""Pieces, holes and distances of masks, against plain scipy and against closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from img2mesh.imaging import masks

Mask = NDArray[np.bool_]


def noise(seed: int, shape: tuple[int, int] = (90, 120)) -> Mask:
    values = np.random.default_rng(seed).normal(size=shape)
    found: Mask = ndimage.gaussian_filter(values, 1.5) > 0.05
    return found


@pytest.mark.parametrize("diagonal", [True, False])
@pytest.mark.parametrize("seed", range(4))
def test_pieces_are_those_of_scipy(seed: int, diagonal: bool) -> None:
    mask = noise(seed)
    labels, count = ndimage.label(mask, np.ones((3, 3)) if diagonal else None)
    areas = ndimage.sum_labels(mask, labels, np.arange(1, count + 1))
    large = areas >= max(12, 0.1 * areas.max())
    kept, found = masks.keep_pieces(mask, diagonal=diagonal, pixels=12, share=0.1)
    assert np.array_equal(kept, np.isin(labels, np.flatnonzero(large) + 1))
    assert sorted(found) == sorted(areas[large])


def test_no_piece_of_nothing() -> None:
    kept, areas = masks.keep_pieces(np.zeros((4, 5), bool), diagonal=True, pixels=0, share=0)
    assert not kept.any() and not len(areas)


@pytest.mark.parametrize("seed", range(4))
def test_what_touches_the_border_is_what_floods_in(seed: int) -> None:
    mask = noise(seed)
    flood = ndimage.binary_propagation(np.pad(np.zeros_like(mask), 1, constant_values=True),
                                       mask=np.pad(mask, 1, constant_values=True))  # fmt: skip
    assert np.array_equal(masks.touching_border(mask), flood[1:-1, 1:-1])


@pytest.mark.parametrize("seed", range(4))
def test_all_inner_holes_are_closed_small_ones_alone_on_demand(seed: int) -> None:
    mask = noise(seed)
    assert np.array_equal(masks.fill_pinholes(mask, below=np.inf), ndimage.binary_fill_holes(mask))
    holes, count = ndimage.label(ndimage.binary_fill_holes(mask) & ~mask)
    sizes = ndimage.sum_labels(holes > 0, holes, np.arange(1, count + 1))
    few = mask | np.isin(holes, np.flatnonzero(sizes < 30) + 1)
    assert np.array_equal(masks.fill_pinholes(mask, below=30), few)


def test_distances_of_a_half_plane() -> None:
    mask = np.zeros((9, 20), bool)
    mask[:, 8:] = True
    distance = masks.signed_distance(mask)
    assert distance.dtype == np.float32
    assert (
        distance[4].tolist()[:16]
        == [7.5 - k for k in range(8)] + [-0.5 - k for k in range(4)] + [-4.5] * 4
    )  # the border above and below is an outline too: 4.5 pixels away
    assert masks.inset(mask)[4, 8] == 1 and masks.inset(mask)[4, 19] == 1
