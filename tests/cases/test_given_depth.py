"""Given depth is believed only where it fits: case 45 and its kind."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from img2mesh.artifacts import ViewSet
from img2mesh.errors import InputError
from img2mesh.geometry.depth_fit import fit_depth
from tests import captures


@pytest.fixture(scope="module")
def truth() -> np.ndarray:
    return np.stack([d["depth"] for d in captures.pixels()])


def opened(folder: Path, depth: np.ndarray, stored_per_unit: float, **more: float) -> ViewSet:
    stored = np.nan_to_num(depth * stored_per_unit).round().astype(np.uint16)
    return ViewSet.open(captures.nerfstudio(folder, depth=stored, **more))


def test_depth_in_the_cameras_unit_stays(tmp_path: Path, truth: np.ndarray) -> None:
    views = opened(tmp_path, truth, 1000)
    assert np.allclose(views.depth, truth, atol=6e-4, equal_nan=True)
    assert not any("depth" in note for note in views.provenance.notes)


@pytest.mark.parametrize(
    ("stored", "more"),
    [
        (1000, {"depth_unit_scale_factor": 0.01}),
        (10000, {}),
        (1000, {"depth_unit_scale_factor": 1.0}),
    ],
)
def test_depth_in_another_unit_is_brought_to_theirs(
    tmp_path: Path, truth: np.ndarray, stored: float, more: dict[str, float]
) -> None:
    views = opened(tmp_path, truth, stored, **more)
    assert np.allclose(views.depth, truth, atol=6e-4, equal_nan=True)
    assert any("multiplied by" in note for note in views.provenance.notes)


def test_depth_in_inches(tmp_path: Path, truth: np.ndarray) -> None:
    views = opened(tmp_path, truth / 0.0254, 100, depth_unit_scale_factor=0.01)
    assert np.nanmax(np.abs(views.depth / truth - 1)) < 0.004


@pytest.mark.parametrize("wrong", ["stretched", "reversed", "other views", "other object"])
def test_depth_that_fits_nowhere_is_left_out(tmp_path: Path, truth: np.ndarray, wrong: str) -> None:
    low, high = (f(truth, axis=(1, 2), keepdims=True) for f in (np.nanmin, np.nanmax))
    depth = {
        "stretched": 1 + 254 * (truth - low) / (high - low),
        "reversed": 256 - 254 * (truth - low) / (high - low),
        "other views": 1000 * np.roll(truth, 3, axis=0),
        "other object": 1000
        * np.stack(
            [d["depth"] for d in captures.pixels(vertices=captures.box()[0][:, [1, 2, 0]] * 1.6)]
        ),
    }[wrong]
    views = opened(tmp_path, depth, 1)
    assert views.depth is None
    assert any("left out" in note for note in views.provenance.notes)


@pytest.mark.parametrize("wrong", ["offset", "one range of 8 bits", "lengths of rays"])
def test_depth_of_another_origin_or_meaning_is_read_so(
    tmp_path: Path, truth: np.ndarray, wrong: str
) -> None:
    lengths = np.stack([np.linalg.norm(c.directions(), axis=-1) for c in captures.cameras()])
    low, high = np.nanmin(truth), np.nanmax(truth)
    depth = {
        "offset": 1000 * (truth + 0.3),
        "one range of 8 bits": 1 + 254 * (truth - low) / (high - low),
        "lengths of rays": 1000 * truth * lengths,
    }[wrong]
    views = opened(tmp_path, depth, 1)
    assert views.depth is not None
    assert np.nanmedian(np.abs(views.depth - truth)) < 0.02, "of a box of 1.1"
    # Seen from so far, lengths of rays hardly differ from depths and fit as they are.
    told = any("moved by" in note for note in views.provenance.notes)
    assert told == (wrong != "lengths of rays")


@pytest.mark.parametrize("how", ["right", "millimetres", "another shape", "another size"])
def test_depth_in_memory_is_checked_too(truth: np.ndarray, how: str) -> None:
    drawn = captures.pixels()
    rgba = np.stack([d["rgba"] for d in drawn])
    depth = {
        "right": truth,
        "millimetres": 1000 * truth,
        "another shape": np.roll(truth, 3, axis=0),
        "another size": truth[:, ::2],
    }[how]
    given = rgba[..., :3], rgba[..., 3], captures.cameras()
    if how == "another size":
        with pytest.raises(InputError, match="depth must have shape"):
            ViewSet.from_arrays(*given, depth=depth)
        return
    views = ViewSet.from_arrays(*given, depth=depth)
    told = any("given depth" in note for note in views.provenance.notes)
    assert told == (how != "right")
    if how == "another shape":
        assert views.depth is None
    else:
        assert np.allclose(views.depth, truth, atol=1e-3, equal_nan=True)


def test_depth_that_shows_another_outline_is_left_out(truth: np.ndarray) -> None:
    inside = np.isfinite(truth)
    ball = np.where(np.hypot(*(np.mgrid[:64, :64] - 31.5)) < 20, 3.5, np.nan)
    other = np.broadcast_to(ball, truth.shape).astype(np.float32)
    assert fit_depth(other, inside.astype(np.float32), captures.cameras()) is None
