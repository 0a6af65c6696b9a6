"""The texture atlas measured: do charts overlap, and how much of the surface was really seen."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from img2mesh.artifacts import TexturedMesh
from img2mesh.core.arrays import SEEN_IN_PHOTO, SEEN_IN_VIEWS

_SUBTEXEL = 256  # fixed-point steps per texel: exact edge tests, no texel counted by both sides
_CHUNK = 1 << 21  # candidate texels handled at once, bounds memory to some 100 MB
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
    for face, x, y in rasterise(asset.uv[asset.faces], columns, rows):
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

    corners = asset.vertices[asset.faces].astype(np.float64)
    area = np.linalg.norm(
        np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1
    )
    share = kinds / kinds.sum(axis=1, keepdims=True)
    seen = area @ share / max(float(area.sum()), 1e-30)
    covered = int((layers > 0).sum())
    return Charts(
        uv_overlap=float((layers > 1).sum() / max(covered, 1)),
        uv_utilisation=float(covered / layers.size),
        seen_photo=float(seen[SEEN_IN_PHOTO]),
        seen_views=float(seen[SEEN_IN_VIEWS]),
    )


def rasterise(
    triangles: NDArray[np.float32], width: int, height: int
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]]:
    """Pixel centres inside 2D triangles, in chunks, by edge functions with the top-left rule.

    Triangles that share an edge never share a pixel and leave none out (J. Pineda, "A parallel
    algorithm for polygon rasterization", 1988); coordinates are fixed-point, so this is exact.

    Args:
        triangles: (m, 3, 2) in [0, 1], either winding.
        width, height: pixels over the unit square.

    Yields:
        triangle, x, y: equally long index arrays, one entry per covered pixel centre.
    """
    scaled = triangles.astype(np.float64) * (width, height) * _SUBTEXEL
    p = np.rint(scaled).astype(np.int64)
    edge1, edge2 = p[:, 1] - p[:, 0], p[:, 2] - p[:, 0]
    doubled = edge1[:, 0] * edge2[:, 1] - edge1[:, 1] * edge2[:, 0]
    p = np.where((doubled < 0)[:, None, None], p[:, ::-1], p)
    half = _SUBTEXEL // 2
    low = np.maximum((p.min(axis=1) + half - 1) // _SUBTEXEL, 0)
    high = np.minimum((p.max(axis=1) - half) // _SUBTEXEL + 1, (width, height))
    size = np.maximum(high - low, 0)
    candidates = np.where(doubled != 0, size[:, 0] * size[:, 1], 0)
    ends = np.cumsum(candidates)
    first = 0
    while first < len(p):
        base = ends[first - 1] if first else 0
        last = max(int(np.searchsorted(ends, base + _CHUNK, side="right")), first + 1)
        number = candidates[first:last]
        face = np.repeat(np.arange(first, last), number)
        offset = np.arange(len(face)) - np.repeat(ends[first:last] - number - base, number)
        x = low[face, 0] + offset % size[face, 0]
        y = low[face, 1] + offset // size[face, 0]
        inside = np.ones(len(face), np.bool_)
        for i in range(3):
            a, d = p[:, i], p[:, (i + 1) % 3] - p[:, i]
            # y runs down and the winding is made positive: a top edge runs right, a left one up.
            owns = (d[:, 1] < 0) | ((d[:, 1] == 0) & (d[:, 0] > 0))
            constant = d[:, 1] * a[:, 0] - d[:, 0] * a[:, 1] + half * (d[:, 0] - d[:, 1]) + owns
            value = constant[face] + _SUBTEXEL * (d[face, 0] * y - d[face, 1] * x)
            inside &= value > 0
        yield face[inside], x[inside], y[inside]
        first = last
