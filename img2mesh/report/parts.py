"""``engine.png``: levels of detail, collision hulls and maps at one glance."""

from __future__ import annotations

import numpy as np

from img2mesh.artifacts import Mesh, TexturedMesh
from img2mesh.artifacts.game import GameParts
from img2mesh.core.arrays import F32, U8
from img2mesh.core.cameras import Camera
from img2mesh.geometry.mesh import face_normals
from img2mesh.report.preview import CELL, contact_sheet
from img2mesh.report.preview_scene import GROUND, PreviewScene
from img2mesh.report.rendering import CLAY, Style

_AZIMUTH = 35.0
_WIRE = (0.13, 0.16, 0.20)

#: Colours that hulls take in turn (sRGB), told apart by most eyes (Okabe and Ito 2008).
_PALETTE = np.array(
    [
        [230, 159, 0],
        [86, 180, 233],
        [0, 158, 115],
        [240, 228, 66],
        [0, 114, 178],
        [213, 94, 0],
        [204, 121, 167],
        [150, 150, 150],
    ],
    np.uint8,
)


def draw_parts(asset: TexturedMesh, parts: GameParts) -> U8:
    """The sheet: textured above, triangles below, a column each for the mesh, its levels of detail,
    the hulls (front and back) and the maps.

    Args:
        asset: the deliverable.
        parts: what was made besides.
    """
    dressed = parts.with_maps(asset)
    main = PreviewScene(dressed)
    (camera,) = main.cameras((_AZIMUTH,), CELL)
    columns: list[list[tuple[F32, str]]] = []
    for number, mesh in enumerate((dressed, *parts.lod_meshes(asset))):
        scene = main if number == 0 else PreviewScene(mesh)
        (above,), below = scene.render_on_ground(camera), _wired(scene, camera)
        label = f"LOD {number}" if number else "mesh"
        columns.append([(above, label), (below, f"{len(mesh.faces):,} faces")])
    if parts.hulls:
        scene, styles = PreviewScene(hull_colours(parts.hulls)), (Style(light=0.9),)
        front, back = (
            scene.render_on_ground(sight, styles)[0]
            for sight in main.cameras((_AZIMUTH, 180.0 + _AZIMUTH), CELL)
        )
        label = f"{len(parts.hulls)} collision hulls"
        columns.append([(front, label), (back, "from behind")])
    if parts.normal_map is not None or parts.orm_map is not None:
        occlusion = None if parts.orm_map is None else parts.orm_map[..., :1].repeat(3, axis=2)
        maps = (parts.normal_map, "normal map"), (occlusion, "occlusion")
        columns.append([(_picture(pixels), label) for pixels, label in maps])
    return contact_sheet(columns)


def clay(mesh: Mesh) -> U8:
    """A mesh that has no colours yet, from the photo's side and three others, two by two.

    Returns:
        (2 CELL, 2 CELL, 3) uint8 sRGB.
    """
    scene = PreviewScene(hull_colours((mesh,)))
    cells = [
        scene.render_on_ground(camera, (CLAY,))[0]
        for camera in scene.cameras((0.0, 90.0, 180.0, 270.0), CELL)
    ]
    rows = [np.concatenate(cells[at : at + 2], axis=1) for at in (0, 2)]
    return np.rint(np.clip(np.concatenate(rows), 0, 1) * 255).astype(np.uint8)


def hull_colours(hulls: tuple[Mesh, ...]) -> TexturedMesh:
    """The hulls as one flat-shaded mesh, each in its own colour."""
    corners = np.concatenate([hull.vertices[hull.faces] for hull in hulls]).astype(np.float64)
    owner = np.repeat(np.arange(len(hulls)), [len(hull.faces) for hull in hulls]) % len(_PALETTE)
    count = 3 * len(corners)
    faces = np.arange(count, dtype=np.int32).reshape(-1, 3)
    uv = np.stack([(owner + 0.5) / len(_PALETTE), np.full(len(owner), 0.5)], axis=1)
    texture = np.repeat(_PALETTE[None], 8, axis=0).repeat(8, axis=1)
    return TexturedMesh(
        corners.reshape(-1, 3).astype(np.float32),
        faces,
        uv.repeat(3, axis=0).astype(np.float32),
        face_normals(corners.reshape(-1, 3), faces).repeat(3, axis=0).astype(np.float32),
        texture,
        np.full(texture.shape[:2], 1, np.uint8),
        np.arange(count, dtype=np.int32),
    )


def _wired(scene: PreviewScene, camera: Camera) -> F32:
    """The bare shape with its triangles' borders drawn in."""
    clay = scene.render_on_ground(camera, (CLAY,))[0]
    fine = camera.resized(2 * camera.width, 2 * camera.height)
    face = scene.renderer.scene.look(fine).face
    border = np.zeros(face.shape, np.float32)
    border[:-1] = face[:-1] != face[1:]
    border[:, :-1] = np.maximum(border[:, :-1], face[:, :-1] != face[:, 1:])
    share = border.reshape(camera.height, 2, camera.width, 2).mean(axis=(1, 3))[..., None]
    return clay + 0.8 * share * (np.array(_WIRE, np.float32) - clay)


def _picture(pixels: U8 | None) -> F32:
    """A map shrunk into a cell; ground where there is none."""
    from PIL import Image

    out = np.empty((CELL, CELL, 3), np.float32)
    out[:] = GROUND
    if pixels is not None:
        small = Image.fromarray(pixels).resize((CELL, CELL), Image.Resampling.BOX)
        out[:] = np.asarray(small) / np.float32(255)
    return out
