"""Engine parts as a folder: the maps as PNG, everything else as plain arrays and numbers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from img2mesh.artifacts import U8, Mesh
from img2mesh.engineparts import EngineParts, Lod
from img2mesh.glb import png_bytes

_MAPS = ("normal_map", "orm_map")


def save_parts(folder: Path, parts: EngineParts) -> None:
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


def load_parts(folder: Path) -> EngineParts:
    """The inverse of :func:`save_parts`."""
    about = json.loads((folder / "parts.json").read_text(encoding="utf-8"))
    arrays: dict[str, Any] = {}
    if (folder / "parts.npz").exists():
        with np.load(folder / "parts.npz", allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
    normal_map, orm_map = (_picture(folder / f"{name}.png") for name in _MAPS)
    return EngineParts(
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
