"""Mesh files of any maker as one triangle soup with colour, for measuring and drawing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from img2mesh.core.arrays import F32, F64, I32
from img2mesh.errors import InputError
from img2mesh.imaging.colour import srgb_to_linear
from img2mesh.imaging.lookup import texels_at

SUFFIXES = (".glb", ".gltf", ".obj", ".ply", ".stl", ".off")


@dataclass(frozen=True)
class Paint:
    """Base colour of some faces: a factor, times a texture where there is one, both linear.

    Attributes:
        factor: (3,) float32 linear.
        texture: (h, w, 3) float32 linear, repeating; or None.
    """

    factor: F32
    texture: F32 | None = None

    def at(self, uv: F32) -> F32:
        """Bilinear colour (n, 3) at uv (n, 2), v upwards (OBJ convention), texels at centres."""
        if self.texture is None:
            return np.broadcast_to(self.factor, (len(uv), 3)).astype(np.float32)
        height, width = self.texture.shape[:2]
        pixel = (uv.astype(np.float64) * [1, -1] + [0, 1]) * [width, height]
        return (texels_at(self.texture, pixel, repeat=True) * self.factor).astype(np.float32)


@dataclass(frozen=True)
class Surface:
    """All triangles of a file in its own world.

    Attributes:
        vertices: (n, 3) float64.
        faces: (m, 3) int32.
        uv: (n, 2) float32, v upwards; 0 where a part has none.
        colour: (n, 3) float32 linear vertex colour, 1 where a part has none.
        paint_of_face: (m,) int32 index into ``paints``.
        paints: base colours.
    """

    vertices: F64
    faces: I32
    uv: F32
    colour: F32
    paint_of_face: I32
    paints: tuple[Paint, ...]

    @property
    def diagonal(self) -> float:
        """Length of the bounding box's diagonal, over vertices that faces use."""
        return float(np.linalg.norm(np.ptp(self.vertices[np.unique(self.faces)], axis=0)))

    def base_colour(self, face: I32, barycentric: F32) -> F32:
        """Unlit linear colour (k, 3) at points given by face (k,) and weights of corners 2, 3."""
        weights = np.stack([1 - barycentric.sum(axis=1), barycentric[:, 0], barycentric[:, 1]], 1)
        corners = self.faces[face]
        uv = (self.uv[corners] * weights[..., None]).sum(axis=1)
        return self.painted(face, uv, (self.colour[corners] * weights[..., None]).sum(axis=1))

    def painted(self, face: I32, uv: F32, colour: F32) -> F32:
        """The same where uv (k, 2) and vertex colour (k, 3) are known."""
        out = np.empty((len(face), 3), np.float32)
        if len(self.paints) == 1:
            return np.multiply(colour, self.paints[0].at(uv), out=out)
        paint = self.paint_of_face[face]
        for k in np.flatnonzero(np.bincount(paint)):
            its = np.flatnonzero(paint == k)
            out[its] = colour[its] * self.paints[k].at(uv[its])
        return out


def load_surface(path: Path, *, encoded: bool | None = None) -> Surface:
    """Read a mesh file with every part in place.

    Args:
        path: the file.
        encoded: whether vertex colours are sRGB-encoded; by default they are linear in glTF files
            and encoded elsewhere, as is the custom.

    Raises:
        InputError: missing, unreadable, or without triangles or with non-finite vertices.
    """
    import trimesh

    if not path.is_file():
        raise InputError(f"{path} is missing, or not a file: give a mesh ({', '.join(SUFFIXES)})")
    try:
        scene = trimesh.load_scene(str(path), process=False)
    except Exception as cause:  # trimesh's readers raise whatever their formats run into
        raise InputError(f"{path.name} cannot be read as a mesh: {cause}") from cause
    gltf = path.suffix.lower() in (".glb", ".gltf")
    linear = gltf if encoded is None else not encoded
    parts: list[Surface] = []
    for node in scene.graph.nodes_geometry:
        transform, name = scene.graph[node]
        mesh = scene.geometry[name]
        if isinstance(mesh, trimesh.Trimesh) and len(mesh.faces):
            parts.append(_part(mesh, np.asarray(transform, np.float64), linear))
    if not parts:
        raise InputError(f"{path.name} holds no triangles")
    joined = _join(parts)
    if not np.isfinite(joined.vertices).all():
        raise InputError(f"{path.name} has vertices that are not finite")
    return joined


def _part(mesh: Any, transform: F64, linear: bool) -> Surface:
    if mesh.visual.kind == "face":
        colours = np.repeat(np.asarray(mesh.visual.face_colors)[:, :3], 3, axis=0) / 255
        mesh = mesh.copy()
        mesh.unmerge_vertices()
    elif mesh.visual.kind == "vertex":
        colours = np.asarray(mesh.visual.vertex_colors)[:, :3] / 255
    else:
        colours = _extra_colours(mesh)
    colour = np.asarray(colours, np.float32) if linear else srgb_to_linear(colours)
    count = len(mesh.vertices)
    uv = getattr(mesh.visual, "uv", None)
    uv = np.zeros((count, 2)) if uv is None or len(uv) != count else np.asarray(uv)[:, :2]
    vertices = np.asarray(mesh.vertices, np.float64) @ transform[:3, :3].T + transform[:3, 3]
    faces = np.asarray(mesh.faces, np.int32)
    if np.linalg.det(transform[:3, :3]) < 0:  # a mirror turns triangles inside out
        faces = faces[:, ::-1]
    paint = _paint(mesh.visual) if mesh.visual.kind == "texture" else _plain()
    return Surface(
        vertices,
        faces,
        uv.astype(np.float32),
        colour,
        np.zeros(len(faces), np.int32),
        (paint,),
    )


def _extra_colours(mesh: Any) -> NDArray[Any]:
    """Vertex colours beside a texture (glTF multiplies both), else white."""
    count = len(mesh.vertices)
    extra = getattr(mesh.visual, "vertex_attributes", {}).get("color")
    if extra is None or len(extra) != count:
        return np.ones((count, 3), np.float32)
    values = np.asarray(extra)
    top = np.iinfo(values.dtype).max if np.issubdtype(values.dtype, np.integer) else 1
    return values[:, :3].astype(np.float32) / top


def _plain() -> Paint:
    return Paint(np.ones(3, np.float32))


def _paint(visual: Any) -> Paint:
    material = getattr(visual, "material", None)
    if material is None:
        return _plain()
    if hasattr(material, "baseColorFactor"):  # PBR: the factor is linear
        factor, image = material.baseColorFactor, material.baseColorTexture
        scale = np.ones(3) if factor is None else _unit(factor)
    else:  # OBJ: a texture replaces the diffuse colour, which is sRGB
        image = getattr(material, "image", None)
        scale = srgb_to_linear(_unit(material.diffuse)) if image is None else np.ones(3)
    texture = None
    if image is not None:
        texture = srgb_to_linear(np.asarray(image.convert("RGB"), np.float32) / 255)
    return Paint(np.asarray(scale, np.float32), texture)


def _unit(colour: Any) -> F32:
    """trimesh hands 8-bit or floating colours over; (3,) in [0, 1]."""
    values = np.asarray(colour)
    out = values[:3].astype(np.float32)
    return out / np.float32(255) if np.issubdtype(values.dtype, np.integer) else out


def _join(parts: list[Surface]) -> Surface:
    starts = np.cumsum([0] + [len(p.vertices) for p in parts])
    return Surface(
        np.concatenate([p.vertices for p in parts]),
        np.concatenate([p.faces + s for p, s in zip(parts, starts, strict=False)]).astype(np.int32),
        np.concatenate([p.uv for p in parts]),
        np.concatenate([p.colour for p in parts]),
        np.concatenate([np.full(len(p.faces), k, np.int32) for k, p in enumerate(parts)]),
        tuple(p.paints[0] for p in parts),
    )
