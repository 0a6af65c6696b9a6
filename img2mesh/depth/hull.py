"""The visual hull as something rays can hit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from img2mesh.artifacts import View
from img2mesh.errors import InputError
from img2mesh.hull import hull_sdf
from img2mesh.raycast import Scene


def hull_scene(views: Sequence[View], *, resolution: int) -> Scene:
    """Marching cubes over the hull's grid.

    Raises:
        InputError: the hull is thinner than the grid can show.
    """
    from skimage.measure import marching_cubes

    hull = hull_sdf(views, grid=resolution)
    if hull.sdf.min() >= 0:
        raise InputError(
            f"the object is too thin to show on a grid of {resolution}: raise the resolution"
        )
    # Distances grow outwards: "descent" winds the triangles counter-clockwise seen from outside.
    # Its code insists on a buffer it could write to.
    march: Any = marching_cubes
    vertices, faces, _, _ = march(hull.sdf.copy(), 0.0, gradient_direction="descent")
    return Scene(hull.origin + hull.voxel * vertices, faces)
