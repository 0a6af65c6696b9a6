"""The texture atlas measured: do charts overlap, and how much of the surface was really seen."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from img2mesh.artifacts import TexturedMesh
from img2mesh.core.arrays import SEEN_IN_PHOTO, SEEN_IN_VIEWS
from img2mesh.geometry.mesh import areas
from img2mesh.geometry.raster import texels_of

_RESOLUTION = 1024  # samples along an atlas side; finer atlases are measured on every n-th texel


@dataclass(frozen=True)
class Charts:
    """Measures of an atlas.

    Attributes:
        uv_overlap: texel centres covered by more than one triangle, as a share of those covered.
        uv_utilisation: texel centres covered by a triangle, as a share of all.
        seen_photo: share of the surface's area whose texels were observed in the photo.
        seen_views: share observed in the views only.
    """

    uv_overlap: float
    uv_utilisation: float
    seen_photo: float
    seen_views: float


def charts(asset: TexturedMesh) -> Charts:
    """Measure the atlas by rasterising its triangles.

    The seen shares weigh each face by its area on the object: face area times the share of its
    texels with that coverage. A face that holds no texel centre takes the texel of its centroid.
    """
    height, width = asset.coverage.shape
    rows, columns = min(height, _RESOLUTION), min(width, _RESOLUTION)
    layers = np.zeros(rows * columns, np.int64)
    kinds = np.zeros((len(asset.faces), 4), np.int64)
    for face, x, y in texels_of(asset.uv[asset.faces], columns, rows):
        layers += np.bincount(y * columns + x, minlength=layers.size)
        texel = asset.coverage[
            ((y + 0.5) * height / rows).astype(np.int64),
            ((x + 0.5) * width / columns).astype(np.int64),
        ]
        kinds += np.bincount(face * 4 + np.minimum(texel, 3), minlength=kinds.size).reshape(
            kinds.shape
        )
    empty = np.flatnonzero(kinds.sum(axis=1) == 0)
    centroid = asset.uv[asset.faces[empty]].mean(axis=1)
    x = np.clip((centroid[:, 0] * width).astype(np.int64), 0, width - 1)
    y = np.clip((centroid[:, 1] * height).astype(np.int64), 0, height - 1)
    kinds[empty, np.minimum(asset.coverage[y, x], 3)] = 1

    area = areas(asset.vertices, asset.faces)
    share = kinds / kinds.sum(axis=1, keepdims=True)
    seen = area @ share / max(float(area.sum()), 1e-30)
    covered = int((layers > 0).sum())
    return Charts(
        uv_overlap=float((layers > 1).sum() / max(covered, 1)),
        uv_utilisation=float(covered / layers.size),
        seen_photo=float(seen[SEEN_IN_PHOTO]),
        seen_views=float(seen[SEEN_IN_VIEWS]),
    )
