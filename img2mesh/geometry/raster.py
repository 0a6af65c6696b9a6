"""Which pixels lie in which triangle of the plane, exactly."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from img2mesh.core.arrays import F32
from img2mesh.geometry.mesh import Ints

#: Fixed-point steps over the unit square, at most: as fine as float32, and products fit in int64.
_STEPS = 1 << 30
_CHUNK = 1 << 21  # candidate pixels handled at once, bounds memory to some 100 MB


def texels_of(triangles: F32, width: int, height: int) -> Iterator[tuple[Ints, Ints, Ints]]:
    """Pixel centres inside 2D triangles, in chunks, by edge functions with the top-left rule.

    Triangles that share an edge never share a pixel and leave none out (J. Pineda, "A parallel
    algorithm for polygon rasterization", 1988); coordinates are fixed-point, so this is exact.

    Args:
        triangles: (m, 3, 2) in [0, 1], y downwards, either winding.
        width, height: pixels over the unit square.

    Yields:
        triangle, x, y: equally long index arrays, one entry per covered pixel centre.
    """
    pixel = 1 << int(np.log2(_STEPS / max(width, height)))
    scaled = triangles.astype(np.float64) * (width, height) * pixel
    p = np.rint(scaled).astype(np.int64)
    edge1, edge2 = p[:, 1] - p[:, 0], p[:, 2] - p[:, 0]
    doubled = edge1[:, 0] * edge2[:, 1] - edge1[:, 1] * edge2[:, 0]
    p = np.where((doubled < 0)[:, None, None], p[:, ::-1], p)
    half = pixel // 2
    low = np.maximum((p.min(axis=1) + half - 1) // pixel, 0)
    high = np.minimum((p.max(axis=1) - half) // pixel + 1, (width, height))
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
        inside = np.ones(len(face), bool)
        for i in range(3):
            a, d = p[:, i], p[:, (i + 1) % 3] - p[:, i]
            # y runs down and the winding is made positive: a top edge runs right, a left one up.
            owns = (d[:, 1] < 0) | ((d[:, 1] == 0) & (d[:, 0] > 0))
            constant = d[:, 1] * a[:, 0] - d[:, 0] * a[:, 1] + half * (d[:, 0] - d[:, 1]) + owns
            value = constant[face] + pixel * (d[face, 0] * y - d[face, 1] * x)
            inside &= value > 0
        yield face[inside], x[inside], y[inside]
        first = last
