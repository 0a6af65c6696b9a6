"""A GLB made small for download: EXT_meshopt_compression over KHR_mesh_quantization.

Positions become 16-bit whole numbers on a cube (the node scales them back: a step is the largest
side / 65535), uv 16 bits, normals and tangents 8 bits; vertices are ordered for the codec. Pictures
stay as they are. The uncompressed buffer that clients without the extension would need is declared
and left out, as the extension allows for files that require it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from img2mesh.core.arrays import F32, I32
from img2mesh.errors import missing_extra
from img2mesh.io.glb_container import (
    INDICES,
    UINT16,
    UINT32,
    VERTICES,
    array,
    pack,
    unpack,
    view_bytes,
)

_EXTENSION = "EXT_meshopt_compression"
_INT8 = 5120


def meshopt_glb(data: bytes) -> bytes:
    """The GLB of one textured mesh, compressed.

    Raises:
        MissingExtraError: meshoptimizer is not installed.
    """
    try:
        import meshoptimizer
    except ImportError as cause:
        raise missing_extra("meshoptimizer", extra="lods", purpose="--compress meshopt") from cause

    document, block = unpack(data)
    primitive = document["meshes"][0]["primitives"][0]
    attributes = primitive["attributes"]
    values = {name: array(document, block, index) for name, index in attributes.items()}
    faces = array(document, block, primitive["indices"]).reshape(-1, 3).astype(np.int32)
    faces, order = _ordered(faces, len(values["POSITION"]))
    values = {name: value[order] for name, value in values.items()}

    packed = _Compressed()
    positions, low, step = _on_grid(values["POSITION"])
    codes: dict[str, tuple[NDArray[Any], int, str, dict[str, Any]]] = {
        "POSITION": (
            positions,
            UINT16,
            "VEC3",
            {"min": positions.min(axis=0).tolist(), "max": positions.max(axis=0).tolist()},
        ),
        "NORMAL": (_bytes(values["NORMAL"]), _INT8, "VEC3", {"normalized": True}),
        "TEXCOORD_0": (
            np.round(values["TEXCOORD_0"].astype(np.float64) * 65535).astype("<u2"),
            UINT16,
            "VEC2",
            {"normalized": True},
        ),
    }
    if "TANGENT" in values:
        codes["TANGENT"] = (_bytes(values["TANGENT"]), _INT8, "VEC4", {"normalized": True})
    accessors: list[dict[str, Any]] = []
    for name, (code, component, kind, about) in codes.items():
        rows = _aligned(code)
        view = packed.add(
            meshoptimizer.encode_vertex_buffer(rows, len(rows), rows.shape[1]),
            rows.shape[1],
            len(rows),
            "ATTRIBUTES",
            VERTICES,
        )
        accessors.append(
            {"bufferView": view, "componentType": component, "count": len(code), "type": kind}
            | about
        )
        primitive["attributes"][name] = len(accessors) - 1
    wide = len(order) >= 65535
    coded = meshoptimizer.encode_index_buffer(
        np.ascontiguousarray(faces.reshape(-1), np.uint32), faces.size, len(order)
    )
    view = packed.add(coded, 4 if wide else 2, faces.size, "TRIANGLES", INDICES)
    accessors.append(
        {
            "bufferView": view,
            "componentType": UINT32 if wide else UINT16,
            "count": faces.size,
            "type": "SCALAR",
        }
    )
    primitive["indices"] = len(accessors) - 1
    for image in document.get("images", []):
        image["bufferView"] = packed.plain(view_bytes(document, block, image["bufferView"]))
    document["nodes"][0] |= {"translation": low.tolist(), "scale": [step] * 3}
    names = [_EXTENSION, "KHR_mesh_quantization"]
    for table in ("extensionsUsed", "extensionsRequired"):
        document[table] = sorted({*document.get(table, []), *names})
    document |= {"accessors": accessors, **packed.tables()}
    return pack(document, packed.data)


class _Compressed:
    """Buffer 0 holds the compressed bytes; buffer 1 is what they become and is not in the file."""

    def __init__(self) -> None:
        self.data = bytearray()
        self._views: list[dict[str, Any]] = []
        self._unpacked = 0

    def add(self, coded: bytes, stride: int, count: int, mode: str, target: int) -> int:
        extension = {
            "buffer": 0,
            "byteOffset": self._place(coded),
            "byteLength": len(coded),
            "byteStride": stride,
            "count": count,
            "mode": mode,
        }
        self._unpacked += -self._unpacked % 4
        view = {"buffer": 1, "byteOffset": self._unpacked, "byteLength": stride * count}
        if target == VERTICES:
            view["byteStride"] = stride
        self._unpacked += stride * count
        self._views.append({**view, "target": target, "extensions": {_EXTENSION: extension}})
        return len(self._views) - 1

    def plain(self, data: bytes) -> int:
        start = self._place(data)
        self._views.append({"buffer": 0, "byteOffset": start, "byteLength": len(data)})
        return len(self._views) - 1

    def _place(self, data: bytes) -> int:
        self.data.extend(b"\0" * (-len(self.data) % 4))
        start = len(self.data)
        self.data.extend(data)
        return start

    def tables(self) -> dict[str, Any]:
        fallback = {"byteLength": self._unpacked, "extensions": {_EXTENSION: {"fallback": True}}}
        return {
            "bufferViews": self._views,
            "buffers": [{"byteLength": len(self.data)}, fallback],
        }


def _ordered(faces: I32, count: int) -> tuple[I32, NDArray[np.int64]]:
    """Faces for a vertex cache, vertices in the order the faces use them: both code well."""
    import meshoptimizer

    flat = np.ascontiguousarray(faces.reshape(-1), np.uint32)
    cached = np.zeros_like(flat)
    meshoptimizer.optimize_vertex_cache(cached, flat, len(flat), count)
    _, first = np.unique(cached, return_index=True)
    order = cached[np.sort(first)].astype(np.int64)
    place = np.zeros(count, np.int64)
    place[order] = np.arange(len(order))
    return place[cached].reshape(-1, 3).astype(np.int32), order


def _on_grid(points: F32) -> tuple[NDArray[np.uint16], NDArray[np.float64], float]:
    """Points as whole numbers, and the corner and step that take them back."""
    exact = points.astype(np.float64)
    low = exact.min(axis=0)
    step = max(float((exact.max(axis=0) - low).max()), 1e-12) / 65535
    return np.round((exact - low) / step).astype("<u2"), low, step


def _bytes(vectors: F32) -> NDArray[np.int8]:
    return np.round(np.clip(vectors, -1, 1) * 127).astype(np.int8)


def _aligned(code: NDArray[Any]) -> NDArray[np.uint8]:
    """Rows as bytes, padded to the multiple of four that the codec and glTF both ask for."""
    rows = np.ascontiguousarray(code).view(np.uint8).reshape(len(code), -1)
    return np.ascontiguousarray(np.pad(rows, ((0, 0), (0, -rows.shape[1] % 4))))
