"""One library of shapes for tests: distances by formula, meshes, and textured meshes of known
geometry and colours."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import trimesh

from img2mesh.artifacts import Mesh, RadianceField, TexturedMesh
from img2mesh.core.arrays import SEEN_IN_PHOTO, SEEN_IN_VIEWS, UNSEEN
from img2mesh.geometry.mesh import face_normals, vertex_normals
from img2mesh.texture.atlas import unwrap
from img2mesh.texture.relief import bake_normals

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
#: Texels along the side of what :func:`plain` and :func:`baked` make.
SIZE = 256


# ---------------------------------------------------------------------------------------- distances


def sphere_sdf(p, radius=0.7, centre=(0, 0, 0)):
    return np.linalg.norm(p - np.array(centre), axis=-1) - radius


def box_sdf(p, half=(0.5, 0.4, 0.6)):
    q = np.abs(p) - np.array(half)
    return np.linalg.norm(np.maximum(q, 0), axis=-1) + np.minimum(q.max(axis=-1), 0)


def torus_sdf(p, ring=0.55, tube=0.2):
    """Lying in the horizontal plane."""
    return np.hypot(np.hypot(p[..., 0], p[..., 2]) - ring, p[..., 1]) - tube


def field_of(body, size=80) -> RadianceField:
    axis = np.linspace(-1, 1, size)
    points = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1)
    return RadianceField(body(points), np.full(3, -1.0), float(axis[1] - axis[0]), 0.01)


# ------------------------------------------------------------------------------------------- meshes


def ball(radius: float = 0.8, subdivisions: int = 4) -> Mesh:
    """An icosphere: 20 * 4^subdivisions faces."""
    shape = trimesh.creation.icosphere(subdivisions, radius)
    return Mesh(shape.vertices, shape.faces)


def box(x: float = 1.1, y: float = 0.9, z: float = 0.7, turn_deg: float = 35.0) -> Mesh:
    """A box turned about +y, so that no view faces one of its sides."""
    shape = trimesh.creation.box((x, y, z))
    a = np.deg2rad(turn_deg)
    turn = np.array([[np.cos(a), 0, np.sin(a)], [0, 1, 0], [-np.sin(a), 0, np.cos(a)]])
    return Mesh(shape.vertices @ turn.T, shape.faces)


def torus() -> Mesh:
    """Lying in the horizontal plane; slim enough for the views to see through its hole."""
    shape = trimesh.creation.torus(major_radius=0.65, minor_radius=0.14)
    return Mesh(shape.vertices[:, [0, 2, 1]], shape.faces[:, ::-1])


def bowl() -> Mesh:
    """A ball with a deep round hollow in its top, which no outline shows."""
    ball = trimesh.creation.icosphere(subdivisions=4, radius=0.8)
    hollow = trimesh.creation.icosphere(subdivisions=4, radius=0.55)
    hollow.apply_translation([0.0, 0.65, 0.0])
    shape = trimesh.boolean.difference([ball, hollow], engine="manifold")
    return Mesh(shape.vertices, shape.faces)


def bench(turn_deg: float = 20.0) -> Mesh:
    """A seat and a back: the corner between them is inside every outline."""
    seat = trimesh.creation.box((1.2, 0.3, 1.1))
    seat.apply_translation([0.0, -0.45, 0.0])
    back = trimesh.creation.box((1.2, 1.2, 0.25))
    back.apply_translation([0.0, 0.0, -0.425])
    shape = trimesh.boolean.union([seat, back], engine="manifold")
    a = np.deg2rad(turn_deg)
    turn = np.array([[np.cos(a), 0, np.sin(a)], [0, 1, 0], [-np.sin(a), 0, np.cos(a)]])
    return Mesh(shape.vertices @ turn.T, shape.faces)


def steps() -> Mesh:
    """Three boxes that meet, without any symmetry."""
    parts = [
        ((1.1, 0.4, 0.75), (-0.05, -0.3, 0.0)),
        ((0.4, 0.7, 0.4), (-0.4, 0.25, -0.1)),
        ((0.25, 0.3, 0.7), (0.35, 0.05, 0.35)),
    ]
    boxes = [trimesh.creation.box(extents).apply_translation(centre) for extents, centre in parts]
    joined = trimesh.util.concatenate(boxes)
    return Mesh(joined.vertices, joined.faces)


# ---------------------------------------------------------------------------------- textured meshes


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


def plain(mesh: Mesh, normals=None) -> TexturedMesh:
    atlas = unwrap(mesh, SIZE)
    normals = vertex_normals(mesh.vertices, mesh.faces) if normals is None else normals
    return TexturedMesh(
        mesh.vertices[atlas.source_vertex],
        atlas.faces,
        atlas.uv,
        normals[atlas.source_vertex],
        np.full((SIZE, SIZE, 3), 190, np.uint8),
        np.ones((SIZE, SIZE), np.uint8),
        atlas.source_vertex,
    )


def baked(asset: TexturedMesh, field: RadianceField) -> TexturedMesh:
    picture, tangents, _ = bake_normals(asset, field, resolution=SIZE)
    return replace(asset, normal_map=picture, tangents=tangents)


def mirrored(asset: TexturedMesh) -> TexturedMesh:
    return replace(asset, uv=np.stack([1 - asset.uv[:, 0], asset.uv[:, 1]], axis=1))


def faceted_ball(body: trimesh.Trimesh) -> TexturedMesh:
    """Unwrapped with a normal a face: without a map every triangle shows."""
    asset = plain(Mesh(body.vertices, body.faces))
    corner = asset.faces.ravel()
    return replace(
        asset,
        vertices=asset.vertices[corner],
        faces=np.arange(len(corner)).reshape(-1, 3),
        uv=asset.uv[corner],
        normals=np.repeat(face_normals(asset.vertices, asset.faces), 3, axis=0),
        source_vertex=asset.source_vertex[corner],
    )


def round_ball() -> TexturedMesh:
    """The sphere itself: 20 480 faces and exact normals."""
    ball = trimesh.creation.icosphere(5, 0.7)
    count = len(ball.vertices)
    return TexturedMesh(
        ball.vertices,
        ball.faces,
        np.zeros((count, 2)),
        ball.vertices / 0.7,
        np.full((8, 8, 3), 190, np.uint8),
        np.ones((8, 8), np.uint8),
        np.arange(count),
    )


def turned_over(asset: TexturedMesh) -> TexturedMesh:
    """With the map's green pointing down, as DirectX has it."""
    picture = asset.normal_map.copy()
    picture[..., 1] = 255 - picture[..., 1]
    return replace(asset, normal_map=picture)


def psnr(one, other) -> float:
    return float(-10 * np.log10(((one - other) ** 2).mean()))
