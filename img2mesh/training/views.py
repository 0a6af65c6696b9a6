"""One random view of a mesh as a training item: what is drawn, and what is to be guessed."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from img2mesh.core.arrays import F32, F64, I32
from img2mesh.core.cameras import Camera, orbit
from img2mesh.geometry.raycast import Scene
from img2mesh.imaging.colour import linear_to_srgb
from img2mesh.io.read_mesh import Surface
from img2mesh.multiview.learned.frustum import COLUMNS, FILL, FRONT, PIXELS, SLICES, slice_depths
from img2mesh.training.solid import EXTENT, GRID

#: One view on disk. Colours are unlit and sRGB-encoded, normals are those of the camera times 127,
#: ``back`` is the colour of the hindmost surface behind each column, ``occupied`` has a bit a slice
#: (nearest first, most significant first).
ITEM = np.dtype(
    [
        ("albedo", "u1", (PIXELS, PIXELS, 3)),
        ("alpha", "u1", (PIXELS, PIXELS)),
        ("normal", "i1", (PIXELS, PIXELS, 3)),
        ("back", "u1", (COLUMNS, COLUMNS, 3)),
        ("occupied", "u1", (COLUMNS, COLUMNS, SLICES // 8)),
        ("azimuth_deg", "f4"),
        ("elevation_deg", "f4"),
        ("fov_deg", "f4"),
    ]
)
#: Edges sharper than this stay sharp in the normals.
_CREASE_DEG = 30.0
#: Rays along the side of a pixel.
_SAMPLES = 2
#: Level of the smoothed solid that counts as its surface: just below a half, for thin rods.
_LEVEL = 0.45
#: Share of a cell's rays that must hit for its column to belong to the object.
_COVERED = 0.4


@dataclass(frozen=True)
class Subject:
    """A mesh centred on its bounding box inside the unit sphere, ready to be drawn.

    Attributes:
        surface: triangles and colours.
        corner_normals: (m, 3, 3) float32 unit normals of the corners of each face.
        scene: for rays.
        occupancy: (GRID, GRID, GRID) float32 slightly smoothed solid of the unstretched mesh.
        scale, shift: (3,) a point p of this subject is ``p * scale + shift`` in the solid.
    """

    surface: Surface
    corner_normals: F32
    scene: Scene
    occupancy: F32
    scale: F64 = field(default_factory=lambda: np.ones(3))
    shift: F64 = field(default_factory=lambda: np.zeros(3))

    @cached_property
    def corners(self) -> tuple[F32, F32, F32]:
        """For each corner of a face (m, 8): its normal, uv and vertex colour, ready to be mixed."""
        surface = self.surface
        tables = [
            np.concatenate(
                [self.corner_normals[:, k], surface.uv[corner], surface.colour[corner]],
                axis=1,
                dtype=np.float32,
            )
            for k, corner in enumerate(surface.faces.T)
        ]
        return tables[0], tables[1], tables[2]

    @classmethod
    def of(cls, surface: Surface, occupied: NDArray[np.bool_]) -> Subject:
        """Prepare a surface that is already normalised, with its solid."""
        from scipy.ndimage import gaussian_filter

        return cls(
            surface,
            crease_normals(surface.vertices, surface.faces),
            Scene(surface.vertices, surface.faces),
            gaussian_filter(occupied.astype(np.float32), 0.4),
        )

    def stretched(self, factors: F64) -> Subject:
        """Another object of the same kind: stretched along the axes (3,), normalised again."""
        surface = self.surface
        used = surface.vertices[np.unique(surface.faces)] * factors
        middle = (used.min(0) + used.max(0)) / 2
        radius = max(float(np.linalg.norm(used - middle, axis=1).max()), 1e-12)
        vertices = (surface.vertices * factors - middle) / radius
        return Subject(
            replace(surface, vertices=vertices),
            crease_normals(vertices, surface.faces),
            Scene(vertices, surface.faces),
            self.occupancy,
            self.scale * radius / factors,
            self.shift + self.scale * middle / factors,
        )


def normalised(surface: Surface) -> Surface:
    """Centred on its bounding box, with the unit sphere around it."""
    used = surface.vertices[np.unique(surface.faces)]
    middle = (used.min(0) + used.max(0)) / 2
    radius = max(float(np.linalg.norm(used - middle, axis=1).max()), 1e-12)
    return replace(surface, vertices=(surface.vertices - middle) / radius)


def crease_normals(vertices: F64, faces: I32) -> F32:
    """Normals at face corners: the mean over faces at the point within _CREASE_DEG of its own.

    Returns:
        (m, 3, 3) float32, unit.
    """
    corners = vertices[faces]
    area = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    unit = area / np.maximum(np.linalg.norm(area, axis=1, keepdims=True), 1e-20)
    keys = np.round(corners.reshape(-1, 3) * 1e5).astype(np.int64)
    _, place = np.unique(keys, axis=0, return_inverse=True)
    place = place.ravel()
    order = np.argsort(place, kind="stable")
    first = np.searchsorted(place[order], np.arange(place.max() + 2))
    size = np.diff(first)
    total = np.zeros((len(place), 3))
    face_of = np.arange(len(place)) // 3
    least = np.cos(np.deg2rad(_CREASE_DEG))
    # The k-th neighbour of every corner at once; points where hundreds meet are cut short.
    for k in range(int(min(size.max(), 48))):
        has = size[place] > k
        other = face_of[order[first[place[has]] + k]]
        same = np.einsum("ij,ij->i", unit[face_of[has]], unit[other]) > least
        total[np.nonzero(has)[0][same]] += area[other[same]]
    length = np.linalg.norm(total, axis=1, keepdims=True)
    smooth = np.where(length > 1e-12, total / np.maximum(length, 1e-20), unit[face_of])
    return smooth.reshape(-1, 3, 3).astype(np.float32)


def random_pose(rng: np.random.Generator) -> tuple[float, float, float]:
    """Azimuth, elevation and field of view in degrees: any side, mostly 0 to 30 from above."""
    azimuth = float(rng.uniform(0, 360))
    low, high = (0, 30) if rng.random() < 0.8 else (-10, 45)
    return azimuth, float(rng.uniform(low, high)), float(rng.uniform(20, 50))


def cropped_camera(
    vertices: F64, azimuth: float, elevation: float, fov: float, size: int
) -> Camera:
    """A camera whose picture is cut like a cutout: the object's longest side fills FILL of it."""
    pose = orbit(azimuth, elevation, 1.04 / np.sin(np.deg2rad(fov) / 2))
    local = (vertices - pose[:3, 3]) @ pose[:3, :3]
    tangent = local[:, :2] / -local[:, 2:]
    low, high = tangent.min(0), tangent.max(0)
    half = max(float((high - low).max()) / 2 / FILL, 1e-3)
    focal = size / 2 / half
    middle = (low + high) / 2 * focal
    return Camera(pose, focal, focal, size / 2 - middle[0], size / 2 + middle[1], size, size)


def draw_item(subject: Subject, azimuth: float, elevation: float, fov: float) -> NDArray[np.void]:
    """One record of ITEM; its alpha is empty where nothing of the mesh can be seen."""
    item = np.zeros((), ITEM)
    surface = subject.surface
    used = surface.vertices[np.unique(surface.faces)]
    camera = cropped_camera(used, azimuth, elevation, fov, PIXELS * _SAMPLES)
    hits = subject.scene.look(camera)
    seen = hits.mask
    item["azimuth_deg"], item["elevation_deg"], item["fov_deg"] = azimuth, elevation, fov
    if not seen.any():
        return item
    colour = np.zeros((*seen.shape, 3), np.float32)
    normal = np.zeros((*seen.shape, 3), np.float32)
    face, weights = hits.face[seen], hits.barycentric[seen]
    colour[seen] = surface.base_colour(face, weights)
    normal[seen] = _towards(subject, face, weights, camera, camera.directions()[seen])
    blocks = (PIXELS, _SAMPLES, PIXELS, _SAMPLES)
    count = seen.reshape(blocks).sum((1, 3))
    mean = colour.reshape(*blocks, 3).sum((1, 3)) / np.maximum(count, 1)[..., None]
    facing = normal.reshape(*blocks, 3).sum((1, 3))
    facing /= np.maximum(np.linalg.norm(facing, axis=-1, keepdims=True), 1e-6)
    item["albedo"] = np.round(linear_to_srgb(mean) * 255)
    item["alpha"] = np.round(count * (255 / _SAMPLES**2))
    item["normal"] = np.round(facing * 127)
    coarse = camera.resized(COLUMNS, COLUMNS)
    front, covered = _front(hits.depth)
    item["occupied"] = np.packbits(_columns(subject, coarse, front, covered), axis=-1)
    item["back"] = _back(subject, coarse, covered)
    return item


def _towards(subject: Subject, face: I32, weights: F32, camera: Camera, rays: F64) -> F32:
    """Camera-space normals (n, 3), turned towards the camera: faces are two-sided."""
    barycentric = np.stack([1 - weights.sum(1), weights[:, 0], weights[:, 1]], axis=1)
    normal = (subject.corner_normals[face] * barycentric[..., None]).sum(1)
    normal = np.where((normal * rays).sum(1, keepdims=True) > 0, -normal, normal)
    local: F32 = (normal @ camera.world_from_camera[:3, :3]).astype(np.float32)
    return local


def _front(depth: F32) -> tuple[F32, NDArray[np.bool_]]:
    """Depth of each column's visible surface, from the ray that hits nearest to its middle."""
    n = depth.shape[0] // COLUMNS
    cells = (
        depth.reshape(COLUMNS, n, COLUMNS, n).transpose(0, 2, 1, 3).reshape(COLUMNS, COLUMNS, -1)
    )
    offset = np.arange(n) - (n - 1) / 2
    order = np.argsort((offset[:, None] ** 2 + offset[None] ** 2).ravel(), kind="stable")
    front = np.full((COLUMNS, COLUMNS), np.nan, np.float32)
    for k in order:
        front = np.where(np.isnan(front), cells[..., k], front)
    return front, np.isfinite(cells).mean(-1) >= _COVERED


def _columns(
    subject: Subject, camera: Camera, front: F32, covered: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """(COLUMNS, COLUMNS, SLICES) which slices belong to the object."""
    from scipy.ndimage import map_coordinates

    out = np.zeros((COLUMNS, COLUMNS, SLICES), bool)
    if not covered.any():
        return out
    seen = front[covered].astype(np.float64)
    middle = float(seen.mean())
    half = 0.5 * camera.width / camera.fx
    unit = half * middle / (1 - FRONT * half)  # length of one frame unit in the plane z = 0
    depth = middle - (slice_depths() - FRONT) * unit
    pitch = float(depth[1] - depth[0])
    rays = camera.directions()[covered]
    points = camera.origin + depth[None, :, None] * rays[:, None]
    index = (points * subject.scale + subject.shift + EXTENT) * (GRID / 2 / EXTENT) - 0.5
    value = map_coordinates(
        subject.occupancy, np.moveaxis(index, -1, 0), order=1, mode="constant", output=np.float32
    )
    behind = depth[None] - seen[:, None]
    out[covered] = ((value > _LEVEL) & (behind > -pitch / 2)) | ((behind >= 0) & (behind < pitch))
    return out


def _back(subject: Subject, camera: Camera, covered: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """(COLUMNS, COLUMNS, 3) sRGB colour of the last surface along each column's ray."""
    out = np.zeros((COLUMNS, COLUMNS, 3), np.uint8)
    rays = camera.directions()[covered]
    far = float(np.linalg.norm(camera.origin)) + 2.0
    start = camera.origin + far * rays
    distance, face = subject.scene.cast(start, -rays)
    hit = face >= 0
    points = (start - distance[:, None] * rays)[hit]
    corner = subject.surface.vertices[subject.surface.faces[face[hit]]]
    colour = np.zeros((len(rays), 3), np.float32)
    if hit.any():
        weights = _barycentric(points, corner)
        colour[hit] = linear_to_srgb(subject.surface.base_colour(face[hit], weights))
    out[covered] = np.round(colour * 255)
    return out


def _barycentric(points: F64, corner: F64) -> F32:
    """(n, 2) weights of the second and third corner (n, 3, 3) at points (n, 3) of the faces."""
    a, b, p = corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0], points - corner[:, 0]
    aa, ab, bb = (a * a).sum(1), (a * b).sum(1), (b * b).sum(1)
    pa, pb = (p * a).sum(1), (p * b).sum(1)
    scale = np.maximum(aa * bb - ab * ab, 1e-20)
    weights = np.stack([bb * pa - ab * pb, aa * pb - ab * pa], axis=1) / scale[:, None]
    return np.clip(weights, 0, 1).astype(np.float32)
