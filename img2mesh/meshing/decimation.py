"""Fewer faces, still manifold."""

from __future__ import annotations

import numpy as np

from img2mesh.artifacts import F32, I32
from img2mesh.meshing.topology import defects, repair, volume

#: fast-simplification's aggressiveness: how fast its error threshold grows. Its default is 7;
#: lower keeps closer to the true quadric order and breaks fewer edges, but may stop early.
_AGGRESSIVENESS = (5.0, 7.0, 9.0)

#: A run may stop early at its error limit, or its repair add faces; it is then run on.
_PASSES = 3

#: A decimated body may lose or gain this share of its volume; beyond it has collapsed.
_VOLUME_CHANGE = 0.1


def decimate(vertices: F32, faces: I32, target: int) -> tuple[F32, I32, tuple[str, ...]]:
    """Quadric edge collapse (Garland and Heckbert 1997) to ``target`` faces.

    The library may fold sheets onto each other; such spots are cut apart again. If what remains
    is not a manifold of about the same volume, coarser runs and then larger budgets are tried,
    and in the end the surface is handed back as it came.

    Returns:
        vertices, faces, and notes for the user where the budget could not be met.
    """
    if len(faces) <= target:
        return vertices, faces, ()
    import fast_simplification

    before = volume(vertices, faces)
    budget = target
    while budget < len(faces):
        for aggressiveness in _AGGRESSIVENESS:
            points, triangles = vertices, faces
            for _ in range(_PASSES):
                points, triangles = fast_simplification.simplify(
                    points, triangles, target_count=int(budget), agg=aggressiveness
                )
                points, triangles = repair(
                    np.ascontiguousarray(points, np.float32),
                    np.ascontiguousarray(triangles, np.int32),
                )
                if len(triangles) <= 1.01 * budget:
                    break
            if not len(triangles) or defects(triangles) or len(triangles) > 1.05 * budget:
                continue
            if abs(volume(points, triangles) - before) > _VOLUME_CHANGE * abs(before):
                continue
            return points, triangles, _over_budget(len(triangles), target)
        budget = int(budget * 1.5)
    return vertices, faces, _over_budget(len(faces), target)


def _over_budget(count: int, target: int) -> tuple[str, ...]:
    if count <= 1.05 * target:
        return ()
    return (f"the mesh has {count} faces instead of {target}: fewer would have broken it",)
