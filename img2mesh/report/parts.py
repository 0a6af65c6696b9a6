"""``engine.png``: levels of detail, collision hulls and maps at one glance."""

from __future__ import annotations

import numpy as np

from img2mesh.artifacts import Mesh, TexturedMesh
from img2mesh.artifacts.game import GameParts
from img2mesh.core.arrays import F32, U8
from img2mesh.core.cameras import Camera
from img2mesh.report.preview import lettered
from img2mesh.report.rendering import CLAY, Look
from img2mesh.report.studio import GROUND, Studio

_CELL, _MARGIN, _GAP, _CAPTION = 288, 40, 20, 26  # pixels, as in the preview
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
    main = Studio(dressed)
    (camera,) = main.cameras((_AZIMUTH,), _CELL)
    columns: list[tuple[F32, F32, str, str]] = []
    for number, mesh in enumerate((dressed, *parts.lod_meshes(asset))):
        studio = main if number == 0 else Studio(mesh)
        above = studio.photograph(camera)[0]
        label, faces = f"LOD {number}" if number else "mesh", len(mesh.faces)
        columns.append((above, _wired(studio, camera), label, f"{faces:,} faces"))
    if parts.hulls:
        studio = Studio(hull_colours(parts.hulls))
        front, back = main.cameras((_AZIMUTH, 180.0 + _AZIMUTH), _CELL)
        look = Look(light=0.9)
        columns.append(
            (
                studio.photograph(front, (look,))[0],
                studio.photograph(back, (look,))[0],
                f"{len(parts.hulls)} collision hulls",
                "from behind",
            )
        )
    if parts.normal_map is not None or parts.orm_map is not None:
        occlusion = None if parts.orm_map is None else parts.orm_map[..., :1].repeat(3, axis=2)
        columns.append((_picture(parts.normal_map), _picture(occlusion), "normal map", "occlusion"))
    row = _CELL + _CAPTION
    width = 2 * _MARGIN + len(columns) * (_CELL + _GAP) - _GAP
    canvas = np.empty((2 * _MARGIN + 2 * row + _GAP - _CAPTION // 2, width, 3), np.float32)
    canvas[:] = GROUND
    captions = []
    for column, (above, below, *texts) in enumerate(columns):
        x = _MARGIN + column * (_CELL + _GAP)
        for line, picture in enumerate((above, below)):
            y = _MARGIN + line * (row + _GAP)
            canvas[y : y + _CELL, x : x + _CELL] = picture
            captions.append((texts[line], column, line))
    return lettered(np.rint(np.clip(canvas, 0, 1) * 255).astype(np.uint8), captions, row)


def hull_colours(hulls: tuple[Mesh, ...]) -> TexturedMesh:
    """The hulls as one flat-shaded mesh, each in its own colour."""
    corners = np.concatenate([hull.vertices[hull.faces] for hull in hulls]).astype(np.float64)
    owner = np.repeat(np.arange(len(hulls)), [len(hull.faces) for hull in hulls]) % len(_PALETTE)
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-30)
    count = 3 * len(corners)
    uv = np.stack([(owner + 0.5) / len(_PALETTE), np.full(len(owner), 0.5)], axis=1)
    texture = np.repeat(_PALETTE[None], 8, axis=0).repeat(8, axis=1)
    return TexturedMesh(
        corners.reshape(-1, 3).astype(np.float32),
        np.arange(count, dtype=np.int32).reshape(-1, 3),
        uv.repeat(3, axis=0).astype(np.float32),
        normal.repeat(3, axis=0).astype(np.float32),
        texture,
        np.full(texture.shape[:2], 1, np.uint8),
        np.arange(count, dtype=np.int32),
    )


def _wired(studio: Studio, camera: Camera) -> F32:
    """The bare shape with its triangles' borders drawn in."""
    clay = studio.photograph(camera, (CLAY,))[0]
    fine = camera.resized(2 * camera.width, 2 * camera.height)
    face = studio.stage.scene.look(fine).face
    border = np.zeros(face.shape, np.float32)
    border[:-1] = face[:-1] != face[1:]
    border[:, :-1] = np.maximum(border[:, :-1], face[:, :-1] != face[:, 1:])
    share = border.reshape(camera.height, 2, camera.width, 2).mean(axis=(1, 3))[..., None]
    wired: F32 = clay + 0.8 * share * (np.array(_WIRE, np.float32) - clay)
    return wired


def _picture(pixels: U8 | None) -> F32:
    """A map shrunk into a cell; ground where there is none."""
    from PIL import Image

    out = np.empty((_CELL, _CELL, 3), np.float32)
    out[:] = GROUND
    if pixels is not None:
        small = Image.fromarray(pixels).resize((_CELL, _CELL), Image.Resampling.BOX)
        out[:] = np.asarray(small) / np.float32(255)
    return out
