"""A box carved by the outline and, where the object is symmetric, by its mirror images.

One photograph of a thing with a mirror plane is as good as two: the mirrored picture is what a
second camera, mirrored in that plane, would have taken. The assumption tests itself: carving by a
mirror image that does not belong to the object cuts away parts the photograph shows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from img2mesh.artifacts import F32
from img2mesh.cameras import Camera
from img2mesh.multiview.geometric.appearance import facing, frame_xy, smoothstep
from img2mesh.multiview.geometric.body import Paint
from img2mesh.multiview.geometric.colours import Palette, sample
from img2mesh.multiview.geometric.cuboid import Cuboid
from img2mesh.multiview.geometric.inflation import look_up
from img2mesh.multiview.geometric.outline import DISTANCE, Outline
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
_SURVIVE = 0.965
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
        local = self.box.local(points.reshape(-1, 3))
        half = self.box.size / 2
        rounding = 0.02 * float(self.box.size.min())
        beyond = np.abs(local) - (half - rounding)
        value = rounding - (
            np.linalg.norm(np.maximum(beyond, 0), axis=1) + np.minimum(beyond.max(1), 0)
        )
        for mirror in self.mirrors:
            twin = self.box.world(local * np.array(mirror))
            x, y = frame_xy(self.camera, twin)
            carved = look_up(self.distance, x, y)
            if mirror != NONE:
                carved = carved + _RELAX
            value = np.minimum(value, carved)
        return value.reshape(shape)

    def bounds(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Corners of a box around it."""
        reach = np.abs(self.box.axes.T) @ (self.box.size / 2)
        return self.box.centre - reach, self.box.centre + reach

    def kept(self, outline: Outline) -> float:
        """Share of the object's pixels behind which something is left."""
        n = _TEST_PIXELS
        camera = self.camera.resized(n, n)
        seen = outline.at(n) > 0
        rays = camera.directions()[seen]
        reach = float(np.linalg.norm(self.box.size)) / 2
        left = np.zeros(len(rays), bool)
        for depth in np.linspace(DISTANCE - reach, DISTANCE + reach, 96):
            points = camera.origin + depth * rays[~left]
            left[~left] = self.implicit(points) > 0
        return float(left.mean())


def carve(box: Cuboid, outline: Outline, camera: Camera, *, solid: bool) -> Carving | None:
    """The richest symmetry the photograph bears; for solid boxes none is needed."""
    for mirrors in SYMMETRIES:
        carving = Carving(box, mirrors, outline.distance, camera)
        if carving.kept(outline) >= _SURVIVE:
            return carving
    return Carving(box, (NONE,), outline.distance, camera) if solid else None


def carved_paint(palette: Palette, carving: Carving, solid: Solid) -> Paint:
    """Paint for a carved box: the photo where it sees the surface, else where it sees its twin.

    A plain box's hidden faces copy the opposite visible face; what neither the photo nor any
    twin sees (undersides) takes the calm colours.
    """
    from img2mesh.raycast import Scene

    scene = Scene(solid.vertices, solid.faces)
    camera, box = carving.camera, carving.box
    mirrors = carving.mirrors if len(carving.mirrors) > 1 else SYMMETRIES[0]
    offset = 0.004

    def paint(points: NDArray[np.floating], normals: NDArray[np.floating]) -> F32:
        local, turned = box.local(points), normals @ box.axes.T
        x, y = frame_xy(camera, points)
        colour = 0.7 * sample(palette.calm, x, y) + 0.3 * palette.median
        best = np.zeros(len(points))
        chosen = colour
        for mirror in mirrors:
            sign = np.array(mirror)
            twin, twin_normals = box.world(local * sign), (turned * sign) @ box.axes
            cosine = facing(camera, twin, twin_normals)
            seen = scene.sees(camera, twin, twin_normals, offset=offset)
            weight = np.where(seen, smoothstep(cosine, 0.05, 0.25), 0.0)
            x, y = frame_xy(camera, twin)
            found = sample(palette.front, x, y)
            if mirror == NONE:
                direct, direct_weight = found, weight
                continue
            better = weight > best
            chosen = np.where(better[:, None], found, chosen)
            best = np.where(better, weight, best)
        mirrored = best[:, None] * chosen + (1 - best[:, None]) * colour
        result = direct_weight[:, None] * direct + (1 - direct_weight[:, None]) * mirrored
        return np.clip(result, 0, 1).astype(np.float32)

    return paint
