"""Textured meshes with closed-form geometry and known colours, for tests."""

from __future__ import annotations

import numpy as np

from img2mesh.artifacts import TexturedMesh
from img2mesh.core.arrays import SEEN_IN_PHOTO, SEEN_IN_VIEWS, UNSEEN

#: Outward axis and sign of the six sides, and the flat sRGB colour of each.
SIDES = ((2, 1), (2, -1), (0, 1), (0, -1), (1, 1), (1, -1))
NAMES = ("front", "back", "right", "left", "top", "bottom")
COLOURS = {
    "front": (200, 40, 40),
    "back": (40, 160, 60),
    "right": (40, 70, 200),
    "left": (220, 190, 40),
    "top": (180, 60, 190),
    "bottom": (50, 180, 190),
}


def box_asset(
    size: tuple[float, float, float] = (2.0, 1.0, 0.5),
    *,
    centre: tuple[float, float, float] = (0.0, 0.0, 0.0),
    texture: int = 96,
    name: str = "box",
) -> TexturedMesh:
    """A box whose sides are six charts of six colours, each with a darker lower left quarter.

    The front is seen in the photo, the bottom nowhere, the rest in the views. The atlas has three
    columns and two rows of square cells; a chart fills the middle two thirds of its cell.
    """
    half = np.array(size) / 2
    vertices, normals, uv, faces = [], [], [], []
    picture = np.zeros((texture, texture, 3), np.uint8)
    coverage = np.zeros((texture, texture), np.uint8)
    cell = texture // 3
    for number, ((axis, sign), side) in enumerate(zip(SIDES, NAMES, strict=True)):
        normal = np.zeros(3)
        normal[axis] = sign
        up = np.array([0.0, 1.0, 0.0]) if axis != 1 else np.array([0.0, 0.0, -float(sign)])
        right = np.cross(up, normal)
        x0, y0 = (number % 3) * cell, (number // 3) * cell
        low, high = cell // 6, cell - cell // 6
        # The whole cell is painted: the rim around the chart is its padding.
        picture[y0 : y0 + cell, x0 : x0 + cell] = COLOURS[side]
        middle = cell // 2
        picture[y0 + middle : y0 + cell, x0 : x0 + middle] = np.array(COLOURS[side]) // 2
        seen = {"front": SEEN_IN_PHOTO, "bottom": UNSEEN}.get(side, SEEN_IN_VIEWS)
        coverage[y0 + low : y0 + high, x0 + low : x0 + high] = seen
        for h, v in ((-1, -1), (1, -1), (1, 1), (-1, 1)):
            vertices.append((normal + h * right + v * up) * half + np.array(centre))
            normals.append(normal)
            uv.append(
                (
                    (x0 + (high if h > 0 else low)) / texture,
                    (y0 + (low if v > 0 else high)) / texture,
                )
            )
        base = 4 * number
        faces += [(base, base + 1, base + 2), (base, base + 2, base + 3)]
    points = np.array(vertices, np.float32)
    source = np.unique(points, axis=0, return_inverse=True)[1].reshape(-1)
    return TexturedMesh(
        points,
        np.array(faces),
        np.array(uv),
        np.array(normals),
        picture,
        coverage,
        source,
        name=name,
    )


def grid_asset(side: int, *, texture: int = 64) -> TexturedMesh:
    """A wavy sheet of ``side`` x ``side`` vertices in one chart: many vertices, open border."""
    t = np.linspace(0, 1, side)
    u, v = (x.reshape(-1) for x in np.meshgrid(t, t))
    height = 0.1 * np.sin(6 * u) * np.cos(5 * v)
    i = np.arange(side * side).reshape(side, side)
    a, b, c, d = (x.reshape(-1) for x in (i[:-1, :-1], i[:-1, 1:], i[1:, :-1], i[1:, 1:]))
    faces = np.concatenate([np.stack([a, c, b], 1), np.stack([b, c, d], 1)])
    colours = (np.indices((texture, texture)).sum(axis=0) * 255 // (2 * texture)).astype(np.uint8)
    return TexturedMesh(
        np.stack([u - 0.5, 0.5 - v, height], 1),
        faces,
        np.stack([u, v], 1),
        np.tile([0.0, 0.0, 1.0], (side * side, 1)),
        np.stack([colours] * 3, axis=2),
        np.full((texture, texture), SEEN_IN_VIEWS, np.uint8),
        np.arange(side * side),
        name="sheet",
    )
