"""The style shared by preview and turntable: framing, light ground, soft contact shadow."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from img2mesh.artifacts import TexturedMesh
from img2mesh.core.arrays import F32, F64
from img2mesh.core.cameras import Camera, orbit
from img2mesh.imaging.colour import over
from img2mesh.imaging.lookup import texels_at
from img2mesh.report.rendering import SHADED, Renderer, Style

#: sRGB colour of everything that is not the object.
GROUND = (0.957, 0.957, 0.949)
ELEVATION_DEG = 15.0
_DISTANCE = 4.0  # in bounding radii; gives some 28 degrees, a portrait lens
_FILL = 0.82  # the object's share of the frame
_SUPERSAMPLE = 2  # rays along a pixel's side
_FADE = 0.12  # the share of the frame over which the shadow fades out towards each border
_SHADOW_GRID = 64  # points along the shadow map; it is smooth
_SHADOW_REACH = 0.4  # of the extent: how far around the object the ground darkens
_SHADOW = 0.55  # darkness right under the object


class PreviewScene:
    """One asset on a light ground, seen from all around."""

    def __init__(self, asset: TexturedMesh) -> None:
        self.renderer = Renderer(asset)
        self._middle = (self.renderer.low + self.renderer.high) / 2
        self._points = asset.vertices[np.unique(asset.faces)].astype(np.float64)
        radius = np.linalg.norm(self._points - self._middle, axis=1).max()
        self._radius = float(max(radius, 1e-9))
        self._shadow: F32 | None = None

    def _pose(self, azimuth_deg: float) -> NDArray[np.float64]:
        pose = orbit(azimuth_deg, ELEVATION_DEG, _DISTANCE * self._radius)
        pose[:3, 3] += self._middle
        return pose

    def cameras(self, azimuths_deg: tuple[float, ...], size: int) -> tuple[Camera, ...]:
        """Square pictures of ``size`` pixels, one focal length for all that just fits them all."""
        unit = [Camera(self._pose(a), 1, 1, 0, 0, 1, 1) for a in azimuths_deg]
        seen = np.concatenate([camera.project(self._points)[0] for camera in unit])
        half = np.abs(seen[:, 0]).max()
        top, bottom = seen[:, 1].min(), seen[:, 1].max()
        focal = _FILL * size / max(2 * half, bottom - top)
        # A little above the middle: the shadow needs room below.
        cy = 0.485 * size - focal * (top + bottom) / 2
        return tuple(
            Camera(camera.world_from_camera, focal, focal, size / 2, cy, size, size)
            for camera in unit
        )

    def render_on_ground(self, camera: Camera, styles: tuple[Style, ...] = (SHADED,)) -> list[F32]:
        """The asset with its shadow on the light ground: (h, w, 3) float32 sRGB for each style."""
        behind = np.asarray(GROUND, np.float32) * (1 - self._shade(camera))[..., None]
        return [
            over(rgb, alpha, behind)
            for rgb, alpha in self.renderer.render_styles(camera, styles, supersample=_SUPERSAMPLE)
        ]

    def _shade(self, camera: Camera) -> F32:
        """(h, w) darkness of the ground behind each pixel, 0 where no ground is seen."""
        directions = camera.directions()
        down = np.minimum(directions[..., 1], -1e-9)
        depth = (self.renderer.low[1] - camera.origin[1]) / down
        ground = camera.origin + depth[..., None] * directions
        if self._shadow is None:
            self._shadow = self._shadow_map()
        low, span = self._shadow_frame()
        last = _SHADOW_GRID - 1
        place = (ground[..., [2, 0]] - low[::-1]) / span[::-1] * last + 0.5
        shade = texels_at(self._shadow, place)
        shade[(depth <= 0) | (directions[..., 1] >= 0)] = 0
        return shade * _window(camera.height)[:, None] * _window(camera.width)[None, :]

    def _shadow_frame(self) -> tuple[F64, F64]:
        renderer = self.renderer
        margin = _SHADOW_REACH * renderer.extent
        low = np.array([renderer.low[0], renderer.low[2]]) - margin
        high = np.array([renderer.high[0], renderer.high[2]]) + margin
        return low, high - low

    def _shadow_map(self) -> F32:
        """(g, g) darkness over (x, z) of the ground plane, fading to nothing at its border."""
        low, span = self._shadow_frame()
        t = np.linspace(0, 1, _SHADOW_GRID)
        x, z = np.meshgrid(low[0] + t * span[0], low[1] + t * span[1], indexing="ij")
        points = np.stack([x, np.full_like(x, self.renderer.low[1]), z], axis=-1).reshape(-1, 3)
        # Starting a little below the sole, where the ground itself would block nothing.
        points[:, 1] -= 2e-3 * self.renderer.extent
        normals = np.broadcast_to(np.array([0.0, 1.0, 0.0]), points.shape)
        reach = _SHADOW_REACH * self.renderer.extent
        open_sky = self.renderer.ambient_occlusion(points, normals, reach=reach)
        edge = np.minimum(t, 1 - t) * 2
        fade = np.minimum(np.minimum(edge[:, None], edge[None, :]) / 0.5, 1)
        fade = fade * fade * (3 - 2 * fade)
        return _smooth((_SHADOW * fade * (1 - open_sky.reshape(x.shape))).astype(np.float32))


def _smooth(grid: F32) -> F32:
    """Two passes of a 1-2-1 filter: takes the grain of the few rays out of the shadow."""
    smooth = grid
    for _ in range(2):
        padded = np.pad(smooth, 1, mode="edge")
        rows = padded[:-2] + 2 * padded[1:-1] + padded[2:]
        smooth = ((rows[:, :-2] + 2 * rows[:, 1:-1] + rows[:, 2:]) / 16).astype(np.float32)
    return smooth


def _window(length: int) -> F32:
    """(length,) 1 inside, falling smoothly to 0 at both ends: no cell border cuts a shadow."""
    t = (np.arange(length) + 0.5) / length
    t = np.minimum(np.minimum(t, 1 - t) / _FADE, 1)
    return (t * t * (3 - 2 * t)).astype(np.float32)
