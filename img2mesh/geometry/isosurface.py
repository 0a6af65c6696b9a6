"""The surface of a scalar field on a regular grid."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from img2mesh.core.arrays import F32, I32


def march(
    values: F32, level: float, *, inside: Literal["below", "above"] = "below"
) -> tuple[F32, I32]:
    """Triangles of a level set by marching cubes, counter-clockwise seen from outside.

    Args:
        values: (nx, ny, nz); the level must lie within their range.
        level: value on the surface.
        inside: whether the values inside the body are ``below`` the level (signed distances) or
            ``above`` it.

    Returns:
        vertices: (n, 3) float32 in grid coordinates.
        faces: (m, 3) int32.
    """
    from skimage import measure

    marching_cubes: Any = measure.marching_cubes  # its stubs know no tuple of four
    vertices, faces, _, _ = marching_cubes(
        values, level, gradient_direction="descent" if inside == "below" else "ascent"
    )
    return np.ascontiguousarray(vertices, np.float32), np.ascontiguousarray(faces, np.int32)
