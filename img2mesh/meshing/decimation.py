"""Fewer faces, still manifold, as many as asked for."""

from __future__ import annotations

import numpy as np

from img2mesh.core.arrays import F32, I32
from img2mesh.geometry.mesh import bounds, volume
from img2mesh.geometry.raycast import Scene
from img2mesh.geometry.topology import defects
from img2mesh.meshing.repair import repair

#: fast-simplification's aggressiveness: how fast its error threshold grows. Its default is 7;
#: lower keeps closer to the true quadric order and breaks fewer edges, but may stop early.
_AGGRESSIVENESS = (5.0, 7.0, 9.0)

#: A run may stop early at its error limit, or its repair add faces; it is then run on.
_PASSES = 3

#: Faces beyond the target left by the library's collapse, for polishing to take where it mends
#: slivers.
_SPARE = 1.01

#: Runs at most with what polishing turned out to take spared as well.
_CORRECTIONS = 3

#: A budget counts as met within this share.
TOLERANCE = 0.01

#: Beyond this share of the diagonal, a body that became shorter has lost a part.
_LOST = 0.02

#: A decimated body may lose or gain this share of its volume; beyond it has collapsed.
_VOLUME_CHANGE = 0.1


def decimate(vertices: F32, faces: I32, target: int) -> tuple[F32, I32, tuple[str, ...]]:
    """Quadric edge collapse (Garland and Heckbert 1997) to ``target`` faces, then polishing.

    The quadric error is what makes it follow curvature: flat places give their faces up first.
    The library may fold sheets onto each other; such spots are cut apart again. If what remains
    is not a manifold of about the same volume, coarser runs and then larger budgets are tried,
    and in the end the surface is handed back as it came.

    Other libraries, measured: ``docs/reconstruction.md``.

    Returns:
        vertices, faces, and notes for the user where the budget could not be met.
    """
    if len(faces) <= target:
        return vertices, faces, _off_budget(len(faces), target, _TOO_COARSE)
    best = _to_budget(vertices, faces, target)
    if best is None:
        return vertices, faces, _off_budget(len(faces), target, _WOULD_BREAK)
    notes = _off_budget(len(best[1]), target, _WOULD_BREAK)
    size, left = (high - low for low, high in (bounds(vertices, faces), bounds(*best)))
    if np.abs(size - left).max() > _LOST * float(np.linalg.norm(size)):
        notes += (f"a thin part was lost on the way to {target} faces: allow more of them",)
    return (*best, notes)


def _to_budget(vertices: F32, faces: I32, target: int) -> tuple[F32, I32] | None:
    """The first manifold result within the budget's tolerance, exact where that is to be had.

    If there is none, the nearest to the budget.
    """
    from img2mesh.meshing.polishing import polish

    before = volume(vertices, faces)
    surface = Scene(vertices, faces)
    best: tuple[F32, I32] | None = None

    def miss(count: int) -> int:
        return abs(count - target)

    budget = int(target * _SPARE) + 4
    while budget < 1.5 * len(faces):
        for aggressiveness in _AGGRESSIVENESS:
            spare = 0
            for _ in range(_CORRECTIONS):
                points, triangles = _collapse(vertices, faces, budget + spare, aggressiveness)
                if not _sound(points, triangles, before) or len(triangles) > 1.05 * budget + spare:
                    break
                if len(triangles) <= 1.1 * target + 8:
                    finished = polish(points, triangles, surface, target=target)
                    if _sound(*finished, before):
                        points, triangles = finished
                if best is None or miss(len(triangles)) < miss(len(best[1])):
                    best = points, triangles
                # Faces of a closed body come in pairs: one beside an odd budget is exact.
                if miss(len(best[1])) <= target % 2 or len(triangles) > target:
                    break
                # Mending slivers took more than was spared for it: spare that, too.
                spare += target - len(triangles)
            if best is not None and miss(len(best[1])) <= max(TOLERANCE * target, 1):
                return best
        if best is not None and budget > 2 * target:
            break
        budget = int(budget * 1.5)
    return best


def _collapse(vertices: F32, faces: I32, budget: int, aggressiveness: float) -> tuple[F32, I32]:
    import fast_simplification

    points, triangles = vertices, faces
    for _ in range(_PASSES):
        # In two goes, as every go begins with a strict error limit again: in one, the limit at the
        # end is so loose that thin necks are pinched off, and what hung on them is lost.
        for count in (2 * budget, budget):
            if len(triangles) > count:
                points, triangles = fast_simplification.simplify(
                    points, triangles, target_count=int(count), agg=aggressiveness
                )
        points, triangles = repair(
            np.ascontiguousarray(points, np.float32), np.ascontiguousarray(triangles, np.int32)
        )
        if len(triangles) <= _SPARE * budget:
            break
    return points, triangles


def _sound(vertices: F32, faces: I32, before: float) -> bool:
    """A closed manifold of about the volume it had."""
    if not len(faces) or defects(faces):
        return False
    return abs(volume(vertices, faces) - before) <= _VOLUME_CHANGE * abs(before)


_TOO_COARSE = "the field's grid holds no more; --mc-resolution makes it finer"
_WOULD_BREAK = "nearer to it the surface would have broken"


def _off_budget(count: int, target: int, reason: str) -> tuple[str, ...]:
    if abs(count - target) <= max(TOLERANCE * target, 1):
        return ()
    return (f"the mesh has {count} faces instead of {target}: {reason}",)
