"""The files of an engine-ready asset: one name, one set of pictures, stated errors, one archive."""

from __future__ import annotations

import shutil
import struct
import zipfile
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest

from img2mesh.artifacts import Mesh
from img2mesh.artifacts.asset_files import load_glb
from img2mesh.artifacts.game import GameParts, Lod
from img2mesh.errors import Img2MeshError, InputError
from img2mesh.io.glb_container import unpack, view_bytes
from img2mesh.io.ktx2 import ktx2_bytes
from img2mesh.jobs.mesh_files import mesh_files, parts_report, write_archive
from img2mesh.jobs.request import OutputOptions
from tests.khronos import node_modules, validate
from tests.shapes import grid_asset


def asset_and_parts() -> tuple[object, GameParts]:
    asset = grid_asset(8)
    tangents = np.tile(np.float32([1, 0, 0, -1]), (len(asset.vertices), 1))
    flat = np.full_like(asset.texture, (128, 128, 255))
    orm = np.full_like(asset.texture, (255, 200, 0))
    lods = (
        Lod(asset.faces[::2], len(asset.faces) // 2, 0.5, 1.5),
        Lod(asset.faces[::4], len(asset.faces) // 4, 1.0, 2.0),
    )
    corners = np.float32([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]])
    hull = Mesh(corners, np.int32([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]]))
    return asset, GameParts(flat, orm, tangents, lods, (hull,), 1.0)


def made(name: str = "old chair", **wanted: object) -> dict[str, bytes]:
    asset, parts = asset_and_parts()
    return mesh_files(None, lambda: asset, parts, name, OutputOptions(**wanted))


def test_every_file_is_called_after_the_object() -> None:
    names = {file: unpack(data)[0]["nodes"][0]["name"] for file, data in made().items()}
    assert names == {
        "mesh.glb": "old chair",
        "mesh_lod1.glb": "old chair_LOD1",
        "mesh_lod2.glb": "old chair_LOD2",
        "mesh_collision.glb": "UCX_old chair_00",
    }


@pytest.mark.parametrize("texture", ["png", "jpeg", "webp"])
def test_levels_wear_the_pictures_of_the_mesh(texture: str) -> None:
    files = made(texture_format=texture)

    def pictures(data: bytes) -> list[tuple[str, bytes]]:
        document, block = unpack(data)
        return [
            (image["mimeType"], view_bytes(document, block, image["bufferView"]))
            for image in document["images"]
        ]

    first = pictures(files["mesh.glb"])
    # Directions are never stored with loss: in JPEG's place stands PNG.
    kinds = {"jpeg": ["jpeg", "png", "jpeg"]}.get(texture, [texture] * 3)
    assert [kind for kind, _ in first] == [f"image/{kind}" for kind in kinds]
    for number in (1, 2):
        assert pictures(files[f"mesh_lod{number}.glb"]) == first
    assert np.array_equal(load_glb(files["mesh.glb"]).normal_map, asset_and_parts()[1].normal_map)


def test_a_level_states_its_budget_and_error_in_its_file_and_in_the_report() -> None:
    asset, parts = asset_and_parts()
    report = parts_report(parts, asset)
    diagonal = np.linalg.norm(np.ptp(asset.vertices, axis=0))
    for entry, percent in zip(report["lods"], (1.5, 2.0), strict=True):
        assert entry["error_max"] == percent
        assert entry["error_metres"] == pytest.approx(diagonal * percent / 100, abs=1e-6)
        node = unpack(made()[entry["file"]])[0]["nodes"][0]
        assert node["extras"] == {k: v for k, v in entry.items() if k != "file"}
        assert len(load_glb(made()[entry["file"]]).faces) == entry["faces"]
    assert report["collision"]["hulls"] == 1


def test_compressed_files_lie_beside_the_plain_ones() -> None:
    pytest.importorskip("meshoptimizer")
    plain, both = made(), made(compress="meshopt")
    assert {name: both[name] for name in plain} == plain
    assert set(both) - set(plain) == {
        "mesh_meshopt.glb", "mesh_lod1_meshopt.glb", "mesh_lod2_meshopt.glb"
    }  # fmt: skip


def test_without_parts_the_stored_file_is_the_deliverable() -> None:
    stored = made("x")["mesh.glb"]

    def never() -> None:
        raise AssertionError("read although the file is at hand")

    files = mesh_files(stored, never, GameParts(), "vase", OutputOptions())
    assert list(files) == ["mesh.glb"]
    assert load_glb(files["mesh.glb"]).name == "vase"


def test_the_archive_is_the_same_every_time_and_holds_what_it_is_given(tmp_path: Path) -> None:
    for name, data in made().items():
        (tmp_path / name).write_bytes(data)
    files = sorted(tmp_path.glob("*.glb"))
    packed = []
    for order in (files, files[::-1]):
        write_archive(tmp_path / "asset.zip", order, "old chair")
        packed.append((tmp_path / "asset.zip").read_bytes())
    assert packed[0] == packed[1]
    with zipfile.ZipFile(BytesIO(packed[0])) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == [f"old chair/{file.name}" for file in files]
        assert archive.read("old chair/mesh.glb") == (tmp_path / "mesh.glb").read_bytes()


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ({"texture_format": "tga"}, "tga.*png, jpeg, webp, ktx2"),
        ({"compress": "draco"}, "draco.*meshopt"),
        ({"mesh_formats": ("glb", "fbx")}, "fbx.*glb, gltf, obj"),
    ],
)
def test_what_there_is_not_is_refused_by_name(wanted: dict[str, object], words: str) -> None:
    with pytest.raises(InputError, match=words):
        OutputOptions(**wanted)


def test_ktx2_without_its_program_is_refused_at_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match="basisu on the PATH"):
        OutputOptions(texture_format="ktx2")


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A program called basisu that writes its arguments instead of a texture."""
    program = tmp_path / "basisu"
    program.write_text('#!/bin/sh\nfor last; do :; done\necho "$@" >"$last"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    ktx2_bytes.cache_clear()
    return program


def test_ktx2_says_of_every_picture_what_it_holds(stand_in: Path) -> None:
    document, block = unpack(made(texture_format="ktx2")["mesh_lod1.glb"])
    assert document["extensionsRequired"] == document["extensionsUsed"] == ["KHR_texture_basisu"]
    orders = []
    for texture, image in zip(document["textures"], document["images"], strict=True):
        assert "source" not in texture and image["mimeType"] == "image/ktx2"
        assert texture["extensions"]["KHR_texture_basisu"]["source"] == len(orders)
        orders.append(view_bytes(document, block, image["bufferView"]).decode().split())
    colour, normal, orm = orders
    assert "-uastc" not in colour and "-linear" not in colour
    assert "-uastc" in normal and "-linear" in normal
    assert "-uastc" not in orm and "-linear" in orm


def test_a_failing_ktx2_program_is_quoted(stand_in: Path) -> None:
    stand_in.write_text("#!/bin/sh\necho out of ideas\nexit 3\n")
    with pytest.raises(Img2MeshError, match="out of ideas"):
        made(texture_format="ktx2")


@pytest.mark.skipif(shutil.which("basisu") is None, reason="needs the program basisu")
def test_real_ktx2_textures_are_as_the_extension_wants_them() -> None:
    """Magic, size, levels, and the transfer function in the data format descriptor."""
    document, block = unpack(made(texture_format="ktx2")["mesh.glb"])
    for image, transfer in zip(document["images"], (2, 1, 1), strict=True):  # sRGB, linear
        data = view_bytes(document, block, image["bufferView"])
        assert data[:12] == b"\xabKTX 20\xbb\r\n\x1a\n"
        _, _, width, height, _, _, _, levels = struct.unpack_from("<8I", data, 12)
        assert (width, height, levels) == (64, 64, 7)
        (start,) = struct.unpack_from("<I", data, 48)
        assert data[start + 4 + 10] == transfer


@pytest.mark.skipif(node_modules() is None, reason="needs Node.js and make setup")
@pytest.mark.parametrize("texture", ["png", "jpeg", "webp"])
def test_the_khronos_validator_finds_nothing(texture: str) -> None:
    pytest.importorskip("meshoptimizer")
    modules = node_modules()
    assert modules is not None
    for name, data in made(texture_format=texture, compress="meshopt").items():
        issues = validate(data, modules)["issues"]
        assert (issues["numErrors"], issues["numWarnings"]) == (0, 0), (name, issues["messages"])


def test_other_formats_wear_the_maps(tmp_path: Path) -> None:
    asset, parts = asset_and_parts()
    replace(parts.with_maps(asset), name="chair").save(tmp_path / "mesh.obj")
    material = (tmp_path / "mesh.mtl").read_text()
    assert "mesh_normal.png" in material and (tmp_path / "mesh_normal.png").exists()
