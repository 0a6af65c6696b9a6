"""What a GLB says, read by trimesh: an author other than this package's and the clients'."""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import trimesh
from PIL import Image

from img2mesh.core.cameras import Camera, look_at
from img2mesh.geometry.raycast import Scene

#: Extensions without which a file cannot be read, by client: what that client says it knows.
BLENDER_LACKS = {"EXT_meshopt_compression", "KHR_texture_basisu"}
_COMPRESSED = "EXT_meshopt_compression"


@dataclass(frozen=True)
class Stated:
    """One GLB.

    Attributes:
        path: the file.
        document: its JSON.
        corners: (m, 3, 3) triangle corners in the scene's frame, in the order of the file.
        uv: (m, 3, 2), (0, 0) the top left of the picture; None where the file has none.
        normals: (m, 3, 3) unit vectors; None where the file has none.
        exact: False where the numbers come from the plain file beside a compressed one.
    """

    path: Path
    document: dict[str, Any]
    corners: np.ndarray
    uv: np.ndarray | None
    normals: np.ndarray | None
    exact: bool = True

    @property
    def required(self) -> set[str]:
        """Extensions a reader must know."""
        return set(self.document.get("extensionsRequired", ()))

    @property
    def unique_positions(self) -> int:
        return len(np.unique(self.corners.reshape(-1, 3), axis=0))

    @property
    def bounds(self) -> np.ndarray:
        """(2, 3) lowest and highest coordinates."""
        points = self.corners.reshape(-1, 3)
        return np.stack([points.min(axis=0), points.max(axis=0)])

    @property
    def extent(self) -> float:
        """Largest side of the bounding box."""
        return float((self.bounds[1] - self.bounds[0]).max())

    @property
    def material(self) -> dict[str, Any] | None:
        """The only material; None where there is none."""
        materials = self.document.get("materials", [])
        assert len(materials) <= 1, f"{self.path} has {len(materials)} materials"
        return materials[0] if materials else None

    def has(self, texture: str) -> bool:
        """Whether the material names a texture (``normalTexture`` and so on)."""
        material = self.material or {}
        return texture in material or texture in material.get("pbrMetallicRoughness", {})

    @cached_property
    def scene(self) -> Scene:
        """The triangles, ready for rays."""
        index = np.arange(len(self.corners) * 3).reshape(-1, 3)
        return Scene(self.corners.reshape(-1, 3), index)

    def coverage(self, camera: Camera, *, supersample: int = 3) -> np.ndarray:
        """(h, w) share of each pixel that the mesh covers; odd, so that one half never occurs."""
        fine = camera.resized(camera.width * supersample, camera.height * supersample)
        mask = self.scene.look(fine).mask
        blocks = mask.reshape(camera.height, supersample, camera.width, supersample)
        return blocks.mean(axis=(1, 3))


def chunk(path: Path) -> dict[str, Any]:
    """The JSON of a GLB."""
    data = path.read_bytes()
    (length,) = struct.unpack_from("<I", data, 12)
    return json.loads(data[20 : 20 + length])


def plain(path: Path) -> Path:
    """The file that a compressed one was made from."""
    return path.with_name(path.name.replace("_meshopt", ""))


def read(path: Path) -> Stated:
    """Read a GLB; a compressed one takes its numbers from the plain one beside it."""
    document = chunk(path)
    exact = _COMPRESSED not in document.get("extensionsRequired", ())
    source = path if exact else plain(path)
    scene = trimesh.load_scene(source, process=False)
    has_normals = "NORMAL" in chunk(source)["meshes"][0]["primitives"][0]["attributes"]
    corners, uv, normals = [], [], []
    for node in sorted(scene.graph.nodes_geometry):  # hulls are numbered; a set has no order
        matrix, name = scene.graph[node]
        mesh = scene.geometry[name]
        corners.append(trimesh.transform_points(mesh.vertices, matrix)[mesh.faces])
        # Trimesh's own way to place a mesh forgets the normals of the file.
        turned = mesh.vertex_normals @ np.linalg.inv(matrix[:3, :3])
        normals.append((turned / np.linalg.norm(turned, axis=1, keepdims=True))[mesh.faces])
        if (coordinates := getattr(mesh.visual, "uv", None)) is not None:
            uv.append((coordinates * (1, -1) + (0, 1))[mesh.faces])
    return Stated(
        path,
        document,
        np.concatenate(corners).astype(np.float32),
        np.concatenate(uv) if len(uv) == len(corners) else None,
        np.concatenate(normals) if has_normals else None,
        exact,
    )


def base_picture(stated: Stated) -> np.ndarray:
    """(h, w, 3) uint8 base colour texture as trimesh decodes it."""
    scene = trimesh.load_scene(stated.path, process=False)
    (mesh,) = scene.geometry.values()
    return np.asarray(mesh.visual.material.baseColorTexture.convert("RGB"))


#: Azimuth and elevation of the pictures: none along an axis, above and below, all the way round.
SIGHTS = ((20.0, 15.0), (140.0, -20.0), (260.0, 40.0))
FOV_DEG, SIZE = 30.0, 512


@dataclass(frozen=True)
class Sight:
    """A camera on the orbit around a mesh."""

    azimuth_deg: float
    elevation_deg: float
    distance: float
    target: np.ndarray
    camera: Camera


def sights(stated: Stated) -> list[Sight]:
    """The cameras of :data:`SIGHTS`, so far away that the whole mesh is in the picture."""
    low, high = stated.bounds.astype(np.float64)
    target = (low + high) / 2
    radius = float(np.linalg.norm(high - low)) / 2
    distance = 1.05 * radius / np.sin(np.deg2rad(FOV_DEG / 2))
    found = []
    for azimuth, elevation in SIGHTS:
        a, e = np.deg2rad(azimuth), np.deg2rad(elevation)
        away = np.array([np.cos(e) * np.sin(a), np.sin(e), np.cos(e) * np.cos(a)])
        pose = look_at(target + distance * away, target)
        camera = Camera.from_fov(pose, fov_deg=FOV_DEG, width=SIZE, height=SIZE)
        found.append(Sight(azimuth, elevation, distance, target, camera))
    return found


def open_rgba(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """A picture's colours (h, w, 3) and alpha (h, w), both in [0, 1]."""
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("RGBA"), np.float32) / 255
    return pixels[..., :3], pixels[..., 3]


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    """Intersection over union of two coverages, cut at one half."""
    a, b = a > 0.5, b > 0.5
    return float((a & b).sum() / max((a | b).sum(), 1))
