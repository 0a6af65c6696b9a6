"""Mesh + posed views -> textured mesh.

The surface is unwrapped once, every texel is traced back to the point of the surface it paints,
that point is looked up in every view that sees it, and the best views win; where they disagree,
the best supported one alone. Low frequencies are then levelled over the surface so that no border
between views shows, and what nobody saw is filled from its surroundings and counted as unseen.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from img2mesh.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    from img2mesh.artifacts import Mesh, RadianceField, TexturedMesh, View, ViewSet
    from img2mesh.core.arrays import F32, U8
    from img2mesh.diffusion.pictures import Redraw

__all__ = ["bake_maps", "refine_texture", "texture_mesh"]

#: Atlas sides that make sense in pixels.
RESOLUTIONS = (64, 8192)


def texture_mesh(
    mesh: Mesh,
    views: ViewSet,
    *,
    resolution: int,
    delight: bool,
    progress: Callable[[float], None] | None = None,
) -> TexturedMesh:
    """Unwrap a mesh and paint it from the views (and the photo, where its pose is known).

    Args:
        mesh: closed surface in the views' world.
        views: at least one posed view.
        resolution: side of the square atlas in texels.
        delight: take the views' smooth light out of the colours.
        progress: told the fraction done.

    Returns:
        The textured mesh in world coordinates (``asset_from_world`` is the identity).

    Raises:
        InputError: resolution out of range, or no view has a pose.
    """
    from img2mesh.texture.atlas import unwrap
    from img2mesh.texture.bake import bake

    if not RESOLUTIONS[0] <= resolution <= RESOLUTIONS[1]:
        raise InputError(
            f"texture resolution {resolution} is out of range: "
            f"use {RESOLUTIONS[0]} to {RESOLUTIONS[1]} texels"
        )
    if not views.posed:
        raise InputError("texturing needs at least one view with a known camera, got none")
    report = progress or (lambda fraction: None)
    atlas = unwrap(mesh, resolution)
    report(0.3)
    asset = bake(
        mesh,
        atlas,
        views,
        resolution=resolution,
        delight=delight,
        progress=lambda fraction: report(0.3 + 0.7 * fraction),
    )
    report(1.0)
    return asset


def refine_texture(
    asset: TexturedMesh,
    redraw: Redraw,
    *,
    photo: View | None,
    steps: int,
    strengths: tuple[float, float],
    rate: float,
    seed: int,
    scratch: Path | None,
    key: str,
    progress: Callable[[float, str], None],
) -> TexturedMesh:
    """Let the texture follow what a model makes of renders; see :mod:`.refinement`."""
    from img2mesh.texture import refinement

    schedule = refinement.Schedule(steps, strengths, rate, refinement.SIDE, seed)
    return refinement.refine_texture(
        asset, redraw, schedule, photo=photo, scratch=scratch, key=key, progress=progress
    )


def bake_maps(
    asset: TexturedMesh,
    field: RadianceField,
    *,
    normal_map: bool,
    orm_map: bool,
    progress: Callable[[float], None] | None = None,
) -> tuple[U8 | None, U8 | None, F32 | None]:
    """Normal map, occlusion-roughness-metallic map and tangents, as far as they are asked for.

    Both maps share the texture's size and uv.
    """
    from img2mesh.io.gltf import ROUGHNESS
    from img2mesh.texture.occlusion import bake_orm
    from img2mesh.texture.relief import bake_normals

    report = progress or (lambda fraction: None)
    resolution = max(asset.texture.shape[:2])
    normals = tangents = orm = None
    if normal_map:
        normals, tangents, _ = bake_normals(
            asset, field, resolution=resolution, progress=lambda done: report(0.4 * done)
        )
    if orm_map:
        orm = bake_orm(
            asset,
            resolution=resolution,
            roughness=ROUGHNESS,
            progress=lambda done: report(0.4 + 0.4 * done),
        )
    return normals, orm, tangents
