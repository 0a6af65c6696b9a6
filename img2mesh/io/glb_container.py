"""The GLB container: a JSON document and one block of bytes, written and taken apart.

After the glTF 2.0 specification, sections 3.6 (buffers and accessors) and 4 (GLB). What goes into
the document is decided by those who use it: :mod:`img2mesh.io.gltf` for a textured mesh, the export
room for collision hulls and compression.
"""

from __future__ import annotations

import json
import struct
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

FLOAT, UINT8, UINT16, UINT32 = 5126, 5121, 5123, 5125  # glTF componentType
VERTICES, INDICES = 34962, 34963  # glTF bufferView.target
DTYPES = {FLOAT: "<f4", UINT16: "<u2", UINT32: "<u4", UINT8: "<u1"}
WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4}
_MAGIC, _JSON, _BIN = b"glTF", b"JSON", b"BIN\0"


@cache
def version() -> str:
    """The package's version, as it is written into files."""
    from importlib import metadata

    try:
        return metadata.version("img2mesh")
    except metadata.PackageNotFoundError:  # run from a checkout that was never installed
        return "0+checkout"


def clean_name(name: str) -> str:
    """A name that every file format can hold: valid Unicode without control characters."""
    text = name.encode("utf-8", "replace").decode("utf-8")
    return "".join(c for c in text if c.isprintable()).strip() or "object"


class Block:
    """The binary chunk as it grows, with its bufferViews and accessors."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.views: list[dict[str, Any]] = []
        self.accessors: list[dict[str, Any]] = []

    def add(self, data: bytes, **about: Any) -> int:
        """Append bytes at a multiple of four; the index of their bufferView."""
        self.data.extend(b"\0" * (-len(self.data) % 4))
        self.views.append(
            {"buffer": 0, "byteOffset": len(self.data), "byteLength": len(data), **about}
        )
        self.data.extend(data)
        return len(self.views) - 1

    def vertices(self, array: NDArray[Any], *, bounds: bool = False) -> int:
        """A float attribute (n, k); positions need their ``bounds``. The index of its accessor."""
        width = {2: "VEC2", 3: "VEC3", 4: "VEC4"}[array.shape[1]]
        entry: dict[str, Any] = {
            "bufferView": self.add(array.astype("<f4").tobytes(), target=VERTICES),
            "componentType": FLOAT,
            "count": len(array),
            "type": width,
        }
        if bounds:
            entry["min"] = [float(x) for x in array.min(axis=0)]
            entry["max"] = [float(x) for x in array.max(axis=0)]
        self.accessors.append(entry)
        return len(self.accessors) - 1

    def indices(self, faces: NDArray[Any], count: int) -> int:
        """Faces (m, 3) into ``count`` vertices. The index of the accessor."""
        # 65535 is the restart index of 16-bit index buffers and must not be used.
        component = UINT16 if count < 65535 else UINT32
        flat = faces.reshape(-1).astype(DTYPES[component])
        self.accessors.append(
            {
                "bufferView": self.add(flat.tobytes(), target=INDICES),
                "componentType": component,
                "count": len(flat),
                "type": "SCALAR",
            }
        )
        return len(self.accessors) - 1

    def tables(self) -> dict[str, Any]:
        """What the document says of this block."""
        return {
            "accessors": self.accessors,
            "bufferViews": self.views,
            "buffers": [{"byteLength": len(self.data)}],
        }


def pack(document: dict[str, Any], data: bytes | bytearray) -> bytes:
    """A GLB file of a document and its binary chunk."""
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 4)
    block = bytes(data) + b"\0" * (-len(data) % 4)
    return b"".join(
        (
            struct.pack("<4sII", _MAGIC, 2, 12 + 8 + len(text) + 8 + len(block)),
            struct.pack("<I4s", len(text), _JSON),
            text,
            struct.pack("<I4s", len(block), _BIN),
            block,
        )
    )


def unpack(data: bytes) -> tuple[dict[str, Any], bytes]:
    """Document and binary chunk of a GLB file.

    Raises:
        ValueError, struct.error: not a complete glTF 2.0 binary.
    """
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


def view_bytes(document: dict[str, Any], block: bytes, index: int) -> bytes:
    """The bytes of a bufferView.

    Raises:
        ValueError: its elements do not lie one after the other.
    """
    view = document["bufferViews"][index]
    if "byteStride" in view:
        raise ValueError("interleaved vertex data")
    start = view.get("byteOffset", 0)
    return block[start : start + view["byteLength"]]


def array(document: dict[str, Any], block: bytes, index: int) -> NDArray[Any]:
    """An accessor's values, (n,) or (n, k)."""
    entry = document["accessors"][index]
    width = WIDTHS[entry["type"]]
    flat = np.frombuffer(
        view_bytes(document, block, entry["bufferView"]),
        DTYPES[entry["componentType"]],
        entry["count"] * width,
        entry.get("byteOffset", 0),
    )
    return flat.reshape(-1, width) if width > 1 else flat


def renamed(data: bytes, name: str) -> bytes:
    """The same GLB with its scene, nodes, meshes, materials and pictures called ``name``.

    The binary chunk stays as it is: a cached file gets its owner's name without being encoded
    again. A suffix that tells parts of one file apart ("object normal") is kept.
    """
    document, block = unpack(data)
    name = clean_name(name)
    old = document["scenes"][0].get("name", "object")
    for table in ("scenes", "nodes", "meshes", "materials", "textures", "images"):
        for entry in document.get(table, []):
            if entry.get("name", "").startswith(old):
                entry["name"] = name + entry["name"][len(old) :]
    return pack(document, block)
