"""A lit picture of a mesh with alpha, depth and normals: what data sets and measurements show.

Diffuse light only, without cast shadows; the light is a function of the surface, so that a whole
environment costs as much as one lamp. Ray casting, no GPU, no display.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from img2mesh.core.arrays import F32, F64
from img2mesh.core.cameras import Camera
from img2mesh.imaging.colour import linear_to_srgb
from img2mesh.training.light import harmonics
from img2mesh.training.views import Subject

#: Points, unit normals and unit directions to the camera (n, 3), all in the world -> linear light
#: (n, 3) or (n, 1) on a white diffuse surface there.
Light = Callable[[F64, F64, F64], NDArray[np.floating]]
_KEY = np.array([0.45, 0.75, 0.5]) / np.linalg.norm([0.45, 0.75, 0.5])


@dataclass(frozen=True)
class Shot:
    """What a camera sees of a mesh.

    Attributes:
        rgb: (h, w, 3) float32 sRGB, straight alpha, 0 where nothing is seen.
        alpha: (h, w) float32 share of the pixel's rays that hit.
        depth: (h, w) float32 z-depth in world units, NaN where nothing is seen.
        normal: (h, w, 3) float32 unit, in the camera's axes (x right, y up, z towards the viewer),
            0 where nothing is seen.
    """

    rgb: F32
    alpha: F32
    depth: F32
    normal: F32


def photograph(subject: Subject, camera: Camera, light: Light, *, samples: int = 2) -> Shot:
    """Draw a mesh with ``samples`` x ``samples`` rays a pixel; means are over the rays that hit."""
    fine = camera.resized(camera.width * samples, camera.height * samples)
    hits = subject.scene.look(fine)
    seen = hits.mask
    face, weights = hits.face[seen], hits.barycentric[seen]
    rays = fine.directions()[seen]
    points = camera.origin + hits.depth[seen][:, None] * rays
    towards = -rays / np.linalg.norm(rays, axis=1, keepdims=True)
    all_weights = np.concatenate([1 - weights.sum(1, keepdims=True), weights], axis=1)
    normal = np.einsum("nij,ni->nj", subject.corner_normals[face], all_weights)
    length = np.sqrt(np.einsum("ni,ni->n", normal, normal))
    # Faces are two-sided: many meshes of the wild are wound at random.
    sign = np.where(np.einsum("ni,ni->n", normal, towards) < 0, -1, 1)
    normal *= (sign / np.maximum(length, 1e-6))[:, None]
    buffer = np.zeros((*seen.shape, 8), np.float32)
    lit = subject.surface.base_colour(face, weights) * light(points, normal, towards)
    buffer[seen, :3] = linear_to_srgb(lit)
    buffer[seen, 3], buffer[seen, 4] = 1, hits.depth[seen]
    buffer[seen, 5:] = normal @ camera.world_from_camera[:3, :3]
    # Slices, not a reduction over inner axes: ten times faster.
    blocks = buffer[::samples, ::samples].copy()
    for k in range(1, samples**2):
        blocks += buffer[k // samples :: samples, k % samples :: samples]
    count = blocks[..., 3]
    mean = blocks / np.maximum(count, 1)[..., None]
    length = np.linalg.norm(mean[..., 5:], axis=-1, keepdims=True)
    return Shot(
        mean[..., :3].astype(np.float32),
        (count / samples**2).astype(np.float32),
        np.where(count > 0, mean[..., 4], np.nan).astype(np.float32),
        mean[..., 5:] / np.maximum(length, 1e-6),
    )


def soft_light(points: F64, normal: F64, towards: F64) -> NDArray[np.floating]:
    """The same mild light for every object: hemisphere, headlight and one key light."""
    facing = np.abs((normal * towards).sum(1))
    light = 0.5 + 0.18 * (0.5 + 0.5 * normal[:, 1]) + 0.17 * facing
    return (light + 0.2 * np.clip(normal @ _KEY, 0, 1))[:, None]


def environment_light(
    coefficients: NDArray[np.floating], *, gain: float = 1.0, turn_deg: float = 0.0
) -> Light:
    """An environment by its diffuse harmonics (9, 3), see :func:`img2mesh.training.light.probe`.

    Args:
        coefficients: of the environment.
        gain: brightness; 1 leaves a white surface white on average.
        turn_deg: how far the environment is turned about the vertical, as azimuths grow.
    """
    a = np.deg2rad(turn_deg)
    back = np.array([[np.cos(a), 0, -np.sin(a)], [0, 1, 0], [np.sin(a), 0, np.cos(a)]])

    def light(points: F64, normal: F64, towards: F64) -> NDArray[np.floating]:
        basis = harmonics(torch.from_numpy(normal @ back.T)).numpy()
        return np.maximum(basis @ coefficients, 0.02) * gain

    return light


def area_light(position: F64, energy: float, *, unit: float = 1.0) -> Light:
    """A large lamp above the object that shines down, and a little light from everywhere.

    Zero-1-to-3's renders have one such lamp an object (energy 300 to 600). Cycles' exposure is
    not imitated to the letter: 450 at unit height lights a level white surface with about 1.

    Args:
        position: (3,) of its middle, world units.
        energy: watts, as Blender says it.
        unit: what lengths are multiplied by to make the longest side of the object's box 1.
    """

    def light(points: F64, normal: F64, towards: F64) -> NDArray[np.floating]:
        to_lamp = (position - points) * unit
        distance = np.maximum(np.linalg.norm(to_lamp, axis=1), 0.3)
        to_lamp = to_lamp / distance[:, None]
        # A lamp as large as the object has no sharp terminator: light wraps around the edge.
        cosine = np.clip(((normal * to_lamp).sum(1) + 0.25) / 1.25, 0, 1)
        emitted = np.clip(to_lamp[:, 1] * 0.5 + 0.5, 0, 1)  # it faces down
        return (0.12 + energy / 450 * cosine * emitted / (0.25 + distance**2))[:, None]

    return light
