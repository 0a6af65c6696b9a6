"""Vertex tangents after MikkTSpace (Mikkelsen 2008), the frame glTF clients expect of normal maps.

A corner's tangent is the direction in which u grows on its triangle, laid into the plane of the
vertex normal and made unit; a vertex takes the mean of its corners weighted by their angles.
Triangles whose texture is mirrored count apart from the others, and the sign of the bitangent
says which kind a vertex belongs to. Checked against the reference implementation in the tests.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from img2mesh.artifacts import TexturedMesh
from img2mesh.core.arrays import F32
from img2mesh.geometry.mesh import sum_at_vertices, unit

_TINY = 1e-20


def vertex_tangents(asset: TexturedMesh) -> F32:
    """(n, 4) float32: unit tangent, and w with bitangent = w * cross(normal, tangent).

    The bitangent points up in the picture (towards smaller v), as glTF's normal maps want it.
    Charts do not share vertices, so a vertex has one tangent. Where a chart folds back on itself,
    a vertex would need two; it keeps that of the wider side, as w can have one sign only.
    """
    faces, normals = asset.faces, asset.normals.astype(np.float64)
    corners = asset.vertices.astype(np.float64)[faces]
    uv = asset.uv.astype(np.float64)[faces]
    one, two = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    # v counts down in glTF and up in MikkTSpace.
    s, t = uv[:, 1] - uv[:, 0], uv[:, 2] - uv[:, 0]
    area = s[:, 1] * t[:, 0] - s[:, 0] * t[:, 1]
    along = (s[:, 1:] * two - t[:, 1:] * one) * np.where(area > 0, 1.0, -1.0)[:, None]
    usable = (np.abs(area) > _TINY) & (np.linalg.norm(along, axis=1) > _TINY)

    angle = _angles(corners, normals[faces])
    kinds = []
    for side in (area > 0, area <= 0):
        weight = np.where((usable & side)[:, None], angle, 0)
        flat = unit(_laid(along[:, None], normals[faces]))
        kinds.append((sum_at_vertices(faces, flat * weight[..., None], len(normals)), weight))
    width = [np.bincount(faces.ravel(), w.ravel(), len(normals)) for _, w in kinds]
    mirrored = width[1] > width[0]
    tangent = np.where(mirrored[:, None], kinds[1][0], kinds[0][0])
    length = np.linalg.norm(tangent, axis=1)
    lost = length < 1e-12
    tangent[lost] = _any_tangent(normals[lost])
    tangent = unit(tangent)
    sign = np.where(mirrored, -1.0, 1.0)
    return np.concatenate([tangent, sign[:, None]], axis=1).astype(np.float32)


def _angles(corners: NDArray[np.float64], normals: NDArray[np.float64]) -> NDArray[np.float64]:
    """(m, 3) angle of each corner between its two edges, both laid into the normal's plane."""
    onward = unit(_laid(np.roll(corners, -1, axis=1) - corners, normals))
    back = unit(_laid(np.roll(corners, 1, axis=1) - corners, normals))
    return np.arccos(np.clip((onward * back).sum(axis=2), -1, 1))


def _laid(vectors: NDArray[np.float64], normals: NDArray[np.float64]) -> NDArray[np.float64]:
    return vectors - (vectors * normals).sum(axis=-1, keepdims=True) * normals


def _any_tangent(normals: NDArray[np.float64]) -> NDArray[np.float64]:
    """Some direction across each normal, for vertices whose triangles have no texture."""
    least = np.eye(3)[np.argmin(np.abs(normals), axis=1)] if len(normals) else normals
    return np.cross(normals, least)
