"""Writing the deliverable in one frame and scale, all or nothing: the suffix names the format.

Every file is written beside its target under a temporary name and renamed into place, so that a
crash or a full disk leaves the old file as it was. GLB itself is in
:mod:`img2mesh.io.gltf`, USDZ in :mod:`img2mesh.io.usdz`.
"""

from __future__ import annotations

import contextlib
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from img2mesh.errors import Img2MeshError, InputError
from img2mesh.geometry.mesh import unit_normals
from img2mesh.imaging.lookup import texture_at
from img2mesh.io.files import replacing
from img2mesh.io.glb_container import clean_name, version
from img2mesh.io.gltf import Textured, glb_bytes, png_bytes
from img2mesh.io.gltf_files import gltf_files
from img2mesh.io.threemf import threemf_bytes
from img2mesh.io.usdz import write_usdz

Write = Callable[[Path], object]


def save_mesh(asset: Textured, path: Path) -> Path:
    """Write the asset in the format its suffix names; an existing file is replaced.

    .obj brings a ``.mtl``, a ``_texture.png`` and, where there is one, a ``_normal.png`` beside it,
    .gltf a ``.bin`` and its pictures; .ply carries vertex colours (the texture sampled), .stl the
    shape alone, and so does .3mf, in millimetres with +z up as that format wants it.

    Returns:
        The path.

    Raises:
        InputError: unknown suffix; lists the known ones.
        MissingExtraError: .usdz without its extra.
        Img2MeshError: the file cannot be written.
    """
    path = Path(path)
    parts = FORMATS.get(path.suffix.lower())
    if parts is None:
        raise InputError(
            f"{path.name!r} does not end in a mesh format img2mesh writes; "
            f"use one of {', '.join(FORMATS)}"
        )
    with contextlib.ExitStack() as stack:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            for target, write in parts(asset, path):
                write(stack.enter_context(replacing(target)))
        except OSError as cause:
            raise Img2MeshError(f"{path} cannot be written: {cause.strerror or cause}") from cause
    return path


def _bytes(data: bytes) -> Write:
    return lambda path: path.write_bytes(data)


def _glb(asset: Textured, path: Path) -> Iterator[tuple[Path, Write]]:
    yield path, _bytes(glb_bytes(asset))


def _gltf(asset: Textured, path: Path) -> Iterator[tuple[Path, Write]]:
    document, *beside = gltf_files(asset, _companion(path.stem)).items()
    yield path, _bytes(document[1])
    for name, data in beside:
        yield path.with_name(name), _bytes(data)


def _companion(stem: str) -> str:
    """What files beside the named one begin with: most readers end such a name at a space."""
    if not any(c.isspace() for c in stem):
        return stem
    return "_".join(stem.split()) + f"_{zlib.crc32(stem.encode()):08x}"  # keeps such names apart


def _3mf(asset: Textured, path: Path) -> Iterator[tuple[Path, Write]]:
    joined = asset.joined
    x, y, z = joined.vertices.astype(np.float64).T * 1000
    yield path, _bytes(threemf_bytes(np.stack([x, -z, y], 1), joined.faces, asset.name))


def _usdz(asset: Textured, path: Path) -> Iterator[tuple[Path, Write]]:
    yield path, lambda target: write_usdz(asset, target)


def _obj(asset: Textured, path: Path) -> Iterator[tuple[Path, Write]]:
    """Positions are sewn, so the surface is closed; uv and normals have their own indices."""
    stem = _companion(path.stem)
    material, texture = f"{stem}.mtl", f"{stem}_texture.png"
    name = "_".join(clean_name(asset.name).split())
    joined, uv = asset.joined, asset.uv.astype(np.float64)
    uv[:, 1] = 1 - uv[:, 1]  # OBJ's origin is the bottom left of the picture
    corners = np.empty((len(asset.faces), 3, 3), np.int64)
    corners[..., 0], corners[..., 1] = joined.faces, asset.faces
    corners[..., 2] = asset.faces
    lines = [
        f"# img2mesh {version()}",
        "# metres, right-handed, +y up, front +z",
        f"mtllib {material}",
        f"o {name}",
        *_rows("v", joined.vertices, "%.9g %.9g %.9g"),  # 9 digits give every float32 back
        *_rows("vt", uv, "%.9g %.9g"),
        *_rows("vn", unit_normals(asset.normals), "%.6g %.6g %.6g"),
        f"usemtl {name}",
        *_rows("f", corners.reshape(-1, 9) + 1, "%d/%d/%d %d/%d/%d %d/%d/%d"),
    ]
    yield path, _bytes(("\n".join(lines) + "\n").encode())
    yield path.with_name(texture), _bytes(png_bytes(asset.texture))
    about = (
        f"# img2mesh {version()}\nnewmtl {name}\nKa 0 0 0\nKd 1 1 1\nKs 0 0 0\nd 1\nillum 1\n"
        f"map_Kd {texture}\n"
    )
    if asset.normal_map is not None:
        # MTL knows bump maps only; every importer today takes a coloured one for a normal map.
        normal = f"{stem}_normal.png"
        about += f"map_Bump -bm 1 {normal}\n"
        yield path.with_name(normal), _bytes(png_bytes(asset.normal_map))
    yield path.with_name(material), _bytes(about.encode())


def _rows(keyword: str, values: NDArray[Any], pattern: str) -> Iterator[str]:
    return (f"{keyword} {pattern}" % tuple(row) for row in values.tolist())


def _ply(asset: Textured, path: Path) -> Iterator[tuple[Path, Write]]:
    import trimesh

    joined = asset.joined
    mesh = trimesh.Trimesh(
        joined.vertices, joined.faces, vertex_colors=vertex_colours(asset), process=False
    )
    yield path, _bytes(cast(bytes, mesh.export(file_type="ply", vertex_normal=True)))


def _stl(asset: Textured, path: Path) -> Iterator[tuple[Path, Write]]:
    import trimesh

    joined = asset.joined
    mesh = trimesh.Trimesh(joined.vertices, joined.faces, process=False)
    yield path, _bytes(cast(bytes, mesh.export(file_type="stl")))


#: What each suffix writes. The named file comes first: files are renamed into place last to first.
FORMATS: dict[str, Callable[[Textured, Path], Iterator[tuple[Path, Write]]]] = {
    ".glb": _glb,
    ".gltf": _gltf,
    ".obj": _obj,
    ".ply": _ply,
    ".stl": _stl,
    ".3mf": _3mf,
    ".usdz": _usdz,
}


def vertex_colours(asset: Textured) -> NDArray[np.uint8]:
    """Texture colour (k, 3) uint8 of each *joined* vertex: the mean over its split copies."""
    colours = texture_at(asset.texture, asset.uv)
    count = int(asset.source_vertex.max()) + 1
    copies = np.maximum(np.bincount(asset.source_vertex, minlength=count), 1)
    mean = [
        np.bincount(asset.source_vertex, weights=channel, minlength=count) / copies
        for channel in colours.T
    ]
    return np.rint(np.stack(mean, axis=1)).astype(np.uint8)
