"""Exact, antialiased pictures of a painted body."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from img2mesh.artifacts import Cutout, Provenance, View, ViewSet
from img2mesh.core.arrays import F32, Mask
from img2mesh.core.cameras import Camera
from img2mesh.core.rigs import rig
from img2mesh.errors import InputError
from img2mesh.geometry.raycast import Hits, Scene
from img2mesh.imaging.fill import from_nearest
from img2mesh.multiview.geometric.body import Body

#: Colour samples along each side of a pixel.
SAMPLES = 2


class Canvas:
    """A body made ready to be drawn by cameras in the rig's world (unit bounding sphere)."""

    def __init__(self, body: Body) -> None:
        self._body = body
        self._similarity = body.solid.unit_from_prior
        shift, scale = self._similarity[:3, 3], 1 / body.solid.radius
        self.vertices: F32 = (body.solid.vertices * scale + shift).astype(np.float32)
        self._scene = Scene(self.vertices, body.solid.faces)

    @property
    def photo_camera(self) -> Camera:
        """The camera of the cutout in the rig's world."""
        return self._body.camera.moved(self._similarity, scale=1 / self._body.solid.radius)

    def draw(self, camera: Camera) -> tuple[F32, F32, F32, F32]:
        """One view.

        Returns:
            rgb: (h, w, 3) colours, where nothing is seen those of the nearest object pixel.
            alpha: (h, w) coverage by SAMPLES x SAMPLES samples a pixel.
            depth: (h, w) z-depth through the pixel's centre, NaN = nothing.
            normals: (h, w, 3) smooth unit normals there, 0 = nothing.
        """
        h, w = camera.height, camera.width
        fine = self._scene.look(camera.resized(w * SAMPLES, h * SAMPLES))
        hit = fine.mask
        colours = np.zeros((*hit.shape, 3), np.float32)
        colours[hit] = self._paint(camera.resized(w * SAMPLES, h * SAMPLES), fine, hit)
        blocks = (h, SAMPLES, w, SAMPLES)
        count = hit.reshape(blocks).sum((1, 3))
        total = colours.reshape(*blocks, 3).sum((1, 3))
        rgb = from_nearest(total / np.maximum(count, 1)[..., None], count > 0)
        centre = self._scene.look(camera)
        normals = self._normals(centre, centre.mask)
        full = np.zeros((h, w, 3), np.float32)
        full[centre.mask] = normals
        alpha = (count / SAMPLES**2).astype(np.float32)
        return np.clip(rgb, 0, 1).astype(np.float32), alpha, centre.depth, full

    def outline(self, camera: Camera) -> Mask:
        """(h, w) pixels whose centre sees the body."""
        return self._scene.look(camera).mask

    def _normals(self, hits: Hits, where: Mask) -> NDArray[np.float32]:
        normals = hits.interpolate(self._body.solid.faces, self._body.solid.normals)[where]
        length = np.linalg.norm(normals, axis=1, keepdims=True)
        flat = hits.normal[where]
        return np.where(length > 0.1, normals / np.maximum(length, 1e-6), flat).astype(np.float32)

    def _paint(self, camera: Camera, hits: Hits, where: Mask) -> F32:
        points = camera.origin + hits.depth[where][:, None] * camera.directions()[where]
        prior = points * self._body.solid.radius + self._body.solid.centre
        return self._body.paint(prior, self._normals(hits, where))


def draw_views(
    cutout: Cutout,
    body: Body,
    rig_name: str,
    *,
    tile: int,
    provenance: Provenance,
    progress: Callable[[float], None] | None = None,
) -> ViewSet:
    """The views of a rig with depth and normals; the cutout is the photo, with the body's camera.

    Raises:
        InputError: ``tile`` < 1.
    """
    if tile < 1:
        raise InputError(f"a view needs at least one pixel, got tile = {tile}")
    report = progress or (lambda _: None)
    report(0.4)
    canvas = Canvas(body)
    cameras = rig(rig_name).cameras(tile)
    drawn = []
    for index, camera in enumerate(cameras):
        drawn.append(canvas.draw(camera))
        report(0.4 + 0.6 * (index + 1) / len(cameras))
    rgb, alpha, depth, normals = (np.stack(pictures) for pictures in zip(*drawn, strict=True))
    return ViewSet(
        rgb,
        alpha,
        cameras,
        depth=depth,
        normals=normals,
        photo=View(cutout.rgb, cutout.alpha, canvas.photo_camera),
        provenance=provenance,
    )
