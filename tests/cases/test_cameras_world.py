"""The cameras' unit and axes change nothing but what they must: cases 34, 43 and their kind."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from img2mesh.artifacts import ViewSet
from img2mesh.core.cameras import scene_bounds
from img2mesh.core.lengths import parse_size
from img2mesh.errors import InputError
from img2mesh.export.frame import in_given_world, true_scale, upright
from img2mesh.geometry.upright import standing, up_axis
from img2mesh.io.read_mesh import load_surface
from tests import captures, shapes

WORLDS = {"z": captures.Z_UP, "-y": captures.Y_DOWN, "x": captures.X_UP, "y": np.eye(4)}


@pytest.mark.parametrize("scale", [1e-4, 0.001, 0.03, 30.0, 1000.0])
def test_a_world_of_any_unit_becomes_a_usual_one(tmp_path: Path, scale: float) -> None:
    posed = captures.cameras(scale=scale)
    given = ViewSet.open(captures.nerfstudio(tmp_path, posed=posed))
    given = replace(given, depth=np.full(given.alpha.shape, 4 * scale, np.float32))
    views = given.in_usual_unit()
    assert 0.25 <= scene_bounds(views.cameras)[1] <= 16
    assert views.depth is not None and given.depth is not None
    assert (views.depth * np.float32(views.unit) == given.depth).all()
    for one, other in zip(views.cameras, given.cameras, strict=True):
        assert (one.origin * views.unit == other.origin).all()
        assert (one.world_from_camera[:3, :3] == other.world_from_camera[:3, :3]).all()


def test_a_usual_world_stays_as_it_is(tmp_path: Path) -> None:
    given = ViewSet.open(captures.nerfstudio(tmp_path))
    assert given.in_usual_unit() is given and given.unit == 1


@pytest.mark.parametrize("axis", WORLDS)
def test_the_cameras_tell_what_is_up(tmp_path: Path, axis: str) -> None:
    posed = captures.cameras(WORLDS[axis])
    assert up_axis(posed) == axis
    notes = ViewSet.open(captures.nerfstudio(tmp_path, posed=posed)).provenance.notes
    assert any("stand upright" in note for note in notes) == (axis != "y")


@pytest.mark.parametrize("axis", ["x", "y", "z", "-x", "-y", "-z"])
def test_an_asset_stands_on_any_axis(axis: str) -> None:
    turn = standing(axis)
    assert np.linalg.det(turn) == pytest.approx(1) and (turn @ turn.T == np.eye(3)).all()
    up = np.zeros(3)
    up["xyz".index(axis[-1])] = -1 if axis[0] == "-" else 1
    assert (turn @ up == [0, 1, 0]).all()
    asset = shapes.box_asset()
    turned = upright(asset, captures.cameras(), up=axis)
    assert np.allclose(turned.vertices, asset.vertices @ turn.T)
    assert np.allclose(turned.normals, asset.normals @ turn.T)
    assert (turned.asset_from_world[:3, :3] == turn @ asset.asset_from_world[:3, :3]).all()


def test_cameras_askew_turn_nothing() -> None:
    c, s = np.cos(0.7), np.sin(0.7)
    askew = np.array([[1, 0, 0, 0], [0, c, -s, 0], [0, s, c, 0], [0, 0, 0, 1.0]])
    posed = captures.cameras(askew)
    assert up_axis(posed) is None
    asset = shapes.box_asset()
    assert upright(asset, posed, up="auto") is asset
    with pytest.raises(InputError, match="unknown up"):
        upright(asset, posed, up="w")


@pytest.mark.parametrize(
    ("text", "axis", "metres"),
    [("height=9cm", 1, 0.09), ("longest = 120 mm", None, 0.12), ("WIDTH=2", 0, 2.0)],
)
def test_sizes(text: str, axis: int | None, metres: float) -> None:
    assert parse_size(text) == (axis, pytest.approx(metres))
    asset = shapes.box_asset()
    extent = np.ptp(asset.vertices, axis=0)
    longest = true_scale(asset, scale=1.0, size=text, unit=None)
    got = extent.max() if axis is None else extent[axis]
    assert longest / extent.max() * got == pytest.approx(metres, rel=1e-6)


def test_the_unit_keeps_the_true_size() -> None:
    asset = shapes.box_asset()
    extent = float(np.ptp(asset.vertices, axis=0).max())
    assert true_scale(asset, scale=1.0, size=None, unit="mm") == pytest.approx(extent / 1000)
    with pytest.raises(InputError, match="one of them"):
        true_scale(asset, scale=1.0, size="height=1m", unit="mm")
    assert in_given_world(asset, 1.0) is asset


@pytest.mark.parametrize("size", ["9cm", "height=-1m", "height=0", "tall=9cm", "height=9ft", ""])
def test_a_size_that_is_none_is_refused_before_the_work(
    in_process: Callable, tmp_path: Path, size: str
) -> None:
    done = in_process("reconstruct", str(tmp_path), "--size", size)
    assert done.returncode == 2 and "height=9cm" in done.stderr


def test_tiny_and_lying_views_give_an_upright_asset(in_process: Callable, tmp_path: Path) -> None:
    """A box of a millimetre in Blender's axes: one coarse fit, three deliveries."""
    views = captures.nerfstudio(tmp_path / "views", posed=captures.cameras(captures.Z_UP, 0.001))
    sets = ["radiance.grid=40", "radiance.density_steps=0", "surface.target_faces=600"]
    flags = [part for one in (*sets, "asset.texture_resolution=64") for part in ("--set", one)]
    flags += ["--preset", "draft", "--cache-dir", str(tmp_path / "cache"), "-q", "--json"]

    def extent(name: str, *more: str) -> tuple[np.ndarray, dict]:
        done = in_process("reconstruct", str(views), *flags, *more, "-o", str(tmp_path / name))
        assert done.returncode == 0, done.stderr
        mesh = load_surface(tmp_path / name / "views" / "mesh.glb")
        return np.ptp(mesh.vertices, axis=0), json.loads(done.stdout)

    truth = np.ptp(captures.box()[0], axis=0)
    got, report = extent("asset")
    assert got[1] == pytest.approx(1, abs=1e-5)
    assert got / got[1] == pytest.approx(truth / truth[1], abs=0.1)
    scale = np.cbrt(np.linalg.det(np.array(report["asset_from_world"])[:3, :3]))
    assert scale == pytest.approx(1000 / truth[1], rel=0.1)
    got, report = extent("world", "--frame", "world")
    assert got == pytest.approx(0.001 * truth[[0, 2, 1]], rel=0.1)
    assert np.allclose(report["asset_from_world"], np.eye(4))
    got, _ = extent("true", "--unit", "m", "--up", "y")
    assert got == pytest.approx(0.001 * truth[[0, 2, 1]], rel=0.1)
