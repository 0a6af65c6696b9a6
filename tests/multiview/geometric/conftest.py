"""Pictures of analytic shapes, taken by the camera the prior assumes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from img2mesh.artifacts import Cutout
from img2mesh.core.rigs import rig
from img2mesh.geometry.raycast import Scene
from img2mesh.multiview.geometric.outline import frame_camera

Photograph = Callable[..., Cutout]
SIZE = 256


@pytest.fixture
def photograph() -> Photograph:
    """(vertices, faces, elevation, colour(points) -> (n, 3)) -> cutout, its object centred."""

    def take(
        vertices: NDArray[np.float64],
        faces: NDArray[np.int32],
        *,
        elevation_deg: float,
        colour: Callable[[NDArray[np.float64]], NDArray[np.float64]] | None = None,
        size: int = SIZE,
    ) -> Cutout:
        camera = frame_camera(elevation_deg, 3 * size)
        hits = Scene(vertices, faces).look(camera)
        points = camera.origin + hits.depth[..., None] * camera.directions()
        flat = np.full(points.shape, 0.6)
        rgb = flat if colour is None else colour(np.nan_to_num(points))
        blocks = (size, 3, size, 3)
        alpha = hits.mask.reshape(blocks).mean((1, 3))
        weighted = (rgb * hits.mask[..., None]).reshape(*blocks, 3).mean((1, 3))
        rgb = weighted / np.maximum(alpha, 1e-6)[..., None]
        return Cutout(np.clip(rgb, 0, 1).astype(np.float32), alpha.astype(np.float32))

    return take


@pytest.fixture
def six_silhouettes() -> Callable[..., NDArray[np.bool_]]:
    """(vertices, faces) -> (6, 160, 160) masks of the shape in the rig, normalised as the prior."""

    def look(vertices: NDArray[np.float64], faces: NDArray[np.int32]) -> NDArray[np.bool_]:
        centre = (vertices.min(0) + vertices.max(0)) / 2
        unit = (vertices - centre) / np.linalg.norm(vertices - centre, axis=1).max()
        scene = Scene(unit, faces)
        return np.stack([scene.look(c).mask for c in rig("zero123plus-v1.1").cameras(160)])

    return look


@pytest.fixture
def disc() -> Cutout:
    """A flat grey disc with an antialiased rim."""
    yy, xx = np.mgrid[:SIZE, :SIZE] + 0.5
    distance = 0.42 * SIZE - np.hypot(xx - SIZE / 2, yy - SIZE / 2)
    alpha = np.clip(distance + 0.5, 0, 1).astype(np.float32)
    return Cutout(np.full((SIZE, SIZE, 3), 0.5, np.float32), alpha)
