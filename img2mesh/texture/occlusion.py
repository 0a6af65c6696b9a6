"""Occlusion, roughness and metalness, packed as glTF reads them: R, G and B of one picture.

Occlusion is measured: rays from every texel tell how much of the sky the mesh itself hides.
Roughness and metalness cannot be told from the pictures the mesh is made of; they are the
constants that the material would have without a map, so that an artist has a channel to paint in.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from img2mesh.artifacts import TexturedMesh
from img2mesh.core.arrays import F32, U8
from img2mesh.geometry.raycast import Scene
from img2mesh.texture.atlas import face_normals
from img2mesh.texture.maps import padded
from img2mesh.texture.raster import rasterise

#: Cosine-weighted rays a texel; 128 differ from 64 by less than two levels of 255 on average.
_RAYS = 64

#: Occluders further away than this share of the bounding box's largest side count as sky.
_REACH = 0.5

#: Occlusion varies slowly over the surface: a quarter of the texels is enough, up to this side.
_SIDE = 512

#: Rays start this share of the largest side off the surface.
_OFFSET = 2e-3

_CHUNK = 1 << 20  # rays cast at once: bounds memory to about 100 MB


def bake_orm(
    asset: TexturedMesh,
    *,
    resolution: int,
    roughness: float,
    metalness: float = 0.0,
    progress: Callable[[float], None] | None = None,
) -> U8:
    """The occlusion-roughness-metallic map of an asset, (r, r, 3) uint8.

    Args:
        asset: the mesh.
        resolution: side of the square map.
        roughness: of the whole surface, in [0, 1].
        metalness: of the whole surface, in [0, 1].
        progress: told the fraction done.
    """
    from PIL import Image

    side = max(min(resolution // 2, _SIDE), min(resolution, 64))
    texels = rasterise(asset.uv, asset.faces, side)
    points = texels.interpolate(asset.faces, asset.vertices).astype(np.float64)
    normals = texels.interpolate(asset.faces, asset.normals).astype(np.float64)
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
    flat = face_normals(asset.vertices, asset.faces)[texels.face]
    extent = float(np.ptp(asset.vertices[np.unique(asset.faces)], axis=0).max())
    sky = openness(Scene(asset.vertices, asset.faces), points, normals, flat, extent, progress)
    levels = np.round(255 * sky).astype(np.uint8)[:, None]
    # Around a chart, points lie beyond their triangles, often inside the body: not measured.
    picture = Image.fromarray(padded(texels, levels, side, texels.inside)[..., 0])
    out = np.empty((resolution, resolution, 3), np.uint8)
    out[..., 0] = np.asarray(picture.resize((resolution, resolution), Image.Resampling.BILINEAR))
    out[..., 1], out[..., 2] = round(255 * roughness), round(255 * metalness)
    return out


def openness(
    scene: Scene,
    points: NDArray[np.float64],
    normals: NDArray[np.float64],
    flat: NDArray[np.float64],
    extent: float,
    progress: Callable[[float], None] | None = None,
) -> F32:
    """(k,) cosine-weighted share of the sky that surface points see; occluders fade with distance.

    Args:
        scene: the mesh.
        points: (k, 3) on its faces.
        normals: (k, 3) unit smooth normals there.
        flat: (k, 3) unit normals of the faces.
        extent: the mesh's largest side.
        progress: told the fraction done.
    """
    i = np.arange(_RAYS)
    radius, angle = np.sqrt((i + 0.5) / _RAYS), i * np.pi * (3 - np.sqrt(5))
    local = np.stack([radius * np.cos(angle), radius * np.sin(angle), np.sqrt(1 - radius**2)], 1)
    out = np.empty(len(points), np.float32)
    step = max(_CHUNK // _RAYS, 1)
    for begin in range(0, len(points), step):
        part = slice(begin, begin + step)
        rays = np.einsum("rk,nkc->nrc", local, _frames(normals[part]))
        # A smooth normal leans over the flat face it belongs to: rays into the face would show
        # the triangles as shadows, so that they are mirrored out of it.
        below = np.einsum("nrc,nc->nr", rays, flat[part])
        rays -= 2 * np.minimum(below, 0)[..., None] * flat[part, None]
        start = points[part] + _OFFSET * extent * flat[part]
        distance, _ = scene.cast(start[:, None], rays)
        out[part] = np.minimum(distance / (_REACH * extent), 1).mean(axis=1)
        if progress:
            progress(min(begin + step, len(points)) / len(points))
    return out


def _frames(normals: NDArray[np.float64]) -> NDArray[np.float64]:
    """(k, 3, 3) rows tangent, bitangent, normal, continuous but at one pole.

    Duff et al., "Building an Orthonormal Basis, Revisited", JCGT 2017.
    """
    x, y, z = normals.T
    sign = np.where(z >= 0, 1.0, -1.0)
    a = -1 / (sign + z)
    b = x * y * a
    tangent = np.stack([1 + sign * x * x * a, sign * b, -sign * x], axis=1)
    bitangent = np.stack([b, sign + y * y * a, -y], axis=1)
    return np.stack([tangent, bitangent, normals], axis=1)
