"""The mesh files of a finished job: named after it, encoded as asked for, and packed."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from img2mesh.artifacts import TexturedMesh
from img2mesh.artifacts.game import GameParts
from img2mesh.io.glb_container import renamed
from img2mesh.io.gltf import glb_bytes
from img2mesh.jobs.request import OutputOptions

_ZIP_DATE = (1980, 1, 1, 0, 0, 0)  # the earliest that ZIP can hold: equal assets, equal bytes


def mesh_files(
    stored: bytes | None,
    load: Callable[[], TexturedMesh],
    parts: GameParts,
    name: str,
    options: OutputOptions,
) -> dict[str, bytes]:
    """Every GLB of the job by file name: mesh.glb, its levels of detail and its hulls.

    Args:
        stored: the GLB in the cache, if any; it *is* the deliverable where nothing was added.
        load: reads the asset, only where it must be written anew.
        parts: what was made for engines.
        name: of the object in the files.
        options: the form the user asked for.
    """
    files: dict[str, bytes] = {}
    if stored is not None and not parts and options.texture_format == "png":
        files["mesh.glb"] = renamed(stored, name)
    else:
        asset = replace(load(), name=name)
        files["mesh.glb"] = glb_bytes(parts.with_maps(asset), texture=options.texture_format)
        about = lods_report(parts, asset)
        for entry, mesh in zip(about, parts.lod_meshes(asset), strict=True):
            labelled = replace(mesh, name=f"{name}_LOD{entry['level']}")
            extras = {key: value for key, value in entry.items() if key != "file"}
            files[entry["file"]] = glb_bytes(
                labelled, texture=options.texture_format, extras=extras
            )
    if options.compress == "meshopt":
        from img2mesh.io.gltf_meshopt import meshopt_glb

        files |= {
            file.replace(".glb", "_meshopt.glb"): meshopt_glb(data) for file, data in files.items()
        }
    if parts.hulls:
        from img2mesh.export.collision import collision_glb

        files["mesh_collision.glb"] = collision_glb(parts.hulls, name)
    return files


def lods_report(parts: GameParts, asset: TexturedMesh) -> list[dict[str, Any]]:
    """What the report, and each file of a level of detail itself, says of it.

    ``error_mean`` and ``error_max`` are in percent of the diagonal, ``error_metres`` is the largest
    error in the asset's own unit: what engines call geometric error.
    """
    diagonal = float(np.linalg.norm(np.ptp(asset.vertices[np.unique(asset.faces)], axis=0)))
    return [
        {
            "file": f"mesh_lod{number}.glb",
            "level": number,
            "faces": len(lod.faces),
            "target": lod.target,
            "vertices": len(np.unique(lod.faces)),
            "error_mean": lod.error_mean,
            "error_max": lod.error_max,
            "error_metres": round(lod.error_max / 100 * diagonal, 7),
        }
        for number, lod in enumerate(parts.lods, start=1)
    ]


def parts_report(parts: GameParts, asset: TexturedMesh) -> dict[str, Any]:
    """What ``report.json`` says of the parts, apart from their notes."""
    found: dict[str, Any] = {}
    if parts.normal_map is not None or parts.orm_map is not None:
        found["maps"] = {
            "normal": parts.normal_map is not None,
            "occlusion_roughness_metallic": parts.orm_map is not None,
        }
    if parts.lods:
        found["lods"] = lods_report(parts, asset)
    if parts.hulls:
        found["collision"] = {
            "file": "mesh_collision.glb",
            "hulls": len(parts.hulls),
            "vertices_max": max(len(hull.vertices) for hull in parts.hulls),
            "faces": sum(len(hull.faces) for hull in parts.hulls),
            "enclosed": parts.enclosed,
        }
    return found


def write_archive(path: Path, files: Iterable[Path], folder: str) -> None:
    """A ZIP of the files in one folder; GLB, USDZ and pictures are stored, text is deflated."""
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(files):
            entry = zipfile.ZipInfo(f"{folder}/{file.name}", _ZIP_DATE)
            entry.external_attr = 0o644 << 16
            packed = file.suffix in (".obj", ".mtl", ".ply", ".stl", ".glb")
            entry.compress_type = zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED
            archive.writestr(entry, file.read_bytes())
