"""Mesh files: what is written can be read back by others, agrees, and never half exists."""

from __future__ import annotations

import errno
import io
import json
import struct
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import trimesh
from PIL import Image

from img2mesh.artifacts import TexturedMesh
from img2mesh.artifacts.asset_files import load_asset, load_glb, save_asset
from img2mesh.errors import Img2MeshError, InputError
from img2mesh.geometry.mesh import same_position
from img2mesh.imaging.lookup import texture_at
from img2mesh.io import glb_container
from img2mesh.io.glb_container import renamed
from img2mesh.io.gltf import glb_bytes
from img2mesh.io.meshes import FORMATS, save_mesh, vertex_colours
from img2mesh.io.usdz import write_usdz
from tests.khronos import node_modules, validate
from tests.shapes import COLOURS, NAMES, box_asset, grid_asset

ARRAYS = ("vertices", "faces", "uv", "normals", "texture", "source_vertex")


def merged(mesh: trimesh.Trimesh) -> trimesh.Trimesh:
    mesh = mesh.copy()
    mesh.merge_vertices(merge_tex=True, merge_norm=True)
    return mesh


def opened(path: Path) -> trimesh.Trimesh:
    return trimesh.load_mesh(path, process=False)


def test_glb_reads_back_bit_for_bit() -> None:
    asset = replace(box_asset(), uv=np.random.default_rng(0).random((24, 2)))
    again = load_glb(glb_bytes(asset))
    for name in ("vertices", "faces", "uv", "normals", "texture"):
        np.testing.assert_array_equal(getattr(again, name), getattr(asset, name))
    assert again.name == asset.name
    assert again.joined.vertices.shape == (8, 3)


def test_equal_assets_are_equal_bytes() -> None:
    assert glb_bytes(box_asset()) == glb_bytes(box_asset())
    assert glb_bytes(load_glb(glb_bytes(box_asset()))) == glb_bytes(box_asset())
    assert glb_bytes(box_asset(name="other")) != glb_bytes(box_asset())


def test_cached_asset_reads_back_exactly(tmp_path: Path) -> None:
    asset = replace(
        box_asset(name="Stühlchen 椅子"),
        asset_from_world=np.diag([0.5, 0.5, 0.5, 1.0]),
        notes=("first", "zweitens"),
    )
    save_asset(tmp_path, asset)
    again = load_asset(tmp_path)
    for name in (*ARRAYS, "coverage", "asset_from_world"):
        np.testing.assert_array_equal(getattr(again, name), getattr(asset, name))
    assert (again.name, again.notes) == (asset.name, asset.notes)
    assert (tmp_path / "asset.glb").read_bytes() == glb_bytes(asset)
    first = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    save_asset(tmp_path, again)
    assert first == {p.name: p.read_bytes() for p in tmp_path.iterdir()}


@pytest.mark.parametrize("suffix", [".glb", ".obj", ".ply", ".stl"])
@pytest.mark.parametrize("stem", ["mesh", "stühlchen 椅子 (2)"])
def test_formats_agree_and_close(tmp_path: Path, suffix: str, stem: str) -> None:
    asset = box_asset((2.0, 1.0, 0.5), centre=(0.3, 0.5, -0.1))
    mesh = opened(save_mesh(asset, tmp_path / f"{stem}{suffix}"))
    np.testing.assert_allclose(mesh.bounds, [[-0.7, 0, -0.35], [1.3, 1, 0.15]], atol=1e-6)
    assert len(mesh.faces) == 12
    assert merged(mesh).is_watertight
    assert mesh.volume == pytest.approx(1.0, rel=1e-5)  # positive: the winding points outwards


@pytest.mark.parametrize("suffix", [".glb", ".obj"])
def test_each_side_keeps_its_colour(tmp_path: Path, suffix: str) -> None:
    """Readers that know nothing of us find the right texel: v is flipped where it must be."""
    mesh = opened(save_mesh(box_asset(), tmp_path / f"a b{suffix}"))
    image = mesh.visual.material
    picture = np.asarray(
        (image.baseColorTexture if suffix == ".glb" else image.image).convert("RGB")
    )
    uv = np.asarray(mesh.visual.uv)[mesh.faces]  # trimesh counts v upwards
    for face, weights in ((i, w) for i in range(12) for w in ((0.1, 0.2, 0.7), (0.6, 0.2, 0.2))):
        u, v = np.array(weights) @ uv[face]
        height, width = picture.shape[:2]
        colour = picture[int((1 - v) * height), int(u * width)]
        side = np.argmax(np.abs(mesh.face_normals[face]))
        sign = np.sign(mesh.face_normals[face][side])
        expected = {(2, 1): 0, (2, -1): 1, (0, 1): 2, (0, -1): 3, (1, 1): 4, (1, -1): 5}
        full = np.array(COLOURS[NAMES[expected[int(side), int(sign)]]])
        # The lower left quarter of every side is half as bright: it pins the orientation.
        point = np.array(weights) @ mesh.triangles[face]
        dark = lower_left(point, int(side), int(sign))
        np.testing.assert_array_equal(colour, full // 2 if dark else full)


def lower_left(point: np.ndarray, axis: int, sign: int) -> bool:
    normal = np.zeros(3)
    normal[axis] = sign
    up = np.array([0.0, 1, 0]) if axis != 1 else np.array([0.0, 0, -sign])
    return bool(point @ up < 0 and point @ np.cross(up, normal) < 0)


def test_ply_carries_the_texture_as_vertex_colours(tmp_path: Path) -> None:
    plain = box_asset()
    asset = replace(plain, texture=np.full_like(plain.texture, (10, 120, 250)))
    mesh = trimesh.load(save_mesh(asset, tmp_path / "mesh.ply"), process=False)
    np.testing.assert_array_equal(mesh.visual.vertex_colors[:, :3], [[10, 120, 250]] * 8)
    assert vertex_colours(box_asset()).std() > 10


def test_usdz_agrees_in_frame_scale_and_texture(tmp_path: Path) -> None:
    pxr = pytest.importorskip("pxr")
    from pxr import Usd, UsdGeom, UsdShade  # type: ignore[import-not-found]

    assert pxr
    asset = box_asset(centre=(0.3, 0.5, -0.1), name="stühlchen 椅子")
    path = save_mesh(asset, tmp_path / "my stühl.usdz")
    stage = Usd.Stage.Open(str(path))
    assert UsdGeom.GetStageUpAxis(stage) == "Y"
    assert UsdGeom.GetStageMetersPerUnit(stage) == 1.0
    prim = stage.GetPrimAtPath("/Asset/Mesh")
    mesh = UsdGeom.Mesh(prim)
    points = np.array(mesh.GetPointsAttr().Get())
    faces = np.array(mesh.GetFaceVertexIndicesAttr().Get()).reshape(-1, 3)
    np.testing.assert_array_equal(points[faces], asset.vertices[asset.faces])
    st = np.array(UsdGeom.PrimvarsAPI(mesh).GetPrimvar("st").Get()).reshape(-1, 3, 2)
    np.testing.assert_allclose(st[..., 1], 1 - asset.uv[asset.faces][..., 1], atol=1e-6)
    material, _ = UsdShade.MaterialBindingAPI(prim).ComputeBoundMaterial()
    shader, *_ = material.ComputeSurfaceSource()
    assert shader.GetIdAttr().Get() == "UsdPreviewSurface"
    with zipfile.ZipFile(path) as package:
        names = package.namelist()
        picture = Image.open(io.BytesIO(package.read("texture.png")))
    assert names[0].endswith(".usdc")
    np.testing.assert_array_equal(np.asarray(picture), asset.texture)
    save_mesh(asset, tmp_path / "again.usdz")
    assert (tmp_path / "again.usdz").read_bytes() == path.read_bytes()


def test_usdz_reports_what_openusd_cannot_write(tmp_path: Path) -> None:
    pytest.importorskip("pxr")
    with pytest.raises(Img2MeshError, match=r"absent.*mesh\.usdz cannot be written"):
        write_usdz(box_asset(), tmp_path / "absent" / "mesh.usdz")


def test_unknown_suffix_lists_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"mesh\.fbx.*\.glb.*\.obj.*\.ply.*\.stl.*\.usdz"):
        save_mesh(box_asset(), tmp_path / "mesh.fbx")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", [s for s in FORMATS if s != ".usdz"])
def test_a_full_disk_leaves_the_old_files(
    tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save_mesh(box_asset(), tmp_path / f"mesh{suffix}")
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    write = Path.write_bytes

    def fails(self: Path, data: bytes) -> int:
        write(self, data[: len(data) // 2])
        if self.suffix == suffix or suffix != ".obj" or self.suffix == ".png":
            raise OSError(errno.ENOSPC, "No space left on device")
        return len(data)

    monkeypatch.setattr(Path, "write_bytes", fails)
    with pytest.raises(Img2MeshError, match="No space left"):
        save_mesh(box_asset(centre=(5, 5, 5)), path)
    assert before == {p.name: p.read_bytes() for p in tmp_path.iterdir()}


def test_a_failing_texture_leaves_the_whole_obj(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The parts of an OBJ change together or not at all."""
    path = save_mesh(box_asset(), tmp_path / "mesh.obj")
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    assert set(before) == {"mesh.obj", "mesh.mtl", "mesh_texture.png"}
    write = Path.write_bytes

    def fails(self: Path, data: bytes) -> int:
        if self.suffix == ".png":
            raise OSError(errno.EIO, "Input/output error")
        return write(self, data)

    monkeypatch.setattr(Path, "write_bytes", fails)
    with pytest.raises(Img2MeshError, match="Input/output"):
        save_mesh(box_asset(centre=(5, 5, 5)), path)
    assert before == {p.name: p.read_bytes() for p in tmp_path.iterdir()}


def test_normals_that_are_no_unit_vectors_are_mended() -> None:
    asset = box_asset()
    normals = asset.normals.copy()
    normals[0], normals[1], normals[2] = (0, 0, 3), (0, 0, 0), (np.nan, 0, 0)
    again = load_glb(glb_bytes(replace(asset, normals=normals)))
    np.testing.assert_allclose(np.linalg.norm(again.normals, axis=1), 1, atol=1e-6)
    np.testing.assert_array_equal(again.normals[0], (0, 0, 1))
    np.testing.assert_array_equal(again.normals[3:], asset.normals[3:])


def test_jpeg_texture_is_smaller_and_close() -> None:
    noisy = box_asset(texture=384)
    rng = np.random.default_rng(1)
    texture = np.clip(noisy.texture + rng.normal(0, 6, noisy.texture.shape), 0, 255)
    asset = replace(noisy, texture=texture.astype(np.uint8))
    small = glb_bytes(asset, texture="jpeg")
    assert len(small) < len(glb_bytes(asset)) / 2
    difference = load_glb(small).texture.astype(int) - asset.texture
    assert np.abs(difference).mean() < 6
    with pytest.raises(InputError, match=r"'bmp'.*png, jpeg, webp"):
        glb_bytes(asset, texture="bmp")


def mapped_asset() -> TexturedMesh:
    """A box with a normal map, an occlusion-roughness-metallic map and tangents."""
    asset = box_asset(texture=64)
    rng = np.random.default_rng(7)
    sideways = np.cross(asset.normals, (0.3, 0.5, 0.8))
    sideways /= np.linalg.norm(sideways, axis=1, keepdims=True)
    sign = np.where(np.arange(len(sideways)) % 8 < 4, 1.0, -1.0)
    return replace(
        asset,
        normal_map=rng.integers(100, 156, (64, 64, 3)).astype(np.uint8),
        orm_map=rng.integers(0, 256, (32, 32, 3)).astype(np.uint8),
        tangents=np.concatenate([sideways, sign[:, None]], axis=1),
    )


@pytest.mark.parametrize("texture", ["png", "jpeg", "webp"])
def test_maps_and_tangents_read_back(texture: str) -> None:
    asset = mapped_asset()
    again = load_glb(glb_bytes(asset, texture=texture))
    np.testing.assert_array_equal(again.tangents, asset.tangents)
    # Directions are never stored with loss, whatever the format of the colours.
    np.testing.assert_array_equal(again.normal_map, asset.normal_map)
    assert again.orm_map is not None and again.orm_map.shape == (32, 32, 3)
    if texture == "png":
        np.testing.assert_array_equal(again.orm_map, asset.orm_map)
        assert glb_bytes(again) == glb_bytes(asset)


def test_a_renamed_file_is_the_file_of_the_renamed_asset() -> None:
    asset = mapped_asset()
    assert renamed(glb_bytes(asset), "stühl\n") == glb_bytes(replace(asset, name="stühl"))


def test_damaged_files_are_refused_in_one_sentence(tmp_path: Path) -> None:
    whole = glb_bytes(box_asset())
    for data in (b"", b"hello", whole[:-10], whole[:40], b"\0" * 100):
        with pytest.raises(InputError, match="not a GLB"):
            load_glb(data)
    with pytest.raises(InputError, match=r"absent\.glb"):
        load_glb(tmp_path / "absent.glb")


def test_bilinear_texture_centres_and_edges() -> None:
    texture = np.array([[[0.0], [10.0]], [[20.0], [30.0]]], np.float32)
    uv = np.array([[0.25, 0.25], [0.75, 0.25], [0.5, 0.5], [0, 0], [1, 1], [0.25, 0.5]], np.float32)
    np.testing.assert_allclose(texture_at(texture, uv)[:, 0], [0, 10, 15, 0, 30, 10])


def test_same_position_joins_only_identical_points() -> None:
    points = np.array([[0, 0, 0], [1, 0, 0], [-0.0, 0, 0], [1, 0, 1e-7]], np.float32)
    np.testing.assert_array_equal(same_position(points), [0, 1, 0, 2])


@pytest.mark.skipif(
    node_modules() is None,
    reason="needs Node.js and `npm install gltf-validator`",
)
@pytest.mark.parametrize(
    "kind", ["box", "named", "large", "jpeg", "bad normals", "maps", "maps as webp"]
)
def test_khronos_validator_has_nothing_to_say(kind: str) -> None:
    texture = 64 if kind != "jpeg" else 256
    asset: TexturedMesh = box_asset(texture=texture)
    if kind == "named":
        asset = replace(asset, name='x"\\ </script>\n椅子 \ud83d')
    if kind == "large":
        asset = grid_asset(260)
        assert len(asset.vertices) > 65535
    if kind == "bad normals":
        asset = replace(asset, normals=asset.normals * 0)
    if kind.startswith("maps"):
        asset = mapped_asset()
    data = glb_bytes(asset, texture=kind.split()[-1] if kind.endswith(("jpeg", "webp")) else "png")
    modules = node_modules()
    assert modules
    report = validate(data, modules)
    issues = report["issues"]
    assert issues["messages"] == []
    assert (issues["numErrors"], issues["numWarnings"], issues["numInfos"]) == (0, 0, 0)
    assert report["info"]["totalTriangleCount"] == len(asset.faces)
    (length,) = struct.unpack_from("<I", data, 12)
    assert json.loads(data[20 : 20 + length])["asset"]["generator"].startswith("img2mesh ")


@pytest.mark.parametrize(("count", "component"), [(65534, 5123), (65535, 5125)])
def test_the_restart_index_of_short_indices_is_never_used(count: int, component: int) -> None:
    block = glb_container.Block()
    block.indices(np.array([[0, 1, count - 1]], np.int32), count)
    assert block.accessors[0]["componentType"] == component
