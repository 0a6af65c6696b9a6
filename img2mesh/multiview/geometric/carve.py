"""A box carved by the outline and, where the object is symmetric, by its mirror images.

One photograph of a thing with a mirror plane is as good as two: the mirrored picture is what a
second camera, mirrored in that plane, would have taken. The assumption tests itself: carving by a
mirror image that does not belong to the object cuts away parts the photograph shows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from img2mesh.core.arrays import F32
from img2mesh.core.cameras import Camera
from img2mesh.multiview.geometric.appearance import facing, frame_xy, smoothstep
from img2mesh.multiview.geometric.body import Paint
from img2mesh.multiview.geometric.colours import Palette, sample
from img2mesh.multiview.geometric.cuboid import Cuboid
from img2mesh.multiview.geometric.outline import DISTANCE, FrameSilhouette, look_up
from img2mesh.multiview.geometric.solid import Solid

#: Mirrors in the box's own axes: none, left-right, front-back, and the half turn both make.
Mirror = tuple[int, int, int]
NONE: Mirror = (1, 1, 1)
ACROSS: Mirror = (-1, 1, 1)
ALONG: Mirror = (1, 1, -1)
BOTH: Mirror = (-1, 1, -1)
#: Symmetries tried, richest first.
SYMMETRIES: tuple[tuple[Mirror, ...], ...] = (
    (NONE, ACROSS, ALONG, BOTH),
    (NONE, ACROSS),
    (NONE, ALONG),
)
#: Mirrored outlines carve this much less (frame units): half the misfit a fitted box leaves.
_RELAX = 0.008
#: Share of the object's pixels that must survive carving.
SURVIVE = 0.965
_TEST_PIXELS = 112


@dataclass(frozen=True)
class Carving:
    """A box and the mirrored outlines that carve it."""

    box: Cuboid
    mirrors: tuple[Mirror, ...]
    distance: F32
    camera: Camera

    def implicit(self, points: NDArray[np.floating]) -> NDArray[np.floating]:
        """About a distance, positive inside."""
        shape = points.shape[:-1]
        local = self.box.local(points.reshape(-1, 3)).astype(np.float32)
        half = (self.box.size / 2).astype(np.float32)
        rounding = np.float32(0.02 * self.box.size.min())
        beyond = np.abs(local) - (half - rounding)
        outside = np.sqrt((np.maximum(beyond, 0) ** 2).sum(1))
        value = rounding - (outside + np.minimum(beyond.max(1), 0))
        for mirror in self.mirrors:
            x, y = self._see(local, mirror)
            carved = -look_up(self.distance, x, y)
            if mirror != NONE:
                carved = carved + _RELAX
            value = np.minimum(value, carved)
        result: NDArray[np.floating] = value.reshape(shape)
        return result

    def _see(
        self, local: NDArray[np.floating], mirror: Mirror
    ) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
        """Frame coordinates of mirrored box points: one product with a (3, 3) matrix."""
        look = self.camera.camera_from_world[:3]
        matrix = look[:, :3] @ (self.box.axes.T * np.array(mirror))
        shift = look[:, :3] @ self.box.centre + look[:, 3]
        seen = local @ matrix.T.astype(np.float32) + shift.astype(np.float32)
        scale = DISTANCE / -seen[:, 2]
        return seen[:, 0] * scale, seen[:, 1] * scale

    def bounds(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Corners of a box around it."""
        reach = np.abs(self.box.axes.T) @ (self.box.size / 2)
        return self.box.centre - reach, self.box.centre + reach

    def kept(self, outline: FrameSilhouette) -> float:
        """Share of the object's pixels behind which something is left."""
        n = _TEST_PIXELS
        camera = self.camera.resized(n, n)
        seen = outline.at(n) < 0
        rays = camera.directions()[seen]
        reach = float(np.linalg.norm(self.box.size)) / 2
        left = np.zeros(len(rays), bool)
        for depth in np.linspace(DISTANCE - reach, DISTANCE + reach, 96):
            points = camera.origin + depth * rays[~left]
            left[~left] = self.implicit(points) > 0
        return float(left.mean())


def carve(
    box: Cuboid, outline: FrameSilhouette, camera: Camera, *, survive: float = SURVIVE
) -> Carving | None:
    """The richest symmetry that leaves the share ``survive`` of the photographed object."""
    for mirrors in SYMMETRIES:
        carving = Carving(box, mirrors, outline.distance, camera)
        if carving.kept(outline) >= survive:
            return carving
    return None


def uncarved(box: Cuboid, outline: FrameSilhouette, camera: Camera) -> Carving:
    """A box cut by the photographed outline alone."""
    return Carving(box, (NONE,), outline.distance, camera)


def carved_paint(palette: Palette, carving: Carving, solid: Solid) -> Paint:
    """Paint for a carved box: the photo where it sees the surface, else where it sees its twin.

    A plain box's hidden faces copy the opposite visible face; what neither the photo nor any
    twin sees (undersides) takes the calm colours.
    """
    from img2mesh.geometry.raycast import Scene

    scene = Scene(solid.vertices, solid.faces)
    camera, box = carving.camera, carving.box
    mirrors = carving.mirrors if len(carving.mirrors) > 1 else SYMMETRIES[0]
    offset = 0.004

    def paint(points: NDArray[np.floating], normals: NDArray[np.floating]) -> F32:
        x, y = frame_xy(camera, points)
        direct, weight = sample(palette.front, x, y), _sight(points, normals)
        colour = 0.7 * sample(palette.calm, x, y) + 0.3 * palette.median
        rest = np.nonzero(weight < 1)[0]
        local, directions = box.local(points[rest]), normals[rest] @ box.axes.T
        best, chosen = np.zeros(len(rest)), colour[rest].copy()
        for mirror in mirrors:
            if mirror == NONE:
                continue
            twin = box.world(local * np.array(mirror))
            clear = _sight(twin, (directions * np.array(mirror)) @ box.axes)
            better = clear > best
            chosen[better] = sample(palette.front, *frame_xy(camera, twin[better]))
            best[better] = clear[better]
        colour[rest] = best[:, None] * chosen + (1 - best[:, None]) * colour[rest]
        result = weight[:, None] * direct + (1 - weight[:, None]) * colour
        colours: F32 = np.clip(result, 0, 1).astype(np.float32)
        return colours

    def _sight(points: NDArray[np.floating], normals: NDArray[np.floating]) -> NDArray[np.floating]:
        """How well the photo sees surface points: 0 hidden or grazing, 1 well."""
        weight = smoothstep(facing(camera, points, normals), 0.05, 0.25)
        towards = np.nonzero(weight > 0)[0]
        seen = scene.sees(camera, points[towards], normals[towards], offset=offset)
        weight[towards[~seen]] = 0
        return weight

    return paint
