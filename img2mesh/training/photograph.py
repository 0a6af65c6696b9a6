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
Light = Callable[[F32, F32, F32], NDArray[np.floating]]
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
    left, top, width, height = _around(subject, camera)
    fine = camera.window(left, top, width, height).resized(width * samples, height * samples)
    hits = subject.scene.look(fine)
    at = np.flatnonzero(hits.mask)
    face, depth = hits.face.ravel()[at], hits.depth.ravel()[at][:, None]
    weights = hits.barycentric.reshape(-1, 2)[at]
    one, two, three = subject.corners
    mixed = np.take(one, face, axis=0) * (1 - weights[:, :1] - weights[:, 1:])
    mixed += np.take(two, face, axis=0) * weights[:, :1]
    mixed += np.take(three, face, axis=0) * weights[:, 1:]
    rays = np.take(fine.directions().reshape(-1, 3), at, axis=0).astype(np.float32)
    towards = rays / -_length(rays)
    normal = mixed[:, :3]
    normal /= np.maximum(_length(normal), 1e-6)
    # Faces are two-sided: many meshes of the wild are wound at random.
    normal[np.einsum("ni,ni->n", normal, towards) < 0] *= -1
    points = camera.origin.astype(np.float32) + depth * rays
    lit = subject.surface.painted(face, mixed[:, 3:5], mixed[:, 5:]) * light(
        points, normal, towards
    )
    rows = np.ones((len(at), 8), np.float32)
    rows[:, :3], rows[:, 4:5] = linear_to_srgb(lit), depth
    rows[:, 5:] = normal @ camera.world_from_camera[:3, :3].astype(np.float32)
    buffer = np.zeros((height * samples, width * samples, 8), np.float32)
    buffer.reshape(-1, 8)[at] = rows
    out = np.zeros((camera.height, camera.width, 8), np.float32)
    mean = out[top : top + height, left : left + width]
    # Slices, not a reduction over inner axes: ten times faster.
    for k in range(samples**2):
        mean += buffer[k // samples :: samples, k % samples :: samples]
    count = mean[..., 3:4].copy()
    mean /= np.maximum(count, 1)
    mean[..., 3:4] = count / samples**2
    mean[..., 5:] /= np.maximum(_length(mean[..., 5:]), 1e-6)
    out[..., 4][out[..., 3] == 0] = np.nan
    return Shot(*(np.ascontiguousarray(out[..., k]) for k in (slice(3), 3, 4, slice(5, 8))))


def _around(subject: Subject, camera: Camera) -> tuple[int, int, int, int]:
    """Left, top, width and height of the pixels that may see the mesh; one pixel at least."""
    size = np.array([camera.width, camera.height])
    uv, depth = camera.project(subject.surface.vertices)
    if (depth <= 0).any():
        return 0, 0, camera.width, camera.height
    first = np.clip(np.floor(uv.min(0)), 0, size - 1).astype(int)
    last = np.clip(np.ceil(uv.max(0)), first + 1, size).astype(int)
    return int(first[0]), int(first[1]), int(last[0] - first[0]), int(last[1] - first[1])


def _length(vectors: F32) -> F32:
    """(..., 1) lengths; ``numpy.linalg.norm`` over so short an axis takes ten times as long."""
    squares: F32 = np.einsum("...i,...i->...", vectors, vectors)[..., None]
    return np.sqrt(squares)


def soft_light(points: F32, normal: F32, towards: F32) -> NDArray[np.floating]:
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

    def light(points: F32, normal: F32, towards: F32) -> NDArray[np.floating]:
        basis = harmonics(torch.from_numpy(normal @ back.T.astype(normal.dtype))).numpy()
        return np.maximum(basis @ coefficients.astype(normal.dtype), 0.02) * gain

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

    def light(points: F32, normal: F32, towards: F32) -> NDArray[np.floating]:
        to_lamp = (position - points) * unit
        distance = np.maximum(np.linalg.norm(to_lamp, axis=1), 0.3)
        to_lamp = to_lamp / distance[:, None]
        # A lamp as large as the object has no sharp terminator: light wraps around the edge.
        cosine = np.clip(((normal * to_lamp).sum(1) + 0.25) / 1.25, 0, 1)
        emitted = np.clip(to_lamp[:, 1] * 0.5 + 0.5, 0, 1)  # it faces down
        return (0.12 + energy / 450 * cosine * emitted / (0.25 + distance**2))[:, None]

    return light
