"""Picture metrics, and the drawing of a prediction at the reference's cameras."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import trimesh
from PIL import Image

from img2mesh.core.cameras import Camera
from img2mesh.errors import InputError
from img2mesh.evaluation import compare_views
from img2mesh.evaluation.views import draw_unlit
from img2mesh.geometry.raycast import Scene
from img2mesh.imaging.colour import srgb_to_linear
from img2mesh.imaging.metrics import iou, over_white, psnr, ssim
from img2mesh.io.read_mesh import load_surface

SIZE = 64


def _camera(azimuth: float, size: int = SIZE) -> Camera:
    return Camera.orbit(azimuth, 15, distance=4.0, fov_deg=30, width=size, height=size)


def _coloured_box(path: Path, offset: float = 0.0) -> Path:
    """A box whose front half is red and back half blue, sRGB (200, 40, 40) and (40, 40, 200)."""
    box = trimesh.creation.box([1.0, 0.8, 0.6]).subdivide().subdivide()
    box.unmerge_vertices()
    front = box.triangles_center[:, 2] > 0
    encoded = np.where(front[:, None], [200, 40, 40], [40, 40, 200]) / 255
    linear = np.repeat(srgb_to_linear(encoded), 3, axis=0)
    colours = np.concatenate([np.round(linear * 255), np.full((len(linear), 1), 255)], axis=1)
    box.visual = trimesh.visual.ColorVisuals(box, vertex_colors=colours.astype(np.uint8))
    box.apply_translation([offset, 0, 0])
    box.export(path)
    return path


def _reference(folder: Path, mesh: Path) -> Path:
    """Eight unlit pictures of the mesh in the group ``novel``, beside another group."""
    surface = load_surface(mesh)
    scene = Scene(surface.vertices, surface.faces)
    (folder / "novel").mkdir(parents=True)
    records = []
    for i in range(8):
        view = draw_unlit(surface, scene, _camera(45.0 * i))
        rgba = np.concatenate([view.rgb, view.alpha[..., None]], axis=2)
        Image.fromarray((rgba * 255 + 0.5).astype(np.uint8)).save(folder / f"novel/{i}.png")
        assert view.camera is not None
        pose = view.camera.world_from_camera.tolist()
        records.append({"file": f"novel/{i}.png", "fov": 30.0, "transform_matrix": pose})
    content = {"novel": records, "views": records[:4]}
    (folder / "cameras.json").write_text(json.dumps(content))
    return folder


def test_psnr_of_a_known_error() -> None:
    a = np.full((8, 8, 3), 0.5)
    assert np.isclose(psnr(a, a + 0.1), 20.0)
    assert psnr(a, a) == 100.0
    b = a.copy()
    b[0, 0] += 0.1
    mask = np.zeros((8, 8), bool)
    mask[0, 0] = True
    assert np.isclose(psnr(a, b, mask), 20.0)
    assert np.isclose(psnr(a, b), 20.0 + 10 * np.log10(64))
    assert psnr(a, b, ~mask) == 100.0


def test_ssim_falls_with_structure_not_with_equality() -> None:
    rng = np.random.default_rng(0)
    a = rng.random((32, 32, 3))
    assert np.isclose(ssim(a, a), 1.0)
    assert ssim(a, a[::-1]) < 0.2
    assert 0.5 < ssim(a, np.clip(a + rng.normal(0, 0.1, a.shape), 0, 1)) < 0.99


def test_mask_iou() -> None:
    a, b = np.zeros((2, 2), bool), np.zeros((2, 2), bool)
    assert iou(a, b) == 1.0
    a[0] = True
    b[:, 0] = True
    assert np.isclose(iou(a, b), 1 / 3)


def test_over_white_rounds_like_an_eight_bit_file() -> None:
    out = over_white(np.zeros((1, 1, 3)), np.array([[0.25]]))
    assert np.allclose(out * 255, 191)


def test_drawing_shows_the_base_colour_unlit(tmp_path: Path) -> None:
    surface = load_surface(_coloured_box(tmp_path / "box.glb"))
    scene = Scene(surface.vertices, surface.faces)
    front = draw_unlit(surface, scene, _camera(0))
    back = draw_unlit(surface, scene, _camera(180))
    middle = SIZE // 2
    assert np.abs(front.rgb[middle, middle] * 255 - [200, 40, 40]).max() < 4
    assert np.abs(back.rgb[middle, middle] * 255 - [40, 40, 200]).max() < 4
    assert front.alpha[0, 0] == 0 and set(np.unique(front.alpha)) <= {0, 0.25, 0.5, 0.75, 1}


@pytest.mark.parametrize("suffix", ["glb", "obj"])
def test_textures_are_read_the_right_way_up(tmp_path: Path, suffix: str) -> None:
    """A quad facing +z: the texture's top half is green, and so must be the picture's."""
    texture = np.zeros((16, 16, 3), np.uint8)
    texture[:8, :, 1] = 180
    texture[8:, :, 0] = 120
    vertices = np.array([[-0.5, -0.5, 0], [0.5, -0.5, 0], [0.5, 0.5, 0], [-0.5, 0.5, 0]])
    uv = vertices[:, :2] + 0.5
    image = Image.fromarray(texture)
    material = (
        trimesh.visual.material.PBRMaterial(baseColorTexture=image)
        if suffix == "glb"
        else trimesh.visual.material.SimpleMaterial(image=image)
    )
    visual = trimesh.visual.TextureVisuals(uv=uv, material=material)
    quad = trimesh.Trimesh(vertices, [[0, 1, 2], [0, 2, 3]], visual=visual, process=False)
    path = tmp_path / f"quad.{suffix}"
    quad.export(path)
    surface = load_surface(path)
    view = draw_unlit(surface, Scene(surface.vertices, surface.faces), _camera(0))
    rows = np.flatnonzero(view.alpha[:, SIZE // 2] == 1)
    top, bottom = view.rgb[rows[3], SIZE // 2], view.rgb[rows[-4], SIZE // 2]
    assert np.abs(top * 255 - [0, 180, 0]).max() < 2
    assert np.abs(bottom * 255 - [120, 0, 0]).max() < 2


def test_a_mesh_matches_its_own_pictures_and_a_moved_one_does_not(tmp_path: Path) -> None:
    mesh = _coloured_box(tmp_path / "box.glb")
    reference = _reference(tmp_path / "o", mesh)
    good = compare_views(mesh, reference)
    assert good["count"] == 8 and good["mask_iou_worst"] == 1 and good["psnr"] > 45
    moved = compare_views(_coloured_box(tmp_path / "moved.glb", offset=0.1), reference)
    assert moved["psnr_object"] < moved["psnr"] < 25
    assert moved["mask_iou"] < 0.95 and moved["ssim"] < good["ssim"]
    assert compare_views(mesh, reference, group="views")["count"] == 4


def test_folders_of_pictures_compare_pairwise(tmp_path: Path) -> None:
    mesh = _coloured_box(tmp_path / "box.glb")
    reference = _reference(tmp_path / "o", mesh)
    assert compare_views(reference, reference)["psnr"] == 100.0
    other = _reference(tmp_path / "m", _coloured_box(tmp_path / "moved.glb", offset=0.1))
    from_mesh = compare_views(tmp_path / "moved.glb", reference)
    from_files = compare_views(other, reference)
    assert np.isclose(from_mesh["psnr"], from_files["psnr"], atol=0.1)
    with pytest.raises(InputError, match="has 4 pictures of 64x64"):
        compare_views(_four(tmp_path / "f", mesh), reference)


def _four(folder: Path, mesh: Path) -> Path:
    _reference(folder, mesh)
    content = json.loads((folder / "cameras.json").read_text())
    (folder / "cameras.json").write_text(json.dumps({"novel": content["views"]}))
    return folder
