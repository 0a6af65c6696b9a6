"""Compressed GLB files, unpacked again by the codec's own decoder."""

from __future__ import annotations

import sys
from dataclasses import replace

import meshoptimizer
import numpy as np
import pytest
from scipy.spatial import cKDTree

from img2mesh.artifacts import TexturedMesh
from img2mesh.errors import MissingExtraError
from img2mesh.io.glb_container import unpack
from img2mesh.io.gltf import glb_bytes
from img2mesh.io.gltf_meshopt import meshopt_glb
from tests.shapes import grid_asset

DTYPES = {5120: np.int8, 5123: np.uint16, 5125: np.uint32}
WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4}


def sheet() -> TexturedMesh:
    asset = grid_asset(40)
    tangents = np.tile(np.float32([1, 0, 0, -1]), (1600, 1))
    return replace(asset, tangents=tangents, normal_map=asset.texture)


def unpacked(data: bytes):
    """Faces and attributes of a compressed file, dequantised after the specifications."""
    document, block = unpack(data)
    (primitive,) = document["meshes"][0]["primitives"]
    node = document["nodes"][0]

    def values(index: int):
        entry = document["accessors"][index]
        view = document["bufferViews"][entry["bufferView"]]
        coded = view["extensions"]["EXT_meshopt_compression"]
        assert coded["buffer"] == 0 and view["buffer"] == 1
        assert coded["byteStride"] * coded["count"] == view["byteLength"]
        raw = block[coded["byteOffset"] : coded["byteOffset"] + coded["byteLength"]]
        if coded["mode"] == "TRIANGLES":
            return meshoptimizer.decode_index_buffer(coded["count"], 4, raw).reshape(-1, 3)
        rows = meshoptimizer.decode_vertex_buffer(coded["count"], coded["byteStride"], raw)
        rows = np.ascontiguousarray(np.asarray(rows)).view(np.uint8)
        rows = rows.reshape(coded["count"], coded["byteStride"])
        dtype, width = np.dtype(DTYPES[entry["componentType"]]), WIDTHS[entry["type"]]
        whole = np.ascontiguousarray(rows[:, : width * dtype.itemsize]).view(dtype)
        if entry.get("normalized"):
            return whole.astype(float) / np.iinfo(dtype).max
        return whole.astype(float)

    found = {name: values(index) for name, index in primitive["attributes"].items()}
    found["POSITION"] = found["POSITION"] * node["scale"] + node["translation"]
    return document, values(primitive["indices"]), found


def test_what_comes_out_is_what_went_in_but_for_rounding() -> None:
    asset = sheet()
    data = meshopt_glb(glb_bytes(asset))
    document, faces, found = unpacked(data)
    assert len(faces) == len(asset.faces)
    tolerance = {"POSITION": 1e-5, "NORMAL": 0.005, "TEXCOORD_0": 1e-5, "TANGENT": 0.005}
    given = {
        "POSITION": asset.vertices,
        "NORMAL": asset.normals,
        "TEXCOORD_0": asset.uv,
        "TANGENT": asset.tangents,
    }

    # Both orders changed; a triangle is told by its place.
    tree = cKDTree(found["POSITION"][faces].mean(axis=1))
    _, place = tree.query(asset.vertices[asset.faces].mean(axis=1))
    assert len(np.unique(place)) == len(faces)
    for name, limit in tolerance.items():
        one = given[name][asset.faces].mean(axis=1)
        np.testing.assert_allclose(found[name][faces[place]].mean(axis=1), one, atol=limit)
    assert {"EXT_meshopt_compression", "KHR_mesh_quantization"} <= set(
        document["extensionsRequired"]
    )


def test_it_is_smaller_and_the_same_every_time() -> None:
    asset = replace(sheet(), normal_map=None)
    plain, small = glb_bytes(asset), meshopt_glb(glb_bytes(asset))
    pictures = 2_000
    assert len(small) - pictures < (len(plain) - pictures) / 3
    assert meshopt_glb(plain) == small


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "meshoptimizer", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'img2mesh\[lods\]'"):
        meshopt_glb(glb_bytes(sheet()))
