"""High to low: the fit's own surface normals as a tangent-space normal map of the coarse mesh.

Every texel is a point of the mesh; from there the true surface is looked for along the mesh's
normal, in the signed distance field that the mesh came from (no second mesh is needed, and the
gradient of the field *is* the normal). The direction found is written in the frame that a renderer
will rebuild from normal, tangent and sign of the vertices, interpolated without making them unit
again (MikkTSpace, after Mikkelsen 2008): what is baked is what is shaded.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from img2mesh.artifacts import RadianceField, TexturedMesh
from img2mesh.core.arrays import F32, U8
from img2mesh.geometry.mesh import unit
from img2mesh.texture.maps import padded
from img2mesh.texture.raster import Texels, rasterise
from img2mesh.texture.tangents import vertex_tangents

#: How far the true surface is looked for, in voxels and as a share of the diagonal: decimation to
#: a few thousand faces moves the surface by about a hundredth of the diagonal where it moves most.
_REACH_VOXELS, _REACH = 3.0, 0.015

#: Newton steps along the normal; the field is nearly a distance, so that few are needed.
_STEPS = 5

#: A point is on the surface when the field is below this share of a voxel.
_FOUND = 0.1

#: A found normal this far from the mesh's own (cosine) belongs to another part of the object.
_AGREES = 0.2

_CHUNK = 200_000  # texels at once: bounds memory


def bake_normals(
    asset: TexturedMesh,
    field: RadianceField,
    *,
    resolution: int,
    progress: Callable[[float], None] | None = None,
) -> tuple[U8, F32, float]:
    """The normal map of an asset for the surface of a field.

    Args:
        asset: the coarse mesh; ``asset_from_world`` leads back to the field's world.
        field: what the mesh was extracted from.
        resolution: side of the square map.
        progress: told the fraction done.

    Returns:
        normal_map: (r, r, 3) uint8, x right, y up (green up), z out; flat outside the charts.
        tangents: (n, 4) float32 that the map is to be read with.
        found: share of the texels where the field's surface was found.
    """
    tangents = vertex_tangents(asset)
    texels = rasterise(asset.uv, asset.faces, resolution)
    points = texels.interpolate(asset.faces, asset.vertices)
    frame = Frame(asset, tangents, texels)
    relief = Relief(field)
    world_from_asset = np.linalg.inv(asset.asset_from_world)
    linear, shift = world_from_asset[:3, :3], world_from_asset[:3, 3]
    turn = linear / np.cbrt(np.linalg.det(linear))  # a similarity: directions only turn
    low = points @ linear.T + shift
    reach = max(
        _REACH_VOXELS * field.voxel,
        _REACH * float(np.linalg.norm(np.ptp(asset.vertices @ linear.T, axis=0))),
    )

    encoded = np.empty((len(low), 3), np.float32)
    hits = 0
    for begin in range(0, len(low), _CHUNK):
        part = slice(begin, begin + _CHUNK)
        along = frame.normal[part] @ turn.T
        high, sure = relief.normals(low[part], along, reach)
        sure &= (high * along).sum(axis=1) > _AGREES
        high = np.where(sure[:, None], high, along) @ turn
        encoded[part] = frame.encode(high, part)
        hits += int((sure & texels.inside[part]).sum())
        if progress:
            progress(min(begin + _CHUNK, len(low)) / len(low))
    picture = np.round((encoded * 0.5 + 0.5) * 255).astype(np.uint8)
    found = hits / max(int(texels.inside.sum()), 1)
    return padded(texels, picture, resolution), tangents, found


class Frame:
    """The tangent frame of every texel, as a renderer interpolates it.

    Attributes:
        normal: (k, 3) float64 unit normal of the coarse mesh.
    """

    def __init__(self, asset: TexturedMesh, tangents: F32, texels: Texels) -> None:
        self._n = texels.interpolate(asset.faces, asset.normals).astype(np.float64)
        t = texels.interpolate(asset.faces, tangents).astype(np.float64)
        self._t = t[:, :3]
        self._b = np.sign(t[:, 3:]) * np.cross(self._n, self._t)
        self.normal = unit(self._n)

    def encode(self, directions: NDArray[np.float64], part: slice) -> NDArray[np.float64]:
        """Unit directions (k, 3) in the frames of a part of the texels; z never below 0."""
        t, b, n = self._t[part], self._b[part], self._n[part]
        # Rows of the inverse of [t b n] are the cross products over the determinant, whose size
        # does not matter as the result is made unit.
        sign = np.sign((np.cross(t, b) * n).sum(axis=1, keepdims=True))
        local = sign * np.stack(
            [
                (np.cross(b, n) * directions).sum(axis=1),
                (np.cross(n, t) * directions).sum(axis=1),
                (np.cross(t, b) * directions).sum(axis=1),
            ],
            axis=1,
        )
        local[:, 2] = np.maximum(local[:, 2], 1e-6)
        return unit(local)


class Relief:
    """A field's zero level as a smooth surface: cubic B-spline of the grid."""

    def __init__(self, field: RadianceField) -> None:
        self._sdf, self._origin, self._voxel = field.sdf, field.origin, field.voxel
        # The spline is not made to go through the samples: it takes the grain of single voxels
        # out of the shading, as the surface stage's smoothing does out of the shape.
        slopes = [np.gradient(self._sdf, axis=axis).astype(np.float32) for axis in range(3)]
        self._slopes = slopes

    def normals(
        self, points: NDArray[np.float64], along: NDArray[np.float64], reach: float
    ) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Unit outward normals (k, 3) of the surface beside points (k, 3), and where one was found.

        Args:
            points: in the field's world.
            along: (k, 3) unit directions to look in, forwards and backwards.
            reach: how far, in world units.
        """
        grid = (points - self._origin) / self._voxel
        limit, t = reach / self._voxel, np.zeros(len(points))
        step = 0.5
        for _ in range(_STEPS):
            here = grid + t[:, None] * along
            value = self._at(self._sdf, here) / self._voxel
            ahead = self._at(self._sdf, here + step * along) / self._voxel
            # Never steeper than the field can be, nor so flat that a step runs away.
            slope = np.clip((ahead - value) / step, 0.25, 1.5)
            t = np.clip(t - value / slope, -limit, limit)
        here = grid + t[:, None] * along
        value = self._at(self._sdf, here) / self._voxel
        gradient = np.stack([self._at(slope, here) for slope in self._slopes], axis=1)
        length = np.linalg.norm(gradient, axis=1)
        return unit(gradient), (np.abs(value) < _FOUND) & (length > 0.1 * self._voxel)

    def _at(self, grid: F32, points: NDArray[np.float64]) -> NDArray[np.float64]:
        from scipy import ndimage

        return ndimage.map_coordinates(
            grid, points.T, order=3, prefilter=False, mode="nearest", output=np.float64
        )
