"""Radiance field -> mesh: one closed, manifold, outward oriented surface of a given budget.

Marching cubes at the zero level (Lorensen and Cline 1987, in the topologically consistent form of
Lewiner et al. 2003), loose parts joined or dropped, Taubin smoothing, quadric decimation without
slivers, and after each step a check of what downstream tools rely on, with repair where a step
broke it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

import numpy as np

from img2mesh.artifacts import Mesh
from img2mesh.core.arrays import F32, I32
from img2mesh.core.parts import Parts
from img2mesh.errors import Img2MeshError, InputError

if TYPE_CHECKING:
    from img2mesh.artifacts import RadianceField

__all__ = ["Remesh", "extract"]

Remesh = Literal["none", "triangle", "quad"]

#: Sides of the resampled grid that make sense: below, nothing survives; above, gigabytes.
RESOLUTIONS = (16, 768)

#: Parts below this share of the largest part's volume are dropped as noise.
_LEAST_PART = 0.02


def extract(
    field: RadianceField,
    *,
    target_faces: int,
    smoothing_steps: int,
    resolution: int,
    remesh: Remesh,
    parts: Parts,
    progress: Callable[[float], None] | None = None,
) -> Mesh:
    """Extract the zero level of a field as a clean mesh.

    Args:
        field: signed distance grid, negative inside.
        target_faces: face budget; met (within one per cent at worst), or ``notes`` says why not.
        smoothing_steps: Taubin steps (each one shrinking and one growing half step); 0 for none.
        resolution: samples along the longest side to resample the grid to first; 0 keeps it.
        remesh: ``none`` decimates; ``triangle`` and ``quad`` cover the surface evenly instead.
        parts: what becomes of parts that the views show apart: ``keep``, ``join``, ``largest``.
            Where the outlines are in one piece, near parts have lost a thin connection and are
            joined in any case.
        progress: told the fraction done.

    Returns:
        A mesh that is watertight, edge- and vertex-manifold, with outward normals, in one component
        or in as many as were kept apart; ``notes`` says what was dropped, joined or mended.

    Raises:
        InputError: settings out of range.
        Img2MeshError: the field holds no surface, or none that can be made manifold.
    """
    from img2mesh.geometry.mesh import areas
    from img2mesh.geometry.topology import defects
    from img2mesh.meshing.isosurface import close, resample
    from img2mesh.meshing.parts import separate_surfaces, single_surface
    from img2mesh.meshing.repair import repair
    from img2mesh.meshing.smoothing import taubin

    if target_faces < 4:
        raise InputError(f"target_faces is {target_faces}; a closed mesh needs at least 4 faces")
    if resolution and not RESOLUTIONS[0] <= resolution <= RESOLUTIONS[1]:
        raise InputError(
            f"resolution {resolution} is out of range: use 0 for the field's own grid or "
            f"{RESOLUTIONS[0]} to {RESOLUTIONS[1]} samples"
        )
    report = progress or (lambda fraction: None)
    sdf, origin, voxel = field.sdf, field.origin, field.voxel
    if resolution:
        sdf, voxel = resample(sdf, voxel, resolution)
    sdf, origin = close(sdf, origin, voxel)
    report(0.2)
    if parts == "keep" and field.parts > 1:
        bodies, notes = separate_surfaces(sdf, min_component=_LEAST_PART)
    else:
        apart = field.parts > 1
        reach = {"keep": None, "join": np.inf if apart else None, "largest": 0.0 if apart else None}
        one, faces, notes = single_surface(sdf, min_component=_LEAST_PART, reach=reach[parts])
        bodies = [(one, faces)]
    repaired = [repair(*body) for body in bodies]
    for _, faces in repaired:
        if found := defects(faces):
            raise Img2MeshError(
                f"the surface could not be made manifold ({found}); try another resolution"
            )
    report(0.5)
    smooth = [(taubin(v, f, steps=smoothing_steps), f) for v, f in repaired]
    report(0.6)
    sizes = [float(areas(v, f).sum()) for v, f in smooth]
    made = []
    for (vertices, faces), size in zip(smooth, sizes, strict=True):
        budget = max(4, round(target_faces * size / sum(sizes)))
        vertices, faces, told = _to_budget(vertices, faces, budget, remesh)
        made.append((vertices, faces))
        notes = (*notes, *told)
    report(1.0)
    offsets = np.cumsum([0, *(len(v) for v, _ in made)])
    vertices = np.concatenate([v for v, _ in made])
    faces = np.concatenate([f + offset for (_, f), offset in zip(made, offsets, strict=False)])
    return Mesh(origin + voxel * vertices, faces, tuple(dict.fromkeys((*field.notes, *notes))))


def _to_budget(
    vertices: F32, faces: I32, target: int, remesh: Remesh
) -> tuple[F32, I32, tuple[str, ...]]:
    if remesh == "none":
        from img2mesh.meshing.decimation import decimate

        return decimate(vertices, faces, target)
    from img2mesh.meshing.remeshing import remesh as cover

    return cover(vertices, faces, target, kind=remesh)
