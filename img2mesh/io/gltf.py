"""glTF 2.0 binary files of one textured mesh: written so that equal assets are equal bytes.

The layout follows the glTF 2.0 specification, section 4 (GLB) and 3.6 (accessors). A few lines of
``struct`` and JSON replace a library here because the bytes *are* the cached artifact: texture
coordinates keep their bits (libraries flip v twice), nothing carries a date, and Khronos'
validator has nothing to say about the result.
"""

from __future__ import annotations

import io
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from img2mesh.core.arrays import F32, I32, U8
from img2mesh.errors import InputError
from img2mesh.geometry.mesh import unit_normals
from img2mesh.io.glb_container import Block, clean_name, pack, version

#: Matt: the views carry their own shading, a highlight on top would be doubled.
ROUGHNESS = 0.9

#: What ``--texture-format`` takes.
TEXTURE_FORMATS = ("png", "jpeg", "webp", "ktx2")

#: Extension that a client must know to see textures of a media type; glTF itself has two types.
_EXTENSIONS = {"image/webp": "EXT_texture_webp", "image/ktx2": "KHR_texture_basisu"}


class Surface(Protocol):
    """Vertices (n, 3) float32 and faces (m, 3) int32."""

    @property
    def vertices(self) -> F32: ...
    @property
    def faces(self) -> I32: ...


class Textured(Surface, Protocol):
    """A textured mesh as it is written; :class:`img2mesh.TexturedMesh` says what each part is."""

    @property
    def uv(self) -> F32: ...
    @property
    def normals(self) -> F32: ...
    @property
    def texture(self) -> U8: ...
    @property
    def source_vertex(self) -> I32: ...
    @property
    def name(self) -> str: ...
    @property
    def normal_map(self) -> U8 | None: ...
    @property
    def orm_map(self) -> U8 | None: ...
    @property
    def tangents(self) -> F32 | None: ...
    @property
    def joined(self) -> Surface: ...


def png_bytes(picture: NDArray[np.uint8]) -> bytes:
    """A picture (h, w) or (h, w, 3|4) uint8 as a PNG file; equal pixels give equal bytes."""
    from PIL import Image

    out = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(picture)).save(out, "PNG", compress_level=6)
    return out.getvalue()


def encoded_picture(
    picture: U8, texture: str, *, exact: bool = False, linear: bool = False
) -> tuple[bytes, str]:
    """A picture (h, w, 3) as a file in a texture format, and its media type.

    ``exact`` pictures hold directions, not colours: block artefacts would show as dents in the
    shading, so that they stay lossless (in JPEG's place as PNG) or get KTX 2's better codec.
    ``linear`` ones hold numbers that are not sRGB colours, which KTX 2 files say.

    Raises:
        InputError: unknown texture format, or one that needs a program that is missing.
    """
    from PIL import Image

    out = io.BytesIO()
    if texture == "png" or (texture == "jpeg" and exact):
        return png_bytes(picture), "image/png"
    if texture == "jpeg":
        # 4:4:4, because colour bleeds over chart borders at half chroma resolution.
        Image.fromarray(picture).save(out, "JPEG", quality=92, subsampling=0)
        return out.getvalue(), "image/jpeg"
    if texture == "webp":
        Image.fromarray(picture).save(out, "WEBP", lossless=exact, quality=92, method=4)
        return out.getvalue(), "image/webp"
    if texture == "ktx2":
        if any(side % 4 for side in picture.shape[:2]):
            raise InputError(
                f"ktx2 textures need a resolution that is a multiple of 4, got {len(picture)}"
            )
        from img2mesh.io.ktx2 import ktx2_bytes

        return ktx2_bytes(png_bytes(picture), linear=linear, exact=exact), "image/ktx2"
    raise InputError(
        f"unknown texture format {texture!r}; known formats: {', '.join(TEXTURE_FORMATS)}"
    )


def glb_bytes(
    asset: Textured, *, texture: str = "png", extras: dict[str, Any] | None = None
) -> bytes:
    """The asset as a GLB file.

    One mesh, one primitive, one metallic-roughness material with the embedded base colour picture
    and, where the asset has them, normal map (with the tangents it was baked for) and
    occlusion-roughness-metallic map. Vertices split at chart borders keep bit-identical
    positions, so merging by position closes the surface again.

    Args:
        asset: the mesh; its frame is written as it is.
        texture: ``png`` (lossless), ``jpeg``, ``webp`` or ``ktx2`` (these two need a client that
            knows EXT_texture_webp or KHR_texture_basisu; the file says so).
        extras: of the node: numbers and texts for whoever opens the file.

    Raises:
        InputError: unknown texture format.
    """
    name = clean_name(asset.name)
    block = Block()
    attributes = {
        "POSITION": block.vertices(asset.vertices, bounds=True),
        "NORMAL": block.vertices(unit_normals(asset.normals)),
        "TEXCOORD_0": block.vertices(asset.uv),
    }
    indices = block.indices(asset.faces, len(asset.vertices))
    if asset.tangents is not None:
        attributes["TANGENT"] = block.vertices(asset.tangents)
    textures: list[dict[str, Any]] = []
    images: list[dict[str, Any]] = []

    needed: set[str] = set()

    def picture(label: str, pixels: U8, **kind: bool) -> dict[str, int]:
        data, mime = encoded_picture(pixels, texture, **kind)
        entry: dict[str, Any] = {"name": label, "sampler": 0}
        if mime in _EXTENSIONS:
            entry["extensions"] = {_EXTENSIONS[mime]: {"source": len(images)}}
            needed.add(_EXTENSIONS[mime])
        else:
            entry["source"] = len(images)
        textures.append(entry)
        images.append({"name": label, "mimeType": mime, "bufferView": block.add(data)})
        return {"index": len(textures) - 1}

    shading: dict[str, Any] = {
        "baseColorTexture": picture(name, asset.texture),
        "metallicFactor": 0.0,
        "roughnessFactor": ROUGHNESS,
    }
    material: dict[str, Any] = {"name": name, "pbrMetallicRoughness": shading}
    if asset.normal_map is not None:
        material["normalTexture"] = picture(
            f"{name} normal", asset.normal_map, exact=True, linear=True
        )
    if asset.orm_map is not None:
        packed = picture(f"{name} occlusion roughness metallic", asset.orm_map, linear=True)
        # The picture holds the values themselves: factors of one leave them alone.
        shading |= {"metallicFactor": 1.0, "roughnessFactor": 1.0}
        shading["metallicRoughnessTexture"] = packed
        material["occlusionTexture"] = dict(packed)
    primitive = {"attributes": attributes, "indices": indices, "material": 0, "mode": 4}
    document: dict[str, Any] = {
        "asset": {"version": "2.0", "generator": f"img2mesh {version()}"},
        "scene": 0,
        "scenes": [{"name": name, "nodes": [0]}],
        "nodes": [{"name": name, "mesh": 0} | ({"extras": extras} if extras else {})],
        "meshes": [{"name": name, "primitives": [primitive]}],
        "materials": [material],
        "textures": textures,
        # Linear, trilinear between mip levels, clamped at the atlas' border.
        "samplers": [{"magFilter": 9729, "minFilter": 9987, "wrapS": 33071, "wrapT": 33071}],
        "images": images,
        **block.tables(),
    }
    if needed:
        document |= {key: sorted(needed) for key in ("extensionsUsed", "extensionsRequired")}
    return pack(document, block.data)
