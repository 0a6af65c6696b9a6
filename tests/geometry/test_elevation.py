"""The elevation of a camera from matches between its neighbours: right, or no answer."""

from __future__ import annotations

import numpy as np
import pytest

from img2mesh.core.cameras import Camera
from img2mesh.errors import InputError
from img2mesh.geometry.elevation import NEIGHBOURS, PAIRS, estimate_elevation
from img2mesh.imaging.matching import sift

Matches = dict[tuple[int, int], np.ndarray]


def matches(elevation: float, *, seed: int = 0, count: int = 60, noise: float = 0.15) -> Matches:
    """Points in a ball of radius .42 as the four neighbours see them, each pair with own noise."""
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(count, 3))
    points *= 0.42 * rng.random((count, 1)) ** (1 / 3) / np.linalg.norm(points, axis=1)[:, None]
    seen = []
    for up, side in NEIGHBOURS:
        pose = Camera.orbit(
            side, elevation + up, distance=1.2, fov_deg=49.13, width=256, height=256
        )
        seen.append(pose.project(points)[0])
    return {
        (a, b): np.column_stack(
            [seen[a] + noise * rng.normal(size=(count, 2)),
             seen[b] + noise * rng.normal(size=(count, 2)), np.ones(count)]
        ) for a, b in PAIRS
    }  # fmt: skip


def test_noisy_matches_tell_the_elevation() -> None:
    wrong = [
        abs(found.degrees - elevation) if found.degrees is not None else 90.0
        for seed, elevation in enumerate((-20, -7, 4, 17.5, 33, 48, 60))
        for found in [estimate_elevation(matches(elevation, seed=seed))]
    ]
    assert np.median(wrong) < 2 and np.quantile(wrong, 0.9) < 5, wrong


def test_no_evidence_is_said() -> None:
    few = {pair: found[:2] for pair, found in matches(20).items()}
    none = {pair: found[:0] for pair, found in matches(20).items()}
    for wrong in (few, none):
        found = estimate_elevation(wrong)
        assert found.degrees is None and "points were found again" in found.reason
    rng = np.random.default_rng(0)
    mixed = matches(20)
    for pair, found in mixed.items():
        if pair[0]:
            found[:, 2:4] = rng.permutation(found[:, 2:4])
    found = estimate_elevation(mixed)
    assert found.degrees is None and "off by" in found.reason


def test_matches_that_are_none_are_told() -> None:
    whole = matches(0)
    with pytest.raises(InputError, match=r"pair \(2, 3\) are missing"):
        estimate_elevation({pair: whole[pair] for pair in PAIRS[:-1]})
    with pytest.raises(InputError, match=r"must be \(n, 5\)"):
        estimate_elevation({pair: np.zeros((4, 4)) for pair in PAIRS})


def test_sift_finds_what_moved_on_the_object_alone() -> None:
    rng = np.random.default_rng(0)
    patch = rng.integers(0, 200, (12, 12, 3), np.uint8).repeat(8, 0).repeat(8, 1)
    first = np.full((256, 256, 3), 255, np.uint8)
    second = first.copy()
    first[60:156, 70:166], second[70:166, 65:161] = patch, patch
    found = sift(first, second)
    assert len(found) > 20
    moved = found[:, 2:4] - found[:, :2]
    assert np.abs(np.median(moved, axis=0) - (-5, 10)).max() < 0.3
    assert (np.abs(moved - (-5, 10)).max(axis=1) < 1).mean() > 0.9
    blank = np.full((256, 256, 3), 255, np.uint8)
    assert sift(blank, blank).shape == (0, 5)
