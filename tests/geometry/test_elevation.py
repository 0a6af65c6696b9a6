"""The elevation of a camera from matches between its neighbours: right, or no answer."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

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
    for count in (20, 60, 200):
        wrong = matches(20, count=count)
        for found in wrong.values():
            found[:, 2:4] = rng.permutation(found[:, 2:4])
        told = estimate_elevation(wrong)
        assert told.degrees is None and ("agree" in told.reason or "as well" in told.reason)


def test_half_of_the_matches_may_be_wrong() -> None:
    """SIFT's are, on true renders: what refused every case before."""
    rng = np.random.default_rng(0)
    for elevation in (-20.0, 20.0, 60.0):
        mixed = matches(elevation)
        for found in mixed.values():
            found[::2, 2:4] = rng.uniform(60, 196, found[::2, 2:4].shape)
        told = estimate_elevation(mixed)
        assert told.degrees is not None and abs(told.degrees - elevation) < 2
        assert 180 <= told.points < 260


def test_sift_alone_tells_the_elevation_of_true_renders() -> None:
    """A ball painted with noise, seen from its four neighbours."""
    rng = np.random.default_rng(0)
    paint = ndimage.gaussian_filter(
        rng.random((128, 256, 3)), (2, 2, 0), mode=("nearest", "wrap", "nearest")
    )
    paint = (paint - paint.min()) / np.ptp(paint)
    views = []
    for up, side in NEIGHBOURS:
        camera = Camera.orbit(side, 25 + up, distance=2.5, fov_deg=49.13, width=128, height=128)
        rays = camera.directions()
        rays /= np.linalg.norm(rays, axis=2, keepdims=True)
        along = -rays @ camera.origin
        root = along**2 - camera.origin @ camera.origin + 0.64
        points = camera.origin + (along - np.sqrt(root.clip(0)))[..., None] * rays
        row = (np.arcsin((points[..., 1] / 0.8).clip(-1, 1)) / np.pi + 0.5) * 127
        column = (np.arctan2(points[..., 0], points[..., 2]) / (2 * np.pi) + 0.5) * 255
        picture = np.stack(
            [ndimage.map_coordinates(paint[..., c], [row, column], order=1) for c in range(3)], -1
        )
        picture[root <= 0] = 1
        views.append(np.rint(picture * 255).astype(np.uint8))
    matched = {(a, b): sift(views[a], views[b]) * ([2] * 4 + [1]) for a, b in PAIRS}  # of 256
    told = estimate_elevation(matched)
    assert told.degrees is not None and abs(told.degrees - 25) < 2


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
