"""Blender imports the files with its default settings and finds what was meant."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from img2mesh.core.cameras import Camera
from img2mesh.geometry.raycast import Scene
from img2mesh.imaging.lookup import texture_at
from tests.clients.conftest import CLIENTS, ROOT, Blender, ask
from tests.clients.stated import BLENDER_LACKS, Stated, base_picture, open_rgba, overlap, read

Property = Callable[..., None]

#: Blender stores single precision and turns the axes by a matrix: a few units in the last place.
POSITION = 1e-6
#: Custom normals are kept as two 16-bit angles (Blender's ``lnors_custom_space``). Where the fan
#: that they are measured from is badly shaped, as on one corner of a thousand of coarse levels of
#: detail, they come back 0.2 degrees off.
NORMAL, NORMAL_WORST = 2e-3, 1e-2


def to_gltf(points: np.ndarray) -> np.ndarray:
    """Blender's axes (+z up, front -y) to glTF's (+y up, front +z)."""
    return np.stack([points[..., 0], points[..., 2], -points[..., 1]], axis=-1)


def arrived(blender: Blender, path: Path, note: Property) -> tuple[dict[str, Any], dict[str, Any]]:
    about, arrays = blender.read(path)
    note("client", f"Blender {about['version']}")
    assert about["polygon_sizes"] == [3]
    return about, arrays


def same_surface(stated: Stated, arrays: dict[str, Any], note: Property) -> None:
    """Triangles, places, texture coordinates and normals of ``stated`` in its own order."""
    corners = to_gltf(arrays["corners"]).reshape(-1, 3, 3)
    assert len(corners) == len(stated.corners)
    error = np.abs(corners - stated.corners).max() / stated.extent
    note("largest position error / extent", float(error))
    assert error < POSITION
    points = arrays["corners"]
    bounds = to_gltf(np.stack([points.min(axis=0), points.max(axis=0)]))
    np.testing.assert_allclose(
        np.sort(bounds, axis=0), stated.bounds, atol=POSITION * stated.extent
    )
    if stated.uv is not None:
        uv = arrays["uv"].reshape(-1, 3, 2)
        assert uv.min() >= 0
        assert uv.max() <= 1
        # Blender counts v from the bottom.
        np.testing.assert_allclose(uv[..., 1], 1 - stated.uv[..., 1], atol=1e-6)
        np.testing.assert_allclose(uv[..., 0], stated.uv[..., 0], atol=1e-6)
    if stated.normals is not None:
        normals = to_gltf(arrays["normals"]).reshape(-1, 3, 3)
        # A degenerate triangle's normal is anybody's guess.
        a, b, c = stated.corners.transpose(1, 0, 2).astype(np.float64)
        solid = np.linalg.norm(np.cross(b - a, c - a), axis=1) > 1e-9 * stated.extent**2
        errors = np.linalg.norm(normals - stated.normals, axis=2)[solid]
        note("largest normal error", float(errors.max()))
        assert np.quantile(errors, 0.99) < NORMAL
        assert errors.max() < NORMAL_WORST


def same_picture(about: dict[str, Any], arrays: dict[str, Any], picture: np.ndarray) -> None:
    """One material whose base colour is the picture, byte for byte and as sRGB."""
    (material,) = about["materials"]
    (image,) = material["inputs"]["Base Color"]["images"]
    assert image["colour_space"] == "sRGB"
    assert material["inputs"]["Metallic"]["value"] == 0 or material["inputs"]["Metallic"]["images"]
    np.testing.assert_array_equal(arrays["picture"][..., :3], picture)
    assert (arrays["picture"][..., 3] == 255).all()
    assert about["uv_layers"] == [1] * len(about["objects"])


def test_a_glb_arrives_whole(
    glb: Path, stated: Stated, blender: Blender, record_property: Property
) -> None:
    """GLB: faces, unique positions, bounds, axes, normals, UVs in [0, 1], material, pictures"""
    if missing := stated.required & BLENDER_LACKS:
        pytest.skip(f"Blender's importer does not know {', '.join(sorted(missing))}")
    about, arrays = arrived(blender, glb, record_property)
    same_surface(stated, arrays, record_property)
    assert len(np.unique(arrays["positions"], axis=0)) == stated.unique_positions
    if stated.has("baseColorTexture"):
        assert len(about["objects"]) == 1
        same_picture(about, arrays, base_picture(stated))
    inputs = about["materials"][0]["inputs"] if about["materials"] else {}
    for texture, name in (
        ("normalTexture", "Normal"),
        ("metallicRoughnessTexture", "Roughness"),
        ("metallicRoughnessTexture", "Metallic"),
    ):
        if stated.has(texture):
            (image,) = inputs[name]["images"]
            assert image["colour_space"] == "Non-Color"
            assert min(image["size"]) > 1


def test_every_format_says_the_same(
    sibling: Path, blender: Blender, record_property: Property
) -> None:
    """OBJ and USDZ: the same surface, UVs and picture as the GLB beside them"""
    about, arrays = arrived(blender, sibling, record_property)
    plain = read(sibling.with_name("mesh.glb"))
    same_surface(plain, arrays, record_property)
    assert int(arrays["unique"].sum()) == plain.unique_positions
    # The formats without split vertices are closed as they stand.
    assert len(arrays["positions"]) == plain.unique_positions
    same_picture(about, arrays, base_picture(plain))


def seen_by(camera: Camera, arrays: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Colours (h, w, 3) and mask of the mesh as it stands in Blender, in Blender's world."""
    index = np.arange(len(arrays["corners"]), dtype=np.int32).reshape(-1, 3)
    hits = Scene(arrays["corners"], index).look(camera)
    uv = hits.interpolate(index, arrays["uv"])[hits.mask]
    uv[:, 1] = 1 - uv[:, 1]
    colours = np.zeros((*hits.mask.shape, 3), np.float32)
    colours[hits.mask] = texture_at(arrays["picture"][..., :3], uv) / 255
    return colours, hits.mask


def test_the_front_looks_at_the_viewer(
    folder: Path, blender: Blender, record_property: Property
) -> None:
    """GLB: upright, front towards -y: the camera of the photo, placed there, sees the photo"""
    report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    if not report.get("input_camera"):
        pytest.skip("assets without a photo have no front to compare")
    _, arrays = arrived(blender, folder / "mesh.glb", record_property)
    photo, alpha = open_rgba(folder / "cutout.png")
    lens = report["input_camera"]
    pose = np.array(lens["world_from_camera"])
    pose = np.array([[1, 0, 0, 0], [0, 0, -1, 0], [0, 1, 0, 0], [0, 0, 0, 1]]) @ pose
    assert pose[1, 3] < -abs(pose[0, 3])  # it stands on the side of -y
    assert pose[2, 1] > 0.5  # and its picture's up is +z

    def picture(turn_deg: float) -> tuple[np.ndarray, np.ndarray]:
        c, s = np.cos(np.deg2rad(turn_deg)), np.sin(np.deg2rad(turn_deg))
        turn = np.array([[c, -s, 0, 0], [s, c, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])
        camera = Camera(
            turn @ pose, *(lens[k] for k in ("fx", "fy", "cx", "cy", "width", "height"))
        )
        return seen_by(camera.resized(alpha.shape[1], alpha.shape[0]), arrays)

    def difference(shown: tuple[np.ndarray, np.ndarray]) -> float:
        colours, mask = shown
        return float(np.abs(colours - photo)[mask & (alpha > 0.5)].mean())

    front = picture(0)
    iou = overlap(front[1], alpha)
    record_property("least silhouette IoU with the photo", iou)
    record_property("largest mean colour difference / 255", 255 * difference(front))
    assert iou > 0.9  # how exactly the shape fits the photo is no question of axes
    others = {
        "mirrored": (front[0][:, ::-1], front[1][:, ::-1]),
        "upside down": (front[0][::-1], front[1][::-1]),
        **{f"turned by {a} degrees": picture(a) for a in (90, 180, 270)},
    }
    for name, shown in others.items():
        assert difference(front) < 0.5 * difference(shown), name


def test_the_line_of_the_docs_makes_fbx(
    folder: Path, tmp_path: Path, record_property: Property
) -> None:
    """FBX by the line of docs/printing.md: faces, extents, one material with its picture"""
    page = (ROOT / "docs" / "printing.md").read_text(encoding="utf-8")
    (line,) = re.findall(r"blender -b --python-expr '([^']+)'", page)
    shutil.copy(folder / "mesh.glb", tmp_path)
    back = (
        "import bpy, json; bpy.ops.wm.read_factory_settings(use_empty=True); "
        'bpy.ops.import_scene.fbx(filepath="mesh.fbx"); '
        "(mesh,) = (o for o in bpy.data.objects if o.type == 'MESH'); "
        "print(json.dumps([len(mesh.data.polygons), *mesh.dimensions, "
        "*bpy.data.images[0].size, len(bpy.data.materials)]))"
    )
    program = CLIENTS / "bin" / "python"
    subprocess.run([program, "-c", line], cwd=tmp_path, check=True, capture_output=True)
    faces, width, depth, height, *picture, materials = ask(program, "-c", back, cwd=tmp_path)
    plain = read(folder / "mesh.glb")
    record_property("client", "Blender")
    assert faces == len(plain.corners)
    extent = np.ptp(plain.corners.reshape(-1, 3), axis=0)
    np.testing.assert_allclose([width, height, depth], extent, rtol=1e-3)
    assert picture == list(base_picture(plain).shape[1::-1])
    assert materials == 1
