"""What a game engine wants besides the mesh, put together: maps, levels of detail, hulls."""

from __future__ import annotations

from img2mesh.artifacts import GameParts, TexturedMesh
from img2mesh.core.arrays import F32, U8

#: Share of the surface that hulls must hold for the user to hear nothing of it.
_HELD = 0.99


def game_parts(
    asset: TexturedMesh,
    maps: tuple[U8 | None, U8 | None, F32 | None],
    *,
    lods: int,
    lod_ratio: float,
    collision: bool,
    collision_hulls: int,
    collision_vertices: int,
) -> GameParts:
    """The parts of an asset, as far as they are asked for.

    Args:
        asset: the deliverable.
        maps: normal map, occlusion-roughness-metallic map and tangents.
        lods: coarser versions to make.
        lod_ratio: faces of a version as a share of the one before.
        collision: make convex collision hulls.
        collision_hulls: hulls at most.
        collision_vertices: vertices of a hull at most.

    Raises:
        InputError: a number out of range.
        MissingExtraError: a library is not installed; names the pip line.
    """
    from img2mesh.export import collision as bodies
    from img2mesh.export.lods import levels_of_detail

    chain, notes = levels_of_detail(asset, count=lods, ratio=lod_ratio)
    if not collision:
        return GameParts(*maps, chain, notes=notes)
    hulls, enclosed = bodies.collision_hulls(
        asset, hulls=collision_hulls, vertices=collision_vertices
    )
    if enclosed < _HELD:
        notes += (
            f"the collision hulls hold {enclosed:.1%} of the surface: allow more of them "
            "(--collision-hulls) or more vertices (--collision-vertices)",
        )
    return GameParts(*maps, chain, hulls, enclosed, notes)
