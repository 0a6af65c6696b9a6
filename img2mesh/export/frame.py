"""Textured mesh → the frame engines expect: +y up, front +z, metres, pivot where hands grip."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal, get_args

import numpy as np

from img2mesh.artifacts import TexturedMesh
from img2mesh.errors import InputError
from img2mesh.geometry.mesh import bounds

#: ``asset``: metres and pivot as asked; ``world``: the cameras' own coordinates and scale.
Frame = Literal["asset", "world"]
#: Where the origin sits: on the ground under the middle, or in the middle of the bounding box.
Pivot = Literal["base", "centre"]


def to_asset_frame(
    asset: TexturedMesh, *, frame: Frame, pivot: Pivot | Literal["center"], scale: float
) -> TexturedMesh:
    """Move and scale the asset into its delivery frame.

    World and asset share their axes (glTF's: right-handed, +y up, front +z), so this is a
    translation and a uniform scale, recorded in ``asset_from_world``. Chart copies of a vertex
    stay bit-identical.

    Args:
        asset: in any frame that ``asset_from_world`` accounts for.
        frame: ``asset``, or ``world`` to leave everything untouched.
        pivot: ``base`` (centre of the bounding box' bottom) or ``centre`` of the bounding box.
        scale: largest extent of the bounding box in metres.

    Raises:
        InputError: unknown frame or pivot, a scale that is not positive and finite, or an asset
            without extent.
    """
    if frame not in get_args(Frame):
        raise InputError(f"unknown frame {frame!r}; known frames: {', '.join(get_args(Frame))}")
    pivot = "centre" if pivot == "center" else pivot
    if pivot not in get_args(Pivot):
        raise InputError(f"unknown pivot {pivot!r}; known pivots: {', '.join(get_args(Pivot))}")
    if not (np.isfinite(scale) and scale > 0):
        raise InputError(f"the scale must be a positive number of metres, got {scale}")
    if frame == "world":
        return asset
    # Only vertices that faces use count: a stray one must not shift the pivot.
    low, high = (corner.astype(np.float64) for corner in bounds(asset.vertices, asset.faces))
    extent = float((high - low).max())
    if not extent > 0:
        raise InputError("the mesh has no extent and cannot be scaled")
    origin = (low + high) / 2
    if pivot == "base":
        origin[1] = low[1]
    factor = scale / extent
    # Element by element (no matrix product), so that equal inputs round equally.
    vertices = (asset.vertices.astype(np.float64) - origin) * factor
    move = np.eye(4)
    move[:3, :3] *= factor
    move[:3, 3] = -factor * origin
    return replace(
        asset,
        vertices=vertices.astype(np.float32),
        asset_from_world=move @ asset.asset_from_world,
    )
