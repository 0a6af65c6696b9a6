"""Radiance field -> mesh: one closed, manifold, outward oriented surface of a given budget.

Marching cubes at the zero level (Lorensen and Cline 1987, in the topologically consistent form of
Lewiner et al. 2003), loose parts joined or dropped, Taubin smoothing, quadric decimation without
slivers, and after each step a check of what downstream tools rely on, with repair where a step
broke it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

from img2mesh.artifacts import Mesh
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
    progress: Callable[[float], None] | None = None,
) -> Mesh:
    """Extract the zero level of a field as a clean mesh.

    Args:
        field: signed distance grid, negative inside.
        target_faces: face budget; met (within one per cent at worst), or ``notes`` says why not.
        smoothing_steps: Taubin steps (each one shrinking and one growing half step); 0 for none.
        resolution: samples along the longest side to resample the grid to first; 0 keeps it.
        remesh: ``none`` decimates; ``triangle`` and ``quad`` cover the surface evenly instead.
        progress: told the fraction done.

    Returns:
        A mesh that is one component, watertight, edge- and vertex-manifold, with outward
        normals; ``notes`` says what was dropped, joined or mended on the way.

    Raises:
        InputError: settings out of range.
        Img2MeshError: the field holds no surface, or none that can be made manifold.
    """
    from img2mesh.geometry.topology import defects
    from img2mesh.meshing.decimation import decimate
    from img2mesh.meshing.isosurface import close, resample
    from img2mesh.meshing.parts import single_surface
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
    vertices, faces, notes = single_surface(sdf, min_component=_LEAST_PART)
    vertices, faces = repair(vertices, faces)
    if found := defects(faces):
        raise Img2MeshError(
            f"the surface could not be made manifold ({found}); try another resolution"
        )
    report(0.5)
    vertices = taubin(vertices, faces, steps=smoothing_steps)
    report(0.6)
    if remesh == "none":
        vertices, faces, budget_notes = decimate(vertices, faces, target_faces)
    else:
        from img2mesh.meshing.remeshing import remesh as cover

        vertices, faces, budget_notes = cover(vertices, faces, target_faces, kind=remesh)
    report(1.0)
    world = origin + voxel * vertices
    return Mesh(world, faces, (*notes, *budget_notes))
