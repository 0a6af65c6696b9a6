"""The plain texture to measure ours against: a weighted mean of all views, texel by texel.

Weight = cosine to the fourth power (above 0.15), where visible, with a ramp of 3 pixels from the
silhouette and 2.5 from depth jumps; unseen texels from the 12 nearest seen ones in position and
normal. On the same atlas as ours.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from img2mesh.artifacts import Mesh, TexturedMesh, ViewSet
from img2mesh.core.arrays import SEEN_IN_VIEWS, UNSEEN
from img2mesh.geometry.mesh import vertex_normals
from img2mesh.geometry.raycast import Scene
from img2mesh.imaging.lookup import bilinear
from img2mesh.texture.atlas import unwrap
from img2mesh.texture.bake import _coverage, _picture
from img2mesh.texture.raster import rasterise
from img2mesh.texture.sources import prepare


def plain_mean(mesh: Mesh, views: ViewSet, *, resolution: int) -> TexturedMesh:
    """Paint a mesh with the weighted mean of all views that see each texel."""
    atlas = unwrap(mesh, resolution)
    scene, normals = Scene(mesh.vertices, mesh.faces), vertex_normals(mesh.vertices, mesh.faces)
    diagonal = float(np.linalg.norm(np.ptp(mesh.vertices, axis=0)))
    texels = rasterise(atlas.uv, atlas.faces, resolution)
    points = texels.interpolate(mesh.faces, mesh.vertices)
    facing = texels.interpolate(mesh.faces, normals)
    facing /= np.maximum(np.linalg.norm(facing, axis=1, keepdims=True), 1e-12)
    total, weight = np.zeros((len(points), 3)), np.zeros(len(points))
    for view in views.views:
        source = prepare(view, scene, diagonal=diagonal, is_photo=False)
        towards = source.camera.origin - points
        cosine = (towards * facing).sum(axis=1) / np.linalg.norm(towards, axis=1)
        near = np.flatnonzero(cosine > 0.15)
        near = near[scene.sees(source.camera, points[near], facing[near], offset=1e-3 * diagonal)]
        uv, _ = source.camera.project(points[near])
        share = cosine[near] ** 4 * bilinear(source.confidence, uv)
        total[near] += share[:, None] * bilinear(source.rgb, uv)
        weight[near] += share
    seen = weight > 0
    colour = total / np.maximum(weight, 1e-12)[:, None]
    if seen.any() and not seen.all():
        place = np.concatenate([points, 0.15 * facing], axis=1)
        distance, index = cKDTree(place[seen]).query(place[~seen], k=12)
        share = 1 / np.maximum(distance, 1e-6) ** 2
        share /= share.sum(axis=1, keepdims=True)
        colour[~seen] = (share[..., None] * colour[seen][index]).sum(axis=1)
    coverage = np.where(seen, SEEN_IN_VIEWS, UNSEEN).astype(np.uint8)
    return TexturedMesh(
        vertices=mesh.vertices[atlas.source_vertex],
        faces=atlas.faces,
        uv=atlas.uv,
        normals=normals[atlas.source_vertex],
        texture=_picture(texels, colour.astype(np.float32), resolution),
        coverage=_coverage(texels, coverage, resolution),
        source_vertex=atlas.source_vertex,
    )
