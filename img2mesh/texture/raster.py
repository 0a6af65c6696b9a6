"""Which face paints which texel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from img2mesh.core.arrays import F32, I32
from img2mesh.geometry.raster import texels_of

#: Texels painted beyond a chart's border with the surface continued, in texels: what bilinear
#: filtering of a texture reaches for.
SKIRT = 1.5

#: Largest deviation of a barycentric weight from 1/3; 2/3 is a corner of the face.
_EXTRAPOLATION = 2.0


@dataclass(frozen=True)
class Texels:
    """The texels that show surface, and a skirt around every chart.

    Attributes:
        index: (k,) int64 flat index, row * resolution + column, ascending.
        face: (k,) int32.
        barycentric: (k, 3) float32 of the texel's centre; outside [0, 1] in the skirt.
        inside: (k,) bool, False in the skirt.
        overlap: share of the inside texels that more than one face claims.
        contested: (k,) bool, which texels those are.
    """

    index: NDArray[np.int64]
    face: I32
    barycentric: F32
    inside: NDArray[np.bool_]
    overlap: float
    contested: NDArray[np.bool_]

    def interpolate(self, faces: I32, values: NDArray[np.floating]) -> F32:
        """Per-vertex values (n, c) at every texel: (k, c) float32."""
        corner = faces[self.face]
        out = values[corner[:, 0]] * self.barycentric[:, :1]
        out += values[corner[:, 1]] * self.barycentric[:, 1:2]
        out += values[corner[:, 2]] * self.barycentric[:, 2:]
        return out.astype(np.float32)


def rasterise(uv: F32, faces: I32, resolution: int) -> Texels:
    """Find the face under every texel centre; where charts overlap, the face of lower number wins.

    Args:
        uv: (n, 2) in [0, 1].
        faces: (m, 3), either winding.
        resolution: texels along each side.
    """
    from scipy import ndimage

    pixel = uv.astype(np.float64) * resolution
    owner = np.full(resolution * resolution, -1, np.int32)
    layers = np.zeros(resolution * resolution, np.int64)
    for face, x, y in texels_of(uv[faces], resolution, resolution):
        texel = y * resolution + x
        layers += np.bincount(texel, minlength=len(layers))
        free = owner[texel] < 0
        owner[texel[free][::-1]] = face[free][::-1]  # the last write wins: the lowest face
    grid = (owner >= 0).reshape(resolution, resolution)
    if not grid.any():  # every face is smaller than a texel: one texel each, at its middle
        middle = np.clip(pixel[faces].mean(axis=1).astype(np.int64), 0, resolution - 1)
        owner[(middle[:, 1] * resolution + middle[:, 0])[::-1]] = np.arange(len(faces))[::-1]
        grid = (owner >= 0).reshape(resolution, resolution)
    distance, nearest = ndimage.distance_transform_edt(~grid, return_indices=True)
    index = np.flatnonzero(distance.ravel() <= SKIRT)
    source = (nearest[0] * resolution + nearest[1]).ravel()[index]
    face = owner[source]
    return Texels(
        index,
        face,
        _barycentric(pixel, faces, face, index, resolution),
        owner[index] >= 0,
        float((layers > 1).sum() / max(int(grid.sum()), 1)),
        layers[index] > 1,
    )


def _barycentric(
    pixel: NDArray[np.float64], faces: I32, face: I32, index: NDArray[np.int64], resolution: int
) -> F32:
    """(k, 3) weights of the texel centres in their faces, extrapolated with bounds."""
    a, b, c = (pixel[faces[:, k]] for k in range(3))
    ab, ac = b - a, c - a
    area = ab[:, 0] * ac[:, 1] - ab[:, 1] * ac[:, 0]
    inverse = np.where(np.abs(area) > 1e-12, 1 / np.where(np.abs(area) > 1e-12, area, 1), 0)
    dx = index % resolution + 0.5 - a[face, 0]
    dy = index // resolution + 0.5 - a[face, 1]
    u = (dx * ac[face, 1] - dy * ac[face, 0]) * inverse[face]
    v = (ab[face, 0] * dy - ab[face, 1] * dx) * inverse[face]
    # Slivers would throw a skirt texel far away: pull such weights towards the face's middle.
    off = np.stack([1 - u - v, u, v], axis=1) - 1 / 3
    reach = np.maximum(np.abs(off).max(axis=1, keepdims=True) / _EXTRAPOLATION, 1)
    return (off / reach + 1 / 3).astype(np.float32)
