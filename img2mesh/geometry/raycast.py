"""What a camera sees of a mesh: depth, normals, faces and visibility, by ray casting.

Over open3d's RaycastingScene (Embree), which needs no GPU and no display.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from img2mesh.core.arrays import F32, F64, I32
from img2mesh.core.cameras import Camera
from img2mesh.core.runtime import threads
from img2mesh.geometry.mesh import frames

_CHUNK = 1 << 20  # rays cast at once: bounds memory to about 100 MB


@dataclass(frozen=True)
class Hits:
    """What each pixel sees.

    Attributes:
        depth: (h, w) float32 z-depth, NaN where nothing is hit.
        face: (h, w) int32 face index, -1 where nothing is hit.
        barycentric: (h, w, 2) float32 weights of the face's second and third vertex.
        normal: (h, w, 3) float32 geometric unit normal in the world, 0 where nothing is hit.
    """

    depth: F32
    face: I32
    barycentric: F32
    normal: F32

    @property
    def mask(self) -> NDArray[np.bool_]:
        """(h, w) where a surface is seen."""
        return self.face >= 0

    def interpolate(self, faces: I32, values: NDArray[Any]) -> NDArray[np.float32]:
        """Per-vertex values (n, c) at every pixel: (h, w, c) float32, 0 where nothing is hit."""
        out = np.zeros((*self.face.shape, values.shape[1]), np.float32)
        hit = self.mask
        corners = values[faces[self.face[hit]]].astype(np.float32)  # (k, 3, c)
        b = self.barycentric[hit]
        weights = np.stack([1 - b[:, 0] - b[:, 1], b[:, 0], b[:, 1]], axis=1)
        out[hit] = (weights[:, :, None] * corners).sum(axis=1)
        return out


class Scene:
    """A triangle mesh ready for rays.

    Args:
        vertices: (n, 3) world coordinates.
        faces: (m, 3).
    """

    def __init__(self, vertices: NDArray[Any], faces: NDArray[Any]) -> None:
        import open3d

        o3d: Any = open3d  # its stubs know no arrays
        self._tensor = o3d.core.Tensor
        self._scene = o3d.t.geometry.RaycastingScene(nthreads=threads())
        self._scene.add_triangles(
            self._tensor(np.ascontiguousarray(vertices, np.float32)),
            self._tensor(np.ascontiguousarray(faces, np.uint32)),
        )

    def _rays(self, origins: NDArray[Any], directions: NDArray[Any]) -> Any:
        rays = np.empty((*directions.shape[:-1], 6), np.float32)
        rays[..., :3], rays[..., 3:] = origins, directions
        return self._tensor(rays)

    def look(self, camera: Camera) -> Hits:
        """Cast one ray through every pixel centre."""
        # Directions have unit z-depth, so the ray parameter *is* the z-depth.
        return self.strike(camera.origin, camera.directions())

    def strike(self, origins: NDArray[Any], directions: NDArray[Any]) -> Hits:
        """Cast rays (h, w, 3); ``depth`` is in lengths of their directions."""
        answer = self._scene.cast_rays(self._rays(origins, directions), nthreads=threads())
        depth = answer["t_hit"].numpy()
        hit = np.isfinite(depth)
        face = np.where(hit, answer["primitive_ids"].numpy().astype(np.int64), -1)
        normal = np.where(hit[..., None], answer["primitive_normals"].numpy(), 0)
        return Hits(
            np.where(hit, depth, np.nan).astype(np.float32),
            face.astype(np.int32),
            answer["primitive_uvs"].numpy().astype(np.float32),
            normal.astype(np.float32),
        )

    def cast(self, origins: NDArray[Any], directions: NDArray[Any]) -> tuple[F32, I32]:
        """Any rays (..., 3): distance in lengths of the direction (inf = miss) and face (-1)."""
        answer = self._scene.cast_rays(self._rays(origins, directions), nthreads=threads())
        distance = answer["t_hit"].numpy()
        face = np.where(np.isfinite(distance), answer["primitive_ids"].numpy().astype(np.int64), -1)
        return distance.astype(np.float32), face.astype(np.int32)

    def sees(
        self, camera: Camera, points: NDArray[Any], normals: NDArray[Any], *, offset: float
    ) -> NDArray[np.bool_]:
        """Which surface points (n, 3) the camera sees unoccluded (facing is not tested).

        ``offset`` (world units) lifts the points along their normals off their own surface.
        """
        start = np.asarray(points, np.float64) + offset * np.asarray(normals, np.float64)
        answer = self._scene.test_occlusions(
            self._rays(start, camera.origin - start), tnear=0.0, tfar=1.0, nthreads=threads()
        )
        return ~answer.numpy()

    def closest(self, points: NDArray[Any]) -> tuple[F64, I32]:
        """Nearest surface points (n, 3) float64 and their faces (n,) of query points (n, 3)."""
        query = self._tensor(np.ascontiguousarray(points, np.float32))
        answer = self._scene.compute_closest_points(query, nthreads=threads())
        return (
            answer["points"].numpy().astype(np.float64),
            answer["primitive_ids"].numpy().astype(np.int32),
        )

    def inside(self, points: NDArray[Any]) -> NDArray[np.bool_]:
        """Which points (..., 3) lie inside the (closed) mesh."""
        query = self._tensor(np.ascontiguousarray(points, np.float32))
        return self._scene.compute_occupancy(query, nthreads=threads(), nsamples=3).numpy() > 0.5


def ambient_occlusion(
    scene: Scene,
    points: F64,
    normals: F64,
    *,
    flat: F64,
    rays: int,
    reach: float,
    offset: float,
    progress: Callable[[float], None] | None = None,
) -> F32:
    """(k,) cosine-weighted share of the sky that surface points see; occluders fade with distance.

    Args:
        scene: the mesh.
        points: (k, 3) on its faces.
        normals: (k, 3) unit smooth normals there, around which rays are spread.
        flat: (k, 3) unit normals of the faces; no ray goes below them.
        rays: for each point, on a Fibonacci spiral.
        reach: distance from which an occluder counts as sky, world units.
        offset: how far rays start off the surface along ``flat``, world units.
        progress: told the fraction done.
    """
    i = np.arange(rays)
    radius, angle = np.sqrt((i + 0.5) / rays), i * np.pi * (3 - np.sqrt(5))
    local = np.stack([radius * np.cos(angle), radius * np.sin(angle), np.sqrt(1 - radius**2)], 1)
    out = np.empty(len(points), np.float32)
    step = max(_CHUNK // rays, 1)
    for begin in range(0, len(points), step):
        part = slice(begin, begin + step)
        directions = np.einsum("rk,nkc->nrc", local, frames(normals[part]))
        # A smooth normal leans over the flat face it belongs to: rays into the face would show
        # the triangles as shadows, so that they are mirrored out of it.
        below = np.einsum("nrc,nc->nr", directions, flat[part])
        directions -= 2 * np.minimum(below, 0)[..., None] * flat[part, None]
        start = points[part] + offset * flat[part]
        distance, _ = scene.cast(start[:, None], directions)
        out[part] = np.minimum(distance / reach, 1).mean(axis=1)
        if progress:
            progress(min(begin + step, len(points)) / len(points))
    return out
