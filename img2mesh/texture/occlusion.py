"""Occlusion, roughness and metalness, packed as glTF reads them: R, G and B of one picture.

Occlusion is measured: rays from every texel tell how much of the sky the mesh itself hides.
Roughness and metalness cannot be told from the pictures the mesh is made of; they are the
constants that the material would have without a map (no metal), so that an artist has a channel to
paint in.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from img2mesh.artifacts import TexturedMesh
from img2mesh.core.arrays import U8
from img2mesh.geometry.mesh import bounds, face_normals, unit
from img2mesh.geometry.raycast import Scene, ambient_occlusion
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


def bake_orm(
    asset: TexturedMesh,
    *,
    resolution: int,
    roughness: float,
    progress: Callable[[float], None] | None = None,
) -> U8:
    """The occlusion-roughness-metallic map of an asset, (r, r, 3) uint8.

    Args:
        asset: the mesh.
        resolution: side of the square map.
        roughness: of the whole surface, in [0, 1].
        progress: told the fraction done.
    """
    from PIL import Image

    side = max(min(resolution // 2, _SIDE), min(resolution, 64))
    texels = rasterise(asset.uv, asset.faces, side)
    points = texels.interpolate(asset.faces, asset.vertices).astype(np.float64)
    normals = unit(texels.interpolate(asset.faces, asset.normals).astype(np.float64))
    low, high = bounds(asset.vertices, asset.faces)
    extent = float((high - low).max())
    sky = ambient_occlusion(
        Scene(asset.vertices, asset.faces),
        points,
        normals,
        flat=face_normals(asset.vertices, asset.faces)[texels.face],
        rays=_RAYS,
        reach=_REACH * extent,
        offset=_OFFSET * extent,
        progress=progress,
    )
    levels = np.round(255 * sky).astype(np.uint8)[:, None]
    # Around a chart, points lie beyond their triangles, often inside the body: not measured.
    picture = Image.fromarray(padded(texels, levels, side, texels.inside)[..., 0])
    out = np.empty((resolution, resolution, 3), np.uint8)
    out[..., 0] = np.asarray(picture.resize((resolution, resolution), Image.Resampling.BILINEAR))
    out[..., 1], out[..., 2] = round(255 * roughness), 0
    return out
