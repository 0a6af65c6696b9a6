"""What an engine-ready folder must hold, measured on its files by other code than wrote them.

Files are taken apart by hand and measured by trimesh; nothing is believed of ``report.json`` but
the stated errors, which are measured anew.
"""

from __future__ import annotations

import json
import os
import shutil
import struct
import subprocess
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import trimesh
from numpy.typing import NDArray
from PIL import Image

from img2mesh.geometry.raycast import Scene

#: Share that a face budget may be missed by, of the atlas that may overlap, of the surface that the
#: hulls must hold, and of the diagonal that it may stick out of them.
BUDGET, OVERLAP, HELD, SLACK = 0.01, 0.005, 0.99, 0.02
#: Hulls count as convex where no corner sticks out of a face's plane by more of their size.
CONVEX = 1e-5

_SAMPLES = 100_000
_SIDE = 2048  # texels that overlaps are counted on
_WIDTH = {"VEC2": 2, "VEC3": 3, "VEC4": 4, "SCALAR": 1}
_DTYPE = {5121: "<u1", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
_VALIDATOR = """
const validator = require('gltf-validator');
validator.validateBytes(new Uint8Array(require('fs').readFileSync(0)), {maxIssues: 20})
  .then(report => console.log(JSON.stringify(report)));
"""


class Glb:
    """A GLB taken apart by hand."""

    def __init__(self, path: Path) -> None:
        data = path.read_bytes()
        (length,) = struct.unpack_from("<I", data, 12)
        self.document: dict[str, Any] = json.loads(data[20 : 20 + length])
        self.block = data[28 + length :]

    def accessor(self, index: int) -> NDArray[Any]:
        entry = self.document["accessors"][index]
        view = self.document["bufferViews"][entry["bufferView"]]
        flat = np.frombuffer(
            self.block,
            _DTYPE[entry["componentType"]],
            entry["count"] * _WIDTH[entry["type"]],
            view.get("byteOffset", 0) + entry.get("byteOffset", 0),
        )
        return flat.reshape(entry["count"], -1)

    def attribute(self, name: str, mesh: int = 0) -> NDArray[Any] | None:
        (primitive,) = self.document["meshes"][mesh]["primitives"]
        index = primitive["attributes"].get(name)
        return None if index is None else self.accessor(index).astype(np.float64)

    def faces(self, mesh: int = 0) -> NDArray[np.int64]:
        (primitive,) = self.document["meshes"][mesh]["primitives"]
        return self.accessor(primitive["indices"]).reshape(-1, 3).astype(np.int64)

    def picture(self, slot: str) -> bytes | None:
        """The bytes of a material's picture (``normalTexture`` and so on)."""
        material = self.document["materials"][0]
        entry = material.get(slot) or material["pbrMetallicRoughness"].get(slot)
        if entry is None:
            return None
        image = self.document["images"][self.document["textures"][entry["index"]]["source"]]
        view = self.document["bufferViews"][image["bufferView"]]
        start = view.get("byteOffset", 0)
        return self.block[start : start + view["byteLength"]]


def check_mesh(path: Path, target: int) -> dict[str, Any]:
    """One textured GLB: its budget, its atlas, its maps."""
    glb = Glb(path)
    faces, uv = glb.faces(), glb.attribute("TEXCOORD_0")
    assert uv is not None
    found: dict[str, Any] = {
        "file": path.name,
        "name": glb.document["nodes"][0]["name"],
        "faces": len(faces),
        "target": target,
        "overlap": overlap(uv, faces),
        "uv_inside": bool(uv.min() >= 0 and uv.max() <= 1),
    }
    normal, tangent = glb.attribute("NORMAL"), glb.attribute("TANGENT")
    picture = glb.picture("normalTexture")
    if normal is None or tangent is None or picture is None:
        found["normal_map"] = "missing"
    else:
        found["normal_map"] = _normal_map(picture, normal, tangent)
    found["orm"] = _orm(glb)
    sound = abs(len(faces) - target) <= BUDGET * target and found["uv_inside"]
    found["ok"] = (
        sound
        and found["overlap"] <= OVERLAP
        and found["normal_map"] == "present"
        and found["orm"] == "packed"
    )
    return found


def _normal_map(picture: bytes, normal: NDArray[Any], tangent: NDArray[Any]) -> str:
    """``present``, or what is wrong with the map and its tangents."""
    local = np.asarray(Image.open(BytesIO(picture)).convert("RGB"), np.float64) / 127.5 - 1
    length = np.linalg.norm(local, axis=2)
    if np.abs(length - 1).max() > 0.02:  # 8 bits round by 0.4 % an axis
        return "not unit vectors"
    if local[..., 2].min() < 0:
        return "points into the surface"
    if local[..., :2].std(axis=(0, 1)).max() < 0.005:
        return "flat"
    if np.abs(np.linalg.norm(tangent[:, :3], axis=1) - 1).max() > 1e-3:
        return "tangents not unit"
    if set(np.unique(tangent[:, 3])) - {-1.0, 1.0}:
        return "tangents without a side"
    if np.abs((normal * tangent[:, :3]).sum(axis=1)).max() > 0.01:
        return "tangents off the surface"
    return "present"


def _orm(glb: Glb) -> str:
    """``packed``: occlusion, roughness and metalness come from one picture."""
    both = [glb.picture(slot) for slot in ("occlusionTexture", "metallicRoughnessTexture")]
    if both[0] is None or both[1] is None:
        return "missing"
    return "packed" if both[0] == both[1] else "apart"


def overlap(uv: NDArray[Any], faces: NDArray[Any]) -> float:
    """Texel centres inside more than one triangle, as a share of those inside any."""
    layers = np.zeros((_SIDE, _SIDE), np.uint8)
    for a, b, c in uv[faces] * _SIDE - 0.5:
        low = np.maximum(np.ceil(np.min([a, b, c], axis=0)), 0).astype(int)
        high = np.minimum(np.floor(np.max([a, b, c], axis=0)), _SIDE - 1).astype(int)
        if (high < low).any():
            continue
        x, y = np.meshgrid(np.arange(low[0], high[0] + 1), np.arange(low[1], high[1] + 1))
        sides = [
            (q[0] - p[0]) * (y - p[1]) - (q[1] - p[1]) * (x - p[0])
            for p, q in ((a, b), (b, c), (c, a))
        ]
        # Strictly inside: a centre on the edge between two faces belongs to neither.
        inside = np.all([s > 1e-9 for s in sides], axis=0) | np.all(
            [s < -1e-9 for s in sides], axis=0
        )
        layers[low[1] : high[1] + 1, low[0] : high[0] + 1] += inside
    return float((layers > 1).sum() / max(int((layers > 0).sum()), 1))


def check_lods(folder: Path, report: dict[str, Any], count: int, target: int) -> dict[str, Any]:
    """Every level: its own budget, the same pictures, an error that is stated, true and growing."""
    full = Glb(folder / "mesh.glb")
    body = trimesh.Trimesh(full.attribute("POSITION"), full.faces(), process=False)
    diagonal = float(np.linalg.norm(body.extents))
    stated = report.get("lods", [])
    levels: list[dict[str, Any]] = []
    for number in range(1, count + 1):
        path = folder / f"mesh_lod{number}.glb"
        if not path.exists() or len(stated) < number:
            return {"levels": levels, "ok": False, "reason": f"{path.name} is missing"}
        level = check_mesh(path, round(target * 0.5**number))
        glb = Glb(path)
        coarse = trimesh.Trimesh(glb.attribute("POSITION"), glb.faces(), process=False)
        apart = np.concatenate([_apart(body, coarse), _apart(coarse, body)]) / diagonal * 100
        level["stated"] = {k: stated[number - 1][k] for k in ("error_mean", "error_max")}
        level["measured"] = {"error_mean": float(apart.mean()), "error_max": float(apart.max())}
        level["textures_shared"] = all(
            glb.picture(slot) == full.picture(slot)
            for slot in ("baseColorTexture", "normalTexture", "occlusionTexture")
        )
        joined = coarse.copy()
        joined.merge_vertices(merge_tex=True, merge_norm=True)
        level["watertight"] = bool(joined.is_watertight)
        levels.append(level)
    errors = [[level["stated"][k] for level in levels] for k in ("error_mean", "error_max")]
    monotone = all(a <= b for chain in errors for a, b in pairwise(chain))
    # Stated from other samples: what is stated must not be much below what is found here.
    true = all(
        level["measured"][k] <= 1.05 * level["stated"][k] + 0.005
        for level in levels
        for k in ("error_mean", "error_max")
    )
    return {
        "levels": levels,
        "monotone": monotone,
        "errors_true": true,
        "ok": monotone
        and true
        and all(level["ok"] and level["textures_shared"] for level in levels),
    }


def _apart(one: trimesh.Trimesh, other: trimesh.Trimesh) -> NDArray[np.float64]:
    points = _samples(one)
    nearest, _ = Scene(np.asarray(other.vertices), np.asarray(other.faces)).closest(points)
    return np.asarray(np.linalg.norm(nearest - points, axis=1))


def _samples(body: trimesh.Trimesh) -> NDArray[np.float64]:
    points, _ = trimesh.sample.sample_surface(body, _SAMPLES, seed=11)
    return np.asarray(points, np.float64)


def check_hulls(folder: Path, hulls: int, vertices: int) -> dict[str, Any]:
    """The collision file: convex closed bodies within their limits that hold the surface."""
    full, glb = Glb(folder / "mesh.glb"), Glb(folder / "mesh_collision.glb")
    body = trimesh.Trimesh(full.attribute("POSITION"), full.faces(), process=False)
    points, slack = _samples(body), SLACK * float(np.linalg.norm(body.extents))
    apart = np.full(len(points), np.inf)
    convex, corners, volume = True, 0, 0.0
    for number in range(len(glb.document["meshes"])):
        place, faces = glb.attribute("POSITION", number), glb.faces(number)
        assert place is not None
        hull = trimesh.Trimesh(place, faces, process=False)
        beyond = (
            place @ hull.face_normals.T - (hull.triangles[:, 0] * hull.face_normals).sum(1)
        ).max()
        convex &= bool(hull.is_watertight and beyond <= CONVEX * np.linalg.norm(hull.extents))
        corners, volume = max(corners, len(place)), volume + float(hull.volume)
        scene = Scene(place, faces)
        away = np.linalg.norm(scene.closest(points)[0] - points, axis=1)
        apart = np.minimum(apart, np.where(scene.inside(points), 0, away))
    count = len(glb.document["meshes"])
    solid = body.copy()
    solid.merge_vertices(merge_tex=True, merge_norm=True)
    held = float((apart <= slack).mean())
    return {
        "hulls": count,
        "vertices_max": corners,
        "convex": convex,
        "held": held,
        "inside": float((apart == 0).mean()),
        "volume_ratio": volume / float(solid.volume),
        "ok": convex and held >= HELD and count <= hulls and corners <= vertices,
    }


def validate(folder: Path, modules: Path | None) -> dict[str, Any] | None:
    """What the Khronos validator says of every GLB; None without it or without Node.js."""
    if modules is None or not (modules / "gltf-validator").is_dir() or not shutil.which("node"):
        return None
    issues = {}
    for path in sorted(folder.glob("*.glb")):
        answer = subprocess.run(
            ["node", "-e", _VALIDATOR],
            input=path.read_bytes(),
            capture_output=True,
            check=True,
            env={**os.environ, "NODE_PATH": str(modules)},
        )
        found = json.loads(answer.stdout)["issues"]
        issues[path.name] = [found["numErrors"], found["numWarnings"]]
    return {"issues": issues, "ok": all(v == [0, 0] for v in issues.values())}
