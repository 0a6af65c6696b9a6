"""Bodies with a formula, their fields, and coarse meshes of them that wear baked normal maps."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import trimesh

from img2mesh.artifacts import Mesh, RadianceField, TexturedMesh
from img2mesh.geometry.mesh import face_normals, vertex_normals
from img2mesh.texture.atlas import unwrap
from img2mesh.texture.relief import bake_normals

SIZE = 256


def sphere(p):
    return np.linalg.norm(p, axis=-1) - 0.7


def field_of(body, size=80) -> RadianceField:
    axis = np.linspace(-1, 1, size)
    points = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1)
    return RadianceField(body(points), np.full(3, -1.0), float(axis[1] - axis[0]), 0.01)


def plain(mesh: Mesh, normals=None) -> TexturedMesh:
    atlas = unwrap(mesh, SIZE)
    normals = vertex_normals(mesh.vertices, mesh.faces) if normals is None else normals
    return TexturedMesh(
        mesh.vertices[atlas.source_vertex],
        atlas.faces,
        atlas.uv,
        normals[atlas.source_vertex],
        np.full((SIZE, SIZE, 3), 190, np.uint8),
        np.ones((SIZE, SIZE), np.uint8),
        atlas.source_vertex,
    )


def baked(asset: TexturedMesh, field: RadianceField) -> TexturedMesh:
    picture, tangents, _ = bake_normals(asset, field, resolution=SIZE)
    return replace(asset, normal_map=picture, tangents=tangents)


def mirrored(asset: TexturedMesh) -> TexturedMesh:
    return replace(asset, uv=np.stack([1 - asset.uv[:, 0], asset.uv[:, 1]], axis=1))


def faceted_ball(body: trimesh.Trimesh) -> TexturedMesh:
    """Unwrapped with a normal a face: without a map every triangle shows."""
    asset = plain(Mesh(body.vertices, body.faces))
    corner = asset.faces.ravel()
    return replace(
        asset,
        vertices=asset.vertices[corner],
        faces=np.arange(len(corner)).reshape(-1, 3),
        uv=asset.uv[corner],
        normals=np.repeat(face_normals(asset.vertices, asset.faces), 3, axis=0),
        source_vertex=asset.source_vertex[corner],
    )


def round_ball() -> TexturedMesh:
    """The sphere itself: 20 480 faces and exact normals."""
    ball = trimesh.creation.icosphere(5, 0.7)
    count = len(ball.vertices)
    return TexturedMesh(
        ball.vertices,
        ball.faces,
        np.zeros((count, 2)),
        ball.vertices / 0.7,
        np.full((8, 8, 3), 190, np.uint8),
        np.ones((8, 8), np.uint8),
        np.arange(count),
    )


def turned_over(asset: TexturedMesh) -> TexturedMesh:
    """With the map's green pointing down, as DirectX has it."""
    picture = asset.normal_map.copy()
    picture[..., 1] = 255 - picture[..., 1]
    return replace(asset, normal_map=picture)


def psnr(one, other) -> float:
    return float(-10 * np.log10(((one - other) ** 2).mean()))
