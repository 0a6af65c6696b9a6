"""glTF 2.0 binary files of one textured mesh: written so that equal assets are equal bytes.

The layout follows the glTF 2.0 specification, section 4 (GLB) and 3.6 (accessors). A few lines of
``struct`` and JSON replace a library here because the bytes *are* the cached artifact: texture
coordinates keep their bits (libraries flip v twice), nothing carries a date, and Khronos'
validator has nothing to say about the result.
"""

from __future__ import annotations

import io
import json
import struct
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from img2mesh.artifacts import UNSEEN, TexturedMesh
from img2mesh.errors import InputError

_MAGIC, _JSON, _BIN = b"glTF", b"JSON", b"BIN\0"
_FLOAT, _UINT16, _UINT32 = 5126, 5123, 5125  # glTF componentType
_DTYPES = {_FLOAT: "<f4", _UINT16: "<u2", _UINT32: "<u4", 5121: "<u1"}
_WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3}
_ROUGHNESS = 0.9  # matt: the views carry their own shading, a highlight on top would be doubled


@cache
def version() -> str:
    """The package's version, as it is written into files."""
    from importlib import metadata

    try:
        return metadata.version("img2mesh")
    except metadata.PackageNotFoundError:  # run from a checkout that was never installed
        return "0+checkout"


def png_bytes(picture: NDArray[np.uint8]) -> bytes:
    """A picture (h, w) or (h, w, 3|4) uint8 as a PNG file; equal pixels give equal bytes."""
    from PIL import Image

    out = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(picture)).save(out, "PNG", compress_level=6)
    return out.getvalue()


def _texture_bytes(asset: TexturedMesh, texture: str) -> tuple[bytes, str]:
    if texture == "png":
        return png_bytes(asset.texture), "image/png"
    if texture in ("jpeg", "jpg"):
        from PIL import Image

        out = io.BytesIO()
        # 4:4:4, because colour bleeds over chart borders at half chroma resolution.
        Image.fromarray(asset.texture).save(out, "JPEG", quality=92, subsampling=0)
        return out.getvalue(), "image/jpeg"
    raise InputError(f"unknown texture format {texture!r}; known formats: png, jpeg")


def clean_name(name: str) -> str:
    """A name that every file format can hold: valid Unicode without control characters."""
    text = name.encode("utf-8", "replace").decode("utf-8")
    return "".join(c for c in text if c.isprintable()).strip() or "object"


def unit_normals(normals: NDArray[Any]) -> NDArray[np.float32]:
    """Normals (n, 3) as they are where they are unit vectors, mended where they are not.

    glTF demands unit length; a vertex of only degenerate faces has no normal and gets +y.
    """
    length = np.linalg.norm(normals.astype(np.float64), axis=1)
    wrong = ~(np.abs(length - 1) < 1e-3)  # the validator accepts 0.00674; also catches NaN
    if not wrong.any():
        return np.ascontiguousarray(normals, np.float32)
    mended = np.array(normals, np.float32)
    usable = wrong & np.isfinite(length) & (length > 1e-12)
    mended[usable] = normals[usable] / length[usable, None]
    mended[wrong & ~usable] = (0.0, 1.0, 0.0)
    return mended


def glb_bytes(asset: TexturedMesh, *, texture: str = "png") -> bytes:
    """The asset as a GLB file.

    One mesh, one primitive, one metallic-roughness material (metallic 0) with the embedded base
    colour picture. Vertices split at chart borders keep bit-identical positions, so merging by
    position closes the surface again.

    Args:
        asset: the mesh; its frame is written as it is.
        texture: ``png`` (lossless) or ``jpeg``.

    Raises:
        InputError: unknown texture format.
    """
    name = clean_name(asset.name)
    picture, mime = _texture_bytes(asset, texture)
    # 65535 is the restart index of 16-bit index buffers and must not be used.
    index_dtype, index_type = ("<u2", _UINT16) if len(asset.vertices) < 65535 else ("<u4", _UINT32)
    blob = bytearray()
    buffer_views: list[dict[str, int]] = []

    def add(data: bytes, target: int | None) -> int:
        blob.extend(b"\0" * (-len(blob) % 4))
        view = {"buffer": 0, "byteOffset": len(blob), "byteLength": len(data)}
        if target is not None:
            view["target"] = target
        buffer_views.append(view)
        blob.extend(data)
        return len(buffer_views) - 1

    def accessor(
        array: NDArray[Any], component: int, kind: str, target: int, bounds: bool = False
    ) -> dict[str, Any]:
        entry = {
            "bufferView": add(array.astype(_DTYPES[component]).tobytes(), target),
            "componentType": component,
            "count": len(array),
            "type": kind,
        }
        if bounds:
            entry["min"] = [float(x) for x in array.min(axis=0)]
            entry["max"] = [float(x) for x in array.max(axis=0)]
        return entry

    accessors = [
        accessor(asset.vertices, _FLOAT, "VEC3", 34962, bounds=True),
        accessor(unit_normals(asset.normals), _FLOAT, "VEC3", 34962),
        accessor(asset.uv, _FLOAT, "VEC2", 34962),
        accessor(asset.faces.reshape(-1).astype(index_dtype), index_type, "SCALAR", 34963),
    ]
    document = {
        "asset": {"version": "2.0", "generator": f"img2mesh {version()}"},
        "scene": 0,
        "scenes": [{"name": name, "nodes": [0]}],
        "nodes": [{"name": name, "mesh": 0}],
        "meshes": [
            {
                "name": name,
                "primitives": [
                    {
                        "attributes": {"POSITION": 0, "NORMAL": 1, "TEXCOORD_0": 2},
                        "indices": 3,
                        "material": 0,
                        "mode": 4,
                    }
                ],
            }
        ],
        "materials": [
            {
                "name": name,
                "pbrMetallicRoughness": {
                    "baseColorTexture": {"index": 0},
                    "metallicFactor": 0.0,
                    "roughnessFactor": _ROUGHNESS,
                },
            }
        ],
        "textures": [{"name": name, "sampler": 0, "source": 0}],
        # Linear, trilinear between mip levels, clamped at the atlas' border.
        "samplers": [{"magFilter": 9729, "minFilter": 9987, "wrapS": 33071, "wrapT": 33071}],
        "images": [{"name": name, "mimeType": mime, "bufferView": add(picture, None)}],
        "accessors": accessors,
        "bufferViews": buffer_views,
        "buffers": [{"byteLength": len(blob)}],
    }
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 4)
    blob.extend(b"\0" * (-len(blob) % 4))
    total = 12 + 8 + len(text) + 8 + len(blob)
    return b"".join(
        (
            struct.pack("<4sII", _MAGIC, 2, total),
            struct.pack("<I4s", len(text), _JSON),
            text,
            struct.pack("<I4s", len(blob), _BIN),
            bytes(blob),
        )
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
        document, blob = _chunks(data)
        (mesh,) = document["meshes"]
        (primitive,) = mesh["primitives"]
        attributes = primitive["attributes"]
        vertices = _array(document, blob, attributes["POSITION"])
        material = document["materials"][primitive["material"]]
        base = material["pbrMetallicRoughness"]["baseColorTexture"]["index"]
        image = document["images"][document["textures"][base]["source"]]
        picture = _view(document, blob, image["bufferView"])
        texture = _decode(picture)
        return TexturedMesh(
            vertices,
            _array(document, blob, primitive["indices"]).reshape(-1, 3).astype(np.int32),
            _array(document, blob, attributes["TEXCOORD_0"]),
            _array(document, blob, attributes["NORMAL"]),
            texture,
            np.full(texture.shape[:2], UNSEEN, np.uint8),
            same_position(vertices),
            name=mesh.get("name", "object"),
        )
    except (OSError, ValueError, KeyError, IndexError, TypeError, struct.error) as cause:
        raise InputError(
            f"{label} is not a GLB with one indexed, textured mesh ({cause}); "
            "pass a mesh.glb written by img2mesh"
        ) from cause


def same_position(vertices: NDArray[np.float32]) -> NDArray[np.int32]:
    """Index (n,) equal for vertices (n, 3) of bit-identical position, in first-seen order."""
    rows = np.ascontiguousarray(vertices + np.float32(0), np.float32)  # -0 becomes 0
    keys = rows.view([("", np.float32)] * 3).reshape(-1)
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    rank = np.empty(len(first), np.int32)
    rank[np.argsort(first, kind="stable")] = np.arange(len(first), dtype=np.int32)
    return rank[inverse.reshape(-1)]


def _chunks(data: bytes) -> tuple[dict[str, Any], bytes]:
    magic, number, total = struct.unpack_from("<4sII", data)
    if magic != _MAGIC or number != 2 or total != len(data):
        raise ValueError("the header is not that of a complete glTF 2.0 binary")
    length, kind = struct.unpack_from("<I4s", data, 12)
    if kind != _JSON:
        raise ValueError("the first chunk is not JSON")
    document = json.loads(data[20 : 20 + length])
    size, kind = struct.unpack_from("<I4s", data, 20 + length)
    if kind != _BIN:
        raise ValueError("the second chunk is not binary")
    return document, data[28 + length : 28 + length + size]


def _view(document: dict[str, Any], blob: bytes, index: int) -> bytes:
    view = document["bufferViews"][index]
    if "byteStride" in view:
        raise ValueError("interleaved vertex data")
    start = view.get("byteOffset", 0)
    return blob[start : start + view["byteLength"]]


def _array(document: dict[str, Any], blob: bytes, index: int) -> NDArray[Any]:
    entry = document["accessors"][index]
    width = _WIDTHS[entry["type"]]
    flat = np.frombuffer(
        _view(document, blob, entry["bufferView"]),
        _DTYPES[entry["componentType"]],
        entry["count"] * width,
        entry.get("byteOffset", 0),
    )
    return flat.reshape(-1, width) if width > 1 else flat


def _decode(picture: bytes) -> NDArray[np.uint8]:
    from PIL import Image

    with Image.open(io.BytesIO(picture)) as image:
        return np.asarray(image.convert("RGB"))
