"""Draw the rendered pictures of this folder: analytic shapes, so their true form is known.

python data/make_rendered.py writes vase.png, crate.png and robot.png, the same bytes every time.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import trimesh
from numpy.typing import NDArray
from PIL import Image

from img2mesh.core.cameras import Camera
from img2mesh.geometry.raycast import Scene

SIZE, OVER = 512, 3
HERE = Path(__file__).parent
Paint = Callable[[NDArray[Any]], NDArray[Any]]


def vase() -> tuple[trimesh.Trimesh, Paint]:
    """A turned vase with rings."""
    y = np.linspace(-1, 1, 80)
    radius = 0.42 + 0.16 * np.sin(2.6 * y + 0.4) + 0.05 * np.sin(7 * y)
    profile = np.stack([np.r_[0, radius, 0], np.r_[-1, y, 1]], axis=1)
    body = trimesh.creation.revolve(profile, sections=128)
    body.apply_transform(trimesh.transformations.rotation_matrix(-np.pi / 2, [1, 0, 0]))

    def paint(p: NDArray[Any]) -> NDArray[Any]:
        ring = (np.sin(14 * p[:, 1]) > 0.3)[:, None]
        leaf = (np.sin(6 * np.arctan2(p[:, 0], p[:, 2])) * np.cos(5 * p[:, 1]) > 0.45)[:, None]
        base = np.where(ring, [0.16, 0.34, 0.55], [0.86, 0.80, 0.68])
        return np.where(leaf & ~ring, [0.75, 0.35, 0.2], base)

    return body, paint


def crate() -> tuple[trimesh.Trimesh, Paint]:
    """A wooden crate with boards and a label, turned by 35 degrees."""
    body = trimesh.creation.box([1.3, 0.9, 1.0])
    turn = trimesh.transformations.rotation_matrix(np.deg2rad(35), [0, 1, 0])
    body.apply_transform(turn)

    def paint(p: NDArray[Any]) -> NDArray[Any]:
        q = p @ turn[:3, :3]
        gap = (np.abs(np.mod(q[:, 1] + 0.45, 0.225) - 0.1125) > 0.105)[:, None]
        grain = 0.06 * np.sin(40 * q[:, 1] + 3 * np.sin(5 * q[:, 0] + 4 * q[:, 2]))[:, None]
        wood = np.array([0.72, 0.52, 0.30]) + grain
        on_front = q[:, 2] > 0.499
        label = (on_front & (np.abs(q[:, 0]) < 0.35) & (np.abs(q[:, 1]) < 0.2))[:, None]
        ink = ((np.hypot(q[:, 0], q[:, 1]) < 0.13) & on_front)[:, None]
        colour = np.where(gap, [0.25, 0.16, 0.08], wood)
        return np.where(ink, [0.75, 0.15, 0.12], np.where(label, [0.93, 0.91, 0.85], colour))

    return body, paint


def robot() -> tuple[trimesh.Trimesh, Paint]:
    """A toy robot of balls and capsules, seen from the front."""
    ball, capsule = trimesh.creation.icosphere, trimesh.creation.capsule
    parts = []
    for radius, centre in ((0.42, (0, -0.1, 0)), (0.3, (0, 0.52, 0)), (0.06, (0, 0.9, 0))):
        parts.append(ball(subdivisions=4, radius=radius))
        parts[-1].apply_translation(centre)
    upright = trimesh.transformations.rotation_matrix(-np.pi / 2, [1, 0, 0])
    for height, radius, centre in (
        (0.12, 0.03, (0, 0.78, 0)),
        (0.3, 0.11, (-0.2, -0.75, 0.03)),
        (0.3, 0.11, (0.2, -0.75, 0.03)),
    ):
        parts.append(capsule(height=height, radius=radius))
        parts[-1].apply_transform(upright)
        parts[-1].apply_translation(centre)
    for side in (-1, 1):
        parts.append(capsule(height=0.35, radius=0.09))
        tilt = trimesh.transformations.rotation_matrix(np.pi / 2, [1, 0, 0])
        lean = trimesh.transformations.rotation_matrix(side * 0.45, [0, 0, 1])
        parts[-1].apply_transform(lean @ tilt)
        parts[-1].apply_translation((side * 0.36, 0.1, 0))

    def paint(p: NDArray[Any]) -> NDArray[Any]:
        head, knob = p[:, 1:2] > 0.23, p[:, 1:2] > 0.845
        eyes = (np.hypot(np.abs(p[:, 0]) - 0.11, p[:, 1] - 0.58) < 0.05) & (p[:, 2] > 0)
        button = (np.hypot(p[:, 0], p[:, 1] + 0.05) < 0.09) & (p[:, 2] > 0)
        body = np.where(p[:, 1:2] < -0.5, [0.3, 0.32, 0.36], [0.9, 0.62, 0.15])
        colour = np.where(head, [0.55, 0.72, 0.78], body)
        colour = np.where(knob | button[:, None], [0.8, 0.15, 0.15], colour)
        return np.where(eyes[:, None], [0.08, 0.08, 0.1], colour)

    return trimesh.util.concatenate(parts), paint


def draw(body: trimesh.Trimesh, paint: Paint, path: Path) -> None:
    """One RGBA picture from the front, ten degrees above, with a key and a fill light."""
    size = SIZE * OVER
    camera = Camera.orbit(0, 10, distance=4.6, fov_deg=30, width=size, height=size)
    hits = Scene(body.vertices, body.faces).look(camera)
    mask = hits.mask
    points = camera.origin + hits.depth[mask][:, None] * camera.directions()[mask]
    normal = body.vertex_normals[body.faces[hits.face[mask]]]
    b = hits.barycentric[mask]
    weights = np.stack([1 - b.sum(axis=1), b[:, 0], b[:, 1]], axis=1)
    flat = hits.normal[mask]
    smooth = (normal * weights[..., None]).sum(axis=1)
    # Creases stay sharp: where the smooth normal leans far from the face's, take the face's.
    n = np.where(((smooth * flat).sum(axis=1) < 0.9)[:, None], flat, smooth)
    key, fill = np.array([-0.5, 0.7, 0.6]), np.array([0.7, 0.1, 0.5])
    light = 0.45 + 0.5 * np.clip(n @ (key / np.linalg.norm(key)), 0, 1)
    light += 0.15 * np.clip(n @ (fill / np.linalg.norm(fill)), 0, 1)
    rgba = np.zeros((size, size, 4))
    rgba[mask, :3], rgba[mask, 3] = paint(points) * light[:, None], 1
    small = rgba.reshape(SIZE, OVER, SIZE, OVER, 4).mean(axis=(1, 3))
    small[..., :3] /= np.maximum(small[..., 3:], 1e-9)  # straight alpha
    Image.fromarray((np.clip(small, 0, 1) * 255).round().astype(np.uint8)).save(path)


if __name__ == "__main__":
    for make in (vase, crate, robot):
        draw(*make(), HERE / f"{make.__name__}.png")
