"""The deliverable on disk: a textured mesh and its game parts, read back exactly.

``asset.glb`` is the deliverable itself; what glTF has no place for lies beside it.
"""

from __future__ import annotations

import io
import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from img2mesh.artifacts.game import GameParts, Lod
from img2mesh.artifacts.shapes import Mesh, TexturedMesh
from img2mesh.core.arrays import U8, UNSEEN
from img2mesh.errors import InputError
from img2mesh.geometry.mesh import same_position
from img2mesh.io.glb_container import array, unpack, view_bytes
from img2mesh.io.gltf import glb_bytes, png_bytes


def save_asset(folder: Path, asset: TexturedMesh) -> None:
    """Write the asset as a folder that :func:`load_asset` reads back exactly.

    ``asset.glb`` is the deliverable itself; beside it ``coverage.png``, ``asset.npz`` and
    ``asset.json`` hold what glTF has no place for.
    """
    (folder / "asset.glb").write_bytes(glb_bytes(asset))
    (folder / "coverage.png").write_bytes(png_bytes(asset.coverage))
    np.savez_compressed(
        folder / "asset.npz",
        source_vertex=asset.source_vertex,
        asset_from_world=asset.asset_from_world,
    )
    about = {"name": asset.name, "notes": list(asset.notes)}
    (folder / "asset.json").write_text(json.dumps(about, sort_keys=True) + "\n", encoding="utf-8")


def load_asset(folder: Path) -> TexturedMesh:
    """Read what :func:`save_asset` wrote.

    Raises:
        OSError, ValueError, InputError: a file is missing or damaged.
    """
    from PIL import Image

    mesh = load_glb(folder / "asset.glb")
    with Image.open(io.BytesIO((folder / "coverage.png").read_bytes())) as image:
        coverage = np.asarray(image)
    about = json.loads((folder / "asset.json").read_text(encoding="utf-8"))
    with np.load(folder / "asset.npz", allow_pickle=False) as rest:
        return TexturedMesh(
            mesh.vertices,
            mesh.faces,
            mesh.uv,
            mesh.normals,
            mesh.texture,
            coverage,
            rest["source_vertex"],
            rest["asset_from_world"],
            name=about["name"],
            notes=tuple(about["notes"]),
        )


def load_glb(source: Path | bytes) -> TexturedMesh:
    """Read a GLB of one textured mesh back, bit for bit where this package wrote it.

    What glTF has no place for is filled in: vertices at the same position are joined in
    ``source_vertex``, the coverage says *unseen*, and the asset's frame counts as the world.

    Raises:
        InputError: unreadable, not a GLB, or not one indexed, textured mesh.
    """
    label = "the GLB" if isinstance(source, bytes) else str(source)
    try:
        data = source if isinstance(source, bytes) else source.read_bytes()
        document, block = unpack(data)
        (mesh,) = document["meshes"]
        (primitive,) = mesh["primitives"]
        attributes = primitive["attributes"]
        material = document["materials"][primitive["material"]]
        shading = material["pbrMetallicRoughness"]

        def picture(slot: dict[str, Any] | None) -> U8 | None:
            if slot is None:
                return None
            entry = document["textures"][slot["index"]]
            entry = entry.get("extensions", {}).get("EXT_texture_webp", entry)
            if "source" not in entry:
                raise ValueError("its textures are KTX 2, which is written but not read here")
            return _decode(
                view_bytes(document, block, document["images"][entry["source"]]["bufferView"])
            )

        def vertex(attribute: str) -> NDArray[Any]:
            return array(document, block, attributes[attribute])

        vertices, texture = vertex("POSITION"), picture(shading["baseColorTexture"])
        assert texture is not None
        return TexturedMesh(
            vertices,
            array(document, block, primitive["indices"]).reshape(-1, 3).astype(np.int32),
            vertex("TEXCOORD_0"),
            vertex("NORMAL"),
            texture,
            np.full(texture.shape[:2], UNSEEN, np.uint8),
            same_position(vertices),
            name=mesh.get("name", "object"),
            normal_map=picture(material.get("normalTexture")),
            orm_map=picture(shading.get("metallicRoughnessTexture")),
            tangents=vertex("TANGENT") if "TANGENT" in attributes else None,
        )
    except (OSError, ValueError, KeyError, IndexError, TypeError, struct.error) as cause:
        raise InputError(
            f"{label} is not a GLB with one indexed, textured mesh ({cause}); "
            "pass a mesh.glb written by img2mesh"
        ) from cause


def _decode(picture: bytes) -> NDArray[np.uint8]:
    from PIL import Image

    with Image.open(io.BytesIO(picture)) as image:
        return np.asarray(image.convert("RGB"))


_MAPS = ("normal_map", "orm_map")


def save_parts(folder: Path, parts: GameParts) -> None:
    """parts.json, and what there is of normal_map.png, orm_map.png and parts.npz."""
    for name in _MAPS:
        if (picture := getattr(parts, name)) is not None:
            (folder / f"{name}.png").write_bytes(png_bytes(picture))
    arrays: dict[str, Any] = {}
    if parts.tangents is not None:
        arrays["tangents"] = parts.tangents
    for k, lod in enumerate(parts.lods):
        arrays[f"lod_{k}"] = lod.faces
    for k, hull in enumerate(parts.hulls):
        arrays[f"hull_{k}_vertices"], arrays[f"hull_{k}_faces"] = hull.vertices, hull.faces
    if arrays:
        np.savez_compressed(folder / "parts.npz", **arrays)
    about = {
        "lods": [[lod.target, lod.error_mean, lod.error_max] for lod in parts.lods],
        "hulls": len(parts.hulls),
        "enclosed": parts.enclosed,
        "notes": list(parts.notes),
    }
    text = json.dumps(about, sort_keys=True, ensure_ascii=False)
    (folder / "parts.json").write_text(text + "\n", encoding="utf-8")


def load_parts(folder: Path) -> GameParts:
    """The inverse of :func:`save_parts`."""
    about = json.loads((folder / "parts.json").read_text(encoding="utf-8"))
    arrays: dict[str, Any] = {}
    if (folder / "parts.npz").exists():
        with np.load(folder / "parts.npz", allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
    normal_map, orm_map = (_picture(folder / f"{name}.png") for name in _MAPS)
    return GameParts(
        normal_map,
        orm_map,
        arrays.get("tangents"),
        tuple(Lod(arrays[f"lod_{k}"], *about["lods"][k]) for k in range(len(about["lods"]))),
        tuple(
            Mesh(arrays[f"hull_{k}_vertices"], arrays[f"hull_{k}_faces"])
            for k in range(about["hulls"])
        ),
        about["enclosed"],
        tuple(about["notes"]),
    )


def _picture(path: Path) -> U8 | None:
    from PIL import Image

    if not path.exists():
        return None
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"))
