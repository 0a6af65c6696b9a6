"""Silhouettes and the order of their cameras: the pruned search against every order tried."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from img2mesh.core.cameras import Camera
from img2mesh.geometry import consistency
from img2mesh.geometry.consistency import SIDE, agreement, best_order, widened
from img2mesh.geometry.raycast import Scene
from tests.io.test_wrong_views import lopsided

POSES = [(0, 10), (80, -20), (150, 30), (250, 0)]


def cameras(count: int) -> list[Camera]:
    return [
        Camera.orbit(a, e, distance=4, fov_deg=35, width=80, height=80) for a, e in POSES[:count]
    ]


def silhouettes(count: int) -> np.ndarray:
    scene = Scene(*lopsided())
    return np.stack([scene.look(c).mask for c in cameras(count)]).astype(np.float32)


def moved(alpha: np.ndarray, rng: np.random.Generator, most: int) -> np.ndarray:
    """Every mask shifted by up to so many pixels: views that contradict each other."""
    shifts = rng.integers(-most, most + 1, (len(alpha), 2))
    return np.stack([np.roll(a, s, (0, 1)) for a, s in zip(alpha, shifts, strict=True)])


def every_order_tried(
    alpha: np.ndarray, views: list[Camera], first: list[tuple[int, ...]]
) -> tuple[tuple[int, ...], np.ndarray]:
    """The definition: the best score wins; of equals, what was given, then what is likely."""
    carving = consistency._Carving([consistency._Coarse.of(alpha, camera) for camera in views])
    orders = [tuple(range(len(alpha))), *first, *permutations(range(len(alpha)))]
    shares = [carving.shares(order) for order in orders]
    scores = [s.min() + s.mean() for s in shares]
    chosen = next(i for i, s in enumerate(scores) if s > max(scores) - consistency._TIE)
    return orders[chosen], shares[chosen]


@pytest.mark.parametrize("count", [3, 4])
@pytest.mark.parametrize("most", [0, 3, 12, 40])
def test_the_search_finds_what_trying_every_order_finds(count: int, most: int) -> None:
    rng = np.random.default_rng(10 * count + most)
    views = cameras(count)
    for first in ([], [tuple(range(count))[::-1]]):
        order = rng.permutation(count)
        alpha = moved(silhouettes(count)[order], rng, most)
        found, shares = best_order(alpha, views, first=first)
        wanted, best = every_order_tried(alpha, views, first)
        assert found == wanted
        np.testing.assert_array_equal(shares, best)
        if most == 0:
            assert [order[t] for t in found] == list(range(count))


def test_of_equal_orders_the_given_one_stays() -> None:
    """Six times the same disc: every order is as good as the first."""
    v, u = np.mgrid[:80, :80] - 39.5
    disc = np.repeat((np.hypot(u, v) < 20).astype(np.float32)[None], 4, axis=0)
    found, shares = best_order(disc, cameras(4), first=[(3, 2, 1, 0)])
    assert found == (0, 1, 2, 3) and shares.min() > 0.9


def test_six_views_in_a_wrong_order_take_a_fraction_of_the_orders(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Counted, not timed: 720 orders of six shares each would be 4 320."""
    scene = Scene(*lopsided())
    poses = [*POSES, (45, 60), (300, -50)]
    views = [Camera.orbit(a, e, distance=4, fov_deg=35, width=80, height=80) for a, e in poses]
    alpha = np.stack([scene.look(c).mask for c in views]).astype(np.float32)
    calls: list[int] = []
    filled = consistency._Carving.filled
    monkeypatch.setattr(
        consistency._Carving,
        "filled",
        lambda self, *arguments: calls.append(1) or filled(self, *arguments),
    )
    order, shares = best_order(alpha[[2, 4, 0, 5, 1, 3]], views)
    assert [(2, 4, 0, 5, 1, 3)[t] for t in order] == list(range(6))
    assert shares.min() > 0.97
    assert len(calls) < 1300


def test_shares_are_what_a_loop_over_points_counts() -> None:
    alpha, views = moved(silhouettes(3), np.random.default_rng(1), 6), cameras(3)
    of = consistency._Coarse.of
    coarse = [of(mask[None], camera) for mask, camera in zip(alpha, views, strict=True)]
    points, spacing = consistency._common_points(coarse)
    expected = []
    for view in coarse:
        uv, depth = view.camera.project(points)
        drawn = np.zeros((SIDE, SIDE), bool)
        reach = max(1, int(np.ceil(spacing / 2 * view.camera.fx / np.median(depth))))
        for column, row in np.floor(uv).astype(int):
            if 0 <= column < SIDE and 0 <= row < SIDE:
                top, left = max(row - reach, 0), max(column - reach, 0)
                drawn[top : row + reach + 1, left : column + reach + 1] = True
        expected.append((drawn & view.body[0]).sum() / view.body[0].sum())
    np.testing.assert_array_equal(agreement(alpha, views), expected)
    assert 0.3 < min(expected) < 0.97, "nothing was carved"


@pytest.mark.parametrize("reach", [0, 1, 3])
def test_widened_is_the_maximum_filter(reach: int) -> None:
    from scipy.ndimage import maximum_filter

    mask = np.random.default_rng(0).random((20, 31)) > 0.9
    np.testing.assert_array_equal(
        widened(mask, reach), maximum_filter(mask, size=2 * reach + 1, mode="constant")
    )
