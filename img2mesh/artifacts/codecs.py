"""Artifacts as folders a person can open: PNG, npz, safetensors, GLB and JSON, nothing executable.

One ``save_x(folder, value)`` / ``load_x(folder)`` pair a type, gathered in :data:`CODECS`. What is
stored is what later stages see: the runner reads an artifact back before it hands it on, so a fresh
run and a resumed one compute from the same 8-bit pictures.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from img2mesh.artifacts import (
    Cutout,
    DepthSet,
    Mesh,
    Photo,
    PhotoPose,
    Provenance,
    Quality,
    RadianceField,
    TexturedMesh,
    View,
    ViewSet,
)
from img2mesh.artifacts.asset_files import load_asset, load_parts, save_asset, save_parts
from img2mesh.artifacts.game import GameParts
from img2mesh.core.cameras import Camera
from img2mesh.graph import Codec
from img2mesh.io.files import read_json, write_json


def write_rgba(path: Path, rgb: NDArray[Any], alpha: NDArray[Any]) -> None:
    """Straight-alpha 8-bit PNG of rgb (h, w, 3) and alpha (h, w), both in [0, 1]."""
    pixels = np.concatenate([rgb, alpha[..., None]], axis=2)
    Image.fromarray(np.round(pixels * 255).astype(np.uint8)).save(path, compress_level=3)


def read_rgba(path: Path) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """rgb (h, w, 3) and alpha (h, w) float32 of a PNG :func:`write_rgba` wrote."""
    with Image.open(path) as picture:
        pixels = np.asarray(picture, np.uint8).astype(np.float32) / np.float32(255)
    return pixels[..., :3], pixels[..., 3]


def camera_record(camera: Camera) -> dict[str, Any]:
    """A camera as JSON values (exact: Python writes floats so that they read back equal)."""
    return {
        "world_from_camera": camera.world_from_camera.tolist(),
        "fx": camera.fx,
        "fy": camera.fy,
        "cx": camera.cx,
        "cy": camera.cy,
        "width": camera.width,
        "height": camera.height,
    }


def camera_from_record(record: dict[str, Any]) -> Camera:
    """The inverse of :func:`camera_record`."""
    return Camera(**{**record, "world_from_camera": np.array(record["world_from_camera"])})


def save_photo(folder: Path, value: Photo) -> None:
    """photo.png, mask.png where there is one, and photo.json."""
    bands = (value.rgb,) if value.alpha is None else (value.rgb, value.alpha[..., None])
    Image.fromarray(np.concatenate(bands, axis=2)).save(folder / "photo.png", compress_level=3)
    if value.mask is not None:
        Image.fromarray(value.mask).save(folder / "mask.png", compress_level=3)
    drawn = value.provenance
    meta = {"name": value.name, "notes": list(value.notes), "reduction": value.reduction}
    record = None if drawn is None else _provenance_record(drawn)
    write_json(folder / "photo.json", {**meta, "provenance": record})


def load_photo(folder: Path) -> Photo:
    """The inverse of :func:`save_photo`."""
    meta, mask = read_json(folder / "photo.json"), folder / "mask.png"
    record = meta["provenance"]
    pixels = _pixels(folder / "photo.png")
    return Photo(
        pixels[..., :3],
        pixels[..., 3] if pixels.shape[2] == 4 else None,
        _pixels(mask) if mask.exists() else None,
        meta["name"],
        tuple(meta["notes"]),
        meta["reduction"],
        None if record is None else _provenance_of(record),
    )


def _pixels(path: Path) -> NDArray[np.uint8]:
    with Image.open(path) as picture:
        return np.array(picture, np.uint8)


def save_cutout(folder: Path, value: Cutout) -> None:
    """cutout.png and cutout.json."""
    write_rgba(folder / "cutout.png", value.rgb, value.alpha)
    write_json(
        folder / "cutout.json",
        {
            "photo_from_cutout": value.photo_from_cutout.tolist(),
            "confidence": value.confidence,
            "method": value.method,
            "notes": list(value.notes),
        },
    )


def load_cutout(folder: Path) -> Cutout:
    """The inverse of :func:`save_cutout`."""
    meta = read_json(folder / "cutout.json")
    return Cutout(
        *read_rgba(folder / "cutout.png"),
        photo_from_cutout=np.array(meta["photo_from_cutout"]),
        confidence=meta["confidence"],
        method=meta["method"],
        notes=tuple(meta["notes"]),
    )


def save_views(folder: Path, value: ViewSet) -> None:
    """view_0.png ..., photo.png, views.json (cameras, provenance), geometry.npz."""
    for index, view in enumerate(value.views):
        write_rgba(folder / f"view_{index}.png", view.rgb, view.alpha)
    meta: dict[str, Any] = {
        "cameras": [camera_record(c) for c in value.cameras],
        "provenance": _provenance_record(value.provenance),
    }
    if value.photo is not None:
        write_rgba(folder / "photo.png", value.photo.rgb, value.photo.alpha)
        camera = value.photo.camera
        meta["photo_camera"] = None if camera is None else camera_record(camera)
    if value.photo_pose is not None:
        meta["photo_pose"] = asdict(value.photo_pose)
    if value.unit != 1:
        meta["unit"] = value.unit
    write_json(folder / "views.json", meta)
    arrays: dict[str, Any] = {}
    if value.depth is not None:
        arrays["depth"] = value.depth
    if value.normals is not None:
        # Half precision: 0.03 degrees, far below what the fit can use, at half the bytes.
        arrays["normals"] = value.normals.astype(np.float16)
    if arrays:
        np.savez_compressed(folder / "geometry.npz", **arrays)


def load_views(folder: Path) -> ViewSet:
    """The inverse of :func:`save_views`."""
    meta = read_json(folder / "views.json")
    cameras = tuple(camera_from_record(record) for record in meta["cameras"])
    pictures = [read_rgba(folder / f"view_{index}.png") for index in range(len(cameras))]
    photo = None
    if "photo_camera" in meta:
        record = meta["photo_camera"]
        camera = None if record is None else camera_from_record(record)
        photo = View(*read_rgba(folder / "photo.png"), camera)
    arrays: dict[str, Any] = {}
    if (folder / "geometry.npz").exists():
        with np.load(folder / "geometry.npz", allow_pickle=False) as stored:
            arrays = {name: stored[name].astype(np.float32) for name in stored.files}
    return ViewSet(
        np.stack([rgb for rgb, _ in pictures]),
        np.stack([alpha for _, alpha in pictures]),
        cameras,
        depth=arrays.get("depth"),
        normals=arrays.get("normals"),
        photo=photo,
        provenance=read_provenance(folder),
        photo_pose=PhotoPose(**meta["photo_pose"]) if "photo_pose" in meta else None,
        unit=float(meta.get("unit", 1.0)),
    )


def _provenance_record(value: Provenance) -> dict[str, Any]:
    return {
        "generator": value.generator,
        "learned_weights": value.learned_weights,
        "exact": value.exact,
        "licences": list(value.licences),
        "notes": list(value.notes),
    }


def read_provenance(folder: Path) -> Provenance:
    """Only the provenance of a stored view set: cheap, for reports."""
    return _provenance_of(read_json(folder / "views.json")["provenance"])


def _provenance_of(record: dict[str, Any]) -> Provenance:
    return Provenance(
        **{**record, "licences": tuple(record["licences"]), "notes": tuple(record["notes"])}
    )


def save_depths(folder: Path, value: DepthSet) -> None:
    """depths.npz, depths.json (cameras) and a 16-bit picture a view to look at."""
    np.savez_compressed(folder / "depths.npz", depth=value.depth)
    write_json(folder / "depths.json", {"cameras": [camera_record(c) for c in value.cameras]})
    seen = value.depth[np.isfinite(value.depth)]
    near, far = (seen.min(), seen.max()) if seen.size else (0.0, 1.0)
    for index, depth in enumerate(value.depth):
        # Near is bright, background black: the way depth pictures are usually looked at.
        shade = 1 - 0.9 * (depth - near) / max(far - near, 1e-9)
        pixels = np.where(np.isfinite(depth), shade, 0) * 65535
        Image.fromarray(pixels.astype(np.uint16)).save(folder / f"depth_{index}.png")


def load_depths(folder: Path) -> DepthSet:
    """The inverse of :func:`save_depths`."""
    with np.load(folder / "depths.npz", allow_pickle=False) as stored:
        depth = stored["depth"]
    records = read_json(folder / "depths.json")["cameras"]
    return DepthSet(depth, tuple(camera_from_record(r) for r in records))


def save_field(folder: Path, value: RadianceField) -> None:
    """field.safetensors; the architecture travels in its metadata."""
    from safetensors.numpy import save

    meta = {
        "architecture": "dense-sdf-grid",
        "origin": value.origin.tolist(),
        "voxel": float(value.voxel),
        "sharpness": float(value.sharpness),
        "notes": list(value.notes),
        "parts": value.parts,
    }
    # One metadata entry: safetensors writes several in an order that differs from run to run.
    recipe = {"field": json.dumps(meta, sort_keys=True)}
    data = save({"sdf": np.ascontiguousarray(value.sdf)}, recipe)
    # Not by save_file: its files are readable by nobody else, and caches may be shared.
    (folder / "field.safetensors").write_bytes(data)


def load_field(folder: Path) -> RadianceField:
    """The inverse of :func:`save_field`."""
    from safetensors import safe_open

    with safe_open(folder / "field.safetensors", framework="numpy") as stored:
        meta, sdf = json.loads(stored.metadata()["field"]), stored.get_tensor("sdf")
    return RadianceField(
        sdf,
        np.array(meta["origin"]),
        meta["voxel"],
        meta["sharpness"],
        notes=tuple(meta["notes"]),
        parts=meta["parts"],
    )


def save_plain_mesh(folder: Path, value: Mesh) -> None:
    """mesh.npz and mesh.json."""
    np.savez_compressed(folder / "mesh.npz", vertices=value.vertices, faces=value.faces)
    write_json(folder / "mesh.json", {"notes": list(value.notes)})


def load_plain_mesh(folder: Path) -> Mesh:
    """The inverse of :func:`save_plain_mesh`."""
    with np.load(folder / "mesh.npz", allow_pickle=False) as stored:
        vertices, faces = stored["vertices"], stored["faces"]
    return Mesh(vertices, faces, notes=tuple(read_json(folder / "mesh.json")["notes"]))


def save_quality(folder: Path, value: Quality) -> None:
    """quality.json and preview.png."""
    write_json(folder / "quality.json", value.measures)
    Image.fromarray(value.preview).save(folder / "preview.png", compress_level=6)


def load_quality(folder: Path) -> Quality:
    """The inverse of :func:`save_quality`."""
    with Image.open(folder / "preview.png") as picture:
        preview = np.asarray(picture.convert("RGB"))
    return Quality(read_json(folder / "quality.json"), preview)


#: How the cache writes and reads each artifact. Bump a version when the files change.
CODECS: dict[type, Codec[Any]] = {
    Photo: Codec(1, save_photo, load_photo),
    Cutout: Codec(1, save_cutout, load_cutout),
    ViewSet: Codec(1, save_views, load_views),
    DepthSet: Codec(1, save_depths, load_depths),
    RadianceField: Codec(2, save_field, load_field),
    Mesh: Codec(1, save_plain_mesh, load_plain_mesh),
    TexturedMesh: Codec(1, save_asset, load_asset),
    GameParts: Codec(1, save_parts, load_parts),
    Quality: Codec(1, save_quality, load_quality),
}
