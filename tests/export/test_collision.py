"""Collision hulls: convex, few, small, and holding the body they stand in for."""

from __future__ import annotations

import struct
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import trimesh

from img2mesh.artifacts import TexturedMesh
from img2mesh.errors import InputError, MissingExtraError
from img2mesh.export.collision import TOLERANCE, collision_glb, collision_hulls, reduced
from img2mesh.geometry.raycast import Scene
from img2mesh.io.glb_container import array, unpack


def plain(body: trimesh.Trimesh) -> TexturedMesh:
    count = len(body.vertices)
    return TexturedMesh(
        body.vertices,
        body.faces,
        np.zeros((count, 2)),
        body.vertex_normals,
        np.zeros((8, 8, 3), np.uint8),
        np.zeros((8, 8), np.uint8),
        np.arange(count),
    )


@cache
def hook() -> TexturedMesh:
    """A block with a deep notch in its top."""
    block = trimesh.creation.box((1.0, 1.0, 0.4))
    notch = trimesh.creation.box((0.4, 0.8, 1.0))
    notch.apply_translation((0, 0.4, 0))
    return plain(trimesh.boolean.difference([block, notch], engine="manifold").subdivide())


@cache
def hulls_of_hook(hulls: int, vertices: int):
    return collision_hulls(hook(), hulls=hulls, vertices=vertices)


@pytest.mark.parametrize(("hulls", "vertices"), [(8, 16), (4, 8)])
def test_hulls_are_convex_within_their_limits_and_hold_the_surface(hulls, vertices) -> None:
    found, stated = hulls_of_hook(hulls, vertices)
    assert 1 < len(found) <= hulls
    bodies = []
    for hull in found:
        body = trimesh.Trimesh(hull.vertices, hull.faces, process=False)
        assert len(hull.vertices) <= vertices
        assert body.is_watertight and body.is_convex and body.volume > 0
        bodies.append(body)
    points, _ = trimesh.sample.sample_surface(
        trimesh.Trimesh(hook().vertices, hook().faces), 3000, seed=5
    )
    diagonal = np.linalg.norm(np.ptp(hook().vertices, axis=0))
    apart = np.full(len(points), np.inf)
    for hull in found:
        scene = Scene(hull.vertices, hull.faces)
        away = np.linalg.norm(scene.closest(points)[0] - points, axis=1)
        apart = np.minimum(apart, np.where(scene.inside(points), 0, away))
    assert (apart <= TOLERANCE * diagonal).mean() >= 0.99
    assert stated >= 0.99
    assert list(map(abs, (b.volume for b in bodies))) == sorted(
        (b.volume for b in bodies), reverse=True
    )


def test_the_notch_stays_open() -> None:
    found, _ = hulls_of_hook(8, 16)
    for hull in found:
        assert not Scene(hull.vertices, hull.faces).inside(np.array([[0, 0.3, 0]])).any()


def test_the_same_mesh_gives_the_same_hulls() -> None:
    again, _ = collision_hulls(hook(), hulls=8, vertices=16)
    assert collision_glb(again, "x") == collision_glb(hulls_of_hook(8, 16)[0], "x")


def test_a_body_far_from_the_origin_and_small_is_cut_alike() -> None:
    body = trimesh.Trimesh(hook().vertices * 0.01 + [30, 0, 0], hook().faces, process=False)
    found, stated = collision_hulls(plain(body), hulls=8, vertices=16)
    assert stated >= 0.99 and len(found) > 1


def test_fewer_corners_keep_the_volume() -> None:
    ball = trimesh.creation.icosphere(2)
    few = reduced(ball.vertices, 24)
    assert len(few) == 24
    assert trimesh.PointCloud(few).convex_hull.volume == pytest.approx(ball.volume, rel=1e-6)


def test_the_file_names_hulls_as_engines_read_them() -> None:
    found, _ = hulls_of_hook(8, 16)
    data = collision_glb(found, "old chair")
    document, block = unpack(data)
    assert [node["name"] for node in document["nodes"]][:2] == [
        "UCX_old chair_00",
        "UCX_old chair_01",
    ]
    assert len(document["scenes"][0]["nodes"]) == len(found)
    for mesh, hull in zip(document["meshes"], found, strict=True):
        (primitive,) = mesh["primitives"]
        np.testing.assert_array_equal(
            array(document, block, primitive["attributes"]["POSITION"]), hull.vertices
        )
    assert struct.unpack_from("<I", data, 8)[0] == len(data)


@pytest.mark.parametrize(("hulls", "vertices"), [(0, 32), (300, 32), (8, 3), (8, 1000)])
def test_limits_out_of_range_are_refused(hulls: int, vertices: int) -> None:
    with pytest.raises(InputError, match=r"collision hull.* got"):
        collision_hulls(hook(), hulls=hulls, vertices=vertices)


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "coacd", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'img2mesh\[collision\]'"):
        collision_hulls(hook(), hulls=4, vertices=32)


def test_hulls_come_first_in_a_process(tmp_path: Path) -> None:
    """What coacd loads must not keep open3d from loading: in a process that did nothing before."""
    np.savez(tmp_path / "hook.npz", vertices=hook().vertices, faces=hook().faces)
    program = f"""
import numpy as np
from img2mesh.artifacts import TexturedMesh
from img2mesh.export.collision import collision_hulls
body = np.load({str(tmp_path / "hook.npz")!r})
count, blank = len(body["vertices"]), np.zeros((8, 8, 3), np.uint8)
asset = TexturedMesh(body["vertices"], body["faces"], np.zeros((count, 2)),
                     np.tile([0, 1, 0], (count, 1)), blank, blank[..., 0], np.arange(count))
print(len(collision_hulls(asset, hulls=4, vertices=8)[0]))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(len(hulls_of_hook(4, 8)[0]))
