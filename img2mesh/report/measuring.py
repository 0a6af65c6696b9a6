"""Every number of ``report.json`` that is measured on the finished asset, and its preview."""

from __future__ import annotations

from typing import Any

import numpy as np

from img2mesh.artifacts import Quality, TexturedMesh, ViewSet
from img2mesh.geometry.mesh import areas, bounds, same_position
from img2mesh.geometry.topology import Topology, topology
from img2mesh.report.charts import Charts, charts
from img2mesh.report.fidelity import agreement, describe_camera, in_asset_frame
from img2mesh.report.preview import draw_preview
from img2mesh.report.preview_scene import PreviewScene

#: Texels a pixel, along a line, from which a texture is finer than it need be: twice is the usual
#: margin of resampling, and sizes are powers of two.
_FINER = 4.0


def measure(asset: TexturedMesh, views: ViewSet) -> Quality:
    """Measure the asset as it will be delivered and draw its preview.

    Everything is judged on what a client of the file sees: the surface merged by position, the
    texture filtered, the asset where its frame put it (the cameras follow it there).

    ``silhouette_iou`` and ``psnr_views`` hold one number a view under ``views`` and one for the
    photo under ``input`` (None where its pose is not known); :func:`~.fidelity.agreement` defines
    them. ``input_camera`` is the photo's camera in the asset's frame, so that anyone can render
    the file and repeat the measurement. ``photo_elevation_deg`` and ``photo_pose_confidence`` say
    where it stands in the views' world and how sure that is: 1 where the generator knows it, less
    where it was estimated (it is used only above the setting ``registered.confidence``).

    Args:
        asset: the deliverable.
        views: the pictures it was made from, in the world that ``asset.asset_from_world`` left.

    Returns:
        measures (JSON values) and preview.
    """
    scene = PreviewScene(asset)
    renderer = scene.renderer
    sewn = same_position(asset.vertices)[asset.faces]
    shape, atlas = topology(sewn), charts(asset)

    scores = [
        agreement(renderer, view, in_asset_frame(camera, asset.asset_from_world))
        for view, camera in zip(views.views, views.cameras, strict=True)
    ]
    photo = views.photo
    given = photo if photo is not None else views.views[0]
    front: tuple[float | None, float | None] = (None, None)
    input_camera: dict[str, Any] | None = None
    if photo is not None and photo.camera is not None:
        camera = in_asset_frame(photo.camera, asset.asset_from_world)
        front = agreement(renderer, photo, camera)
        input_camera = describe_camera(camera, asset.asset_from_world[:3, 3])

    pose: tuple[float | None, float | None] = (None, None)
    if views.photo_pose is not None:
        pose = views.photo_pose.elevation_deg, views.photo_pose.confidence
    elif photo is not None and photo.camera is not None:
        pose = float(np.rad2deg(np.arcsin(np.clip(-photo.camera.forward[1], -1, 1)))), 1.0

    provenance = views.provenance
    # Told for the world that the cameras came in, not for the unit they were brought to.
    own_unit = np.diag([1 / views.unit, 1 / views.unit, 1 / views.unit, 1.0])
    measures: dict[str, Any] = {
        "generator": provenance.generator,
        "learned_weights": provenance.learned_weights,
        "licences": list(provenance.licences),
        "faces": len(asset.faces),
        "vertices": len(np.unique(sewn)),
        "vertices_split": len(asset.vertices),
        **shape.as_dict(),
        "uv_overlap": round(atlas.uv_overlap, 6),
        "uv_utilisation": round(atlas.uv_utilisation, 4),
        "texture_resolution": max(asset.texture.shape[:2]),
        "seen_surface_fraction": {
            "photo": round(atlas.seen_photo, 4),
            "views": round(atlas.seen_views, 4),
        },
        "silhouette_iou": {"views": [_round(s[0]) for s in scores], "input": _round(front[0])},
        "psnr_views": {"views": [_round(s[1]) for s in scores], "input": _round(front[1])},
        "bounds": {"min": renderer.low.tolist(), "max": renderer.high.tolist()},
        "input_camera": input_camera,
        "photo_elevation_deg": _round(pose[0]),
        "photo_pose_confidence": _round(pose[1]),
        "asset_from_world": (asset.asset_from_world @ own_unit).tolist(),
        "warnings": [
            *provenance.notes,
            *asset.notes,
            *_warnings(shape, atlas),
            *_too_fine(asset, views, atlas),
        ],
    }
    caption = "input" if photo is not None else "first given view"
    return Quality(measures, draw_preview(scene, given, caption=caption))


def _round(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def _too_fine(asset: TexturedMesh, views: ViewSet, atlas: Charts) -> list[str]:
    """Say so where the texture is finer than the pictures that it was painted from."""
    low, high = bounds(asset.vertices, asset.faces)
    cameras = [v.camera for v in views.posed if v.camera is not None]
    placed = [in_asset_frame(camera, asset.asset_from_world) for camera in cameras]
    # What one pixel of the sharpest picture covers at the object's middle, and what one texel.
    pixel = min(np.linalg.norm(c.origin - (low + high) / 2) / max(c.fx, c.fy) for c in placed)
    side = max(asset.texture.shape[:2])
    used = max(atlas.uv_utilisation, 1e-3) * side**2
    ratio = float(pixel / np.sqrt(areas(asset.vertices, asset.faces).sum() / used))
    if ratio < _FINER:
        return []
    enough = max(64, 2 ** int(np.ceil(np.log2(side / ratio))))
    return [
        f"the texture of {side} pixels is {ratio:.1f} times as fine as the sharpest picture: "
        f"--texture-resolution {enough} holds all that the pictures show"
    ]


def _warnings(shape: Topology, atlas: Charts) -> list[str]:
    found = []
    if not shape.watertight:
        found.append("the mesh is not watertight: some edges do not belong to exactly two faces")
    if not shape.manifold:
        found.append("the mesh is not manifold: some edges or vertices join more than one sheet")
    if shape.components > 1:
        found.append(f"the mesh is in {shape.components} pieces")
    if atlas.uv_overlap > 1e-3:
        found.append(f"{atlas.uv_overlap:.1%} of the texture is used by more than one chart")
    return found
