"""Files for printers and studios: STL and 3MF, glTF with files, textures finer than pictures."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import trimesh

from img2mesh.artifacts import Mesh, TexturedMesh
from img2mesh.artifacts.asset_files import load_glb
from img2mesh.core.rigs import rig
from img2mesh.errors import InputError
from img2mesh.export.printing import printable
from img2mesh.io.gltf import glb_bytes
from img2mesh.jobs.request import output_options
from img2mesh.report.measuring import _too_fine
from tests import shapes
from tests.conftest import FinishedRun

SPACE = "{http://schemas.microsoft.com/3dmanufacturing/core/2015/02}"


def standing(mesh: Mesh, size: float = 0.1) -> TexturedMesh:
    """As an asset: longest side ``size`` metres, on the ground."""
    v = mesh.vertices.astype(np.float64)
    v = v / np.ptp(v, axis=0).max() * size
    return shapes.plain(Mesh((v - [0, v[:, 1].min(), 0]).astype(np.float32), mesh.faces))


def three_mf(path: Path) -> tuple[np.ndarray, np.ndarray]:
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        root = ElementTree.fromstring(archive.read("3D/3dmodel.model"))
    assert root.get("unit") == "millimeter"
    points = [[float(v.attrib[k]) for k in "xyz"] for v in root.iter(f"{SPACE}vertex")]
    corners = [[int(t.attrib[f"v{k}"]) for k in "123"] for t in root.iter(f"{SPACE}triangle")]
    return np.array(points), np.array(corners)


def test_a_photo_becomes_files_for_a_printer(
    finished_run: FinishedRun, tmp_path: Path, command: Callable[..., Any]
) -> None:
    run = finished_run.copy(tmp_path)
    asked = ("--preset", "print", "--format", "gltf,obj", "--scale", "1")
    done = command("run", str(run.photo), *run.flags, *asked)
    assert done.returncode == 0, done.stderr
    folder = run.out / run.photo.stem
    stl = trimesh.load_mesh(folder / "mesh.stl")
    glb = trimesh.load(folder / "mesh.glb", force="mesh")
    # A one-metre object is 1000 long, upright, closed, and stands on the bed.
    np.testing.assert_allclose(
        np.ptp(stl.bounds, axis=0)[:2], 1000 * glb.extents[[0, 2]], rtol=1e-3
    )
    assert 965 <= stl.extents[2] <= 1000.1
    assert stl.bounds[0, 2] == 0
    assert stl.is_watertight
    flat = stl.face_normals[:, 2] < -0.999
    assert stl.area_faces[flat & (stl.triangles[:, :, 2].max(axis=1) == 0)].sum() > 100
    points, corners = three_mf(folder / "mesh.3mf")
    np.testing.assert_allclose(points.max(axis=0), stl.bounds[1], rtol=1e-4)
    assert len(corners) == len(glb.faces)
    report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    assert report["print"]["closed"]
    assert report["print"]["wall_mm"] > 1
    assert any("for printing: " in note for note in report["warnings"])
    # Every other format keeps the frame that all share.
    obj = trimesh.load(folder / "mesh.obj", force="mesh")
    np.testing.assert_allclose(obj.bounds, glb.bounds, atol=1e-6)
    gltf = trimesh.load(folder / "mesh.gltf", force="mesh")
    np.testing.assert_array_equal(gltf.vertices, glb.vertices)


def test_a_plain_stl_says_what_slicers_make_of_it(
    finished_run: FinishedRun, tmp_path: Path, command: Callable[..., Any]
) -> None:
    run = finished_run.copy(tmp_path)
    done = command("run", str(run.photo), *run.flags, "--format", "stl", "--json")
    assert any("--preset print" in note for note in json.loads(done.stdout)["warnings"])


@pytest.mark.parametrize(
    ("body", "cut"),
    [(shapes.ball(), True), (shapes.box(), False), (shapes.bench(), False), (shapes.bowl(), True)],
    ids=["ball", "box", "bench", "bowl"],
)
def test_bases_are_flat_and_bodies_stay_closed(body: Mesh, cut: bool) -> None:
    found = printable(standing(body))
    assert found.closed
    assert (found.cut_mm > 0) == cut
    assert found.cut_mm <= 0.03 * 100
    assert found.base_mm2 > 50
    solid = found.body.to_trimesh()
    assert solid.bounds[0, 2] == 0
    assert solid.volume == pytest.approx(standing(body).joined.to_trimesh().volume * 1e9, rel=0.02)
    np.testing.assert_allclose(solid.bounds[:, :2].sum(axis=0), 0, atol=1e-3)


@pytest.mark.parametrize("wall", [0.4, 2.0, 6.0])
def test_the_thinnest_wall_is_told(wall: float) -> None:
    plate = trimesh.creation.box((0.1, 0.08, wall / 1000))
    found = printable(standing(Mesh(plate.vertices, plate.faces)))
    assert found.wall_mm == pytest.approx(wall, rel=0.05)
    assert any("thinner than" in note for note in found.notes) == (wall < 0.8)


def test_what_lies_below_the_cut_goes() -> None:
    ball = trimesh.creation.icosphere(3, 0.05).apply_translation([0, 0.05, 0])
    crumb = trimesh.creation.icosphere(1, 0.0005).apply_translation([0.08, 0.0005, 0])
    both = trimesh.util.concatenate([ball, crumb])
    found = printable(shapes.plain(Mesh(both.vertices, both.faces)))
    assert len(found.body.faces) == len(ball.faces)


def test_print_refuses_a_world_without_a_ground(toy: Path, command: Callable[..., Any]) -> None:
    done = command("run", str(toy), "--preset", "print", "--frame", "world", "--no-cache")
    assert done.returncode == 2
    assert "leave --frame world out" in done.stderr


def test_fbx_is_told_where_it_comes_from() -> None:
    with pytest.raises(InputError, match=r"Blender makes FBX .* docs/printing\.md"):
        output_options("fbx", False)


@pytest.mark.parametrize("stem", ["mesh", "two words", "stühl"])
def test_gltf_with_files_holds_what_the_glb_holds(tmp_path: Path, stem: str) -> None:
    asset = shapes.box_asset()
    asset = replace(asset, normal_map=np.full((32, 32, 3), 128, np.uint8))
    asset.save(tmp_path / f"{stem}.gltf")
    assert sorted(p.suffix for p in tmp_path.iterdir()) == [".bin", ".gltf", ".png", ".png"]
    read = trimesh.load(tmp_path / f"{stem}.gltf", force="mesh", process=False)
    again = load_glb(glb_bytes(asset))
    np.testing.assert_array_equal(read.vertices, again.vertices)
    picture = np.asarray(read.visual.material.baseColorTexture.convert("RGB"))
    np.testing.assert_array_equal(picture, asset.texture)


@pytest.mark.parametrize(("side", "told"), [(64, False), (512, False), (4096, True), (8192, True)])
def test_a_texture_finer_than_its_pictures_is_told(side: int, told: bool) -> None:
    from types import SimpleNamespace

    asset = shapes.box_asset((1.0, 1.0, 1.0))
    views: Any = SimpleNamespace(
        posed=[SimpleNamespace(camera=c) for c in rig("zero123plus-v1.2").cameras(320)]
    )
    large: Any = SimpleNamespace(
        vertices=asset.vertices, faces=asset.faces, asset_from_world=np.eye(4),
        texture=np.broadcast_to(np.uint8(0), (side, side, 3)),
    )  # fmt: skip
    notes = _too_fine(large, views, SimpleNamespace(uv_utilisation=0.5))  # type: ignore[arg-type]
    assert bool(notes) == told
    assert not told or "--texture-resolution 1024" in notes[0] or "2048" in notes[0]
