"""Textured mesh → the frame engines expect: +y up, front +z, metres, pivot where hands grip."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal, get_args

import numpy as np

from img2mesh.artifacts import TexturedMesh
from img2mesh.core.cameras import Camera
from img2mesh.core.lengths import METRES, Unit, parse_size
from img2mesh.errors import InputError
from img2mesh.geometry.mesh import bounds
from img2mesh.geometry.upright import Axis, standing, up_axis

#: ``asset``: metres and pivot as asked; ``world``: the cameras' own coordinates and scale.
Frame = Literal["asset", "world"]
#: Where the origin sits: on the ground under the middle, or in the middle of the bounding box.
Pivot = Literal["base", "centre"]
#: The axis of the cameras' world that is up; ``auto`` asks the cameras.
Up = Literal["auto", "x", "y", "z", "-x", "-y", "-z"]


def in_given_world(asset: TexturedMesh, unit: float) -> TexturedMesh:
    """The asset in the given cameras' own unit: ``unit`` of theirs are one of the views' world."""
    if unit == 1:
        return asset
    move = np.diag([unit, unit, unit, 1.0])
    return replace(
        asset,
        vertices=(asset.vertices.astype(np.float64) * unit).astype(np.float32),
        asset_from_world=move @ asset.asset_from_world,
    )


def upright(asset: TexturedMesh, cameras: Sequence[Camera], *, up: Up) -> TexturedMesh:
    """The asset turned so that an axis of the cameras' world becomes +y.

    Args:
        asset: in the cameras' world.
        cameras: whose mean up decides for ``auto``; what is not clear turns nothing.
        up: the axis, or ``auto``.

    Raises:
        InputError: no such axis.
    """
    if up not in get_args(Up):
        raise InputError(f"unknown up {up!r}; known: {', '.join(get_args(Up))}")
    axis: Axis = (up_axis(cameras) or "y") if up == "auto" else up
    if axis == "y":
        return asset
    turn = standing(axis)
    move = np.eye(4)
    move[:3, :3] = turn
    return replace(
        asset,
        vertices=(asset.vertices @ turn.T).astype(np.float32),
        normals=(asset.normals @ turn.T).astype(np.float32),
        asset_from_world=move @ asset.asset_from_world,
    )


def true_scale(asset: TexturedMesh, *, scale: float, size: str | None, unit: Unit | None) -> float:
    """The largest extent in metres that a wanted size means.

    Args:
        asset: upright, in the given world's unit.
        scale: what is wanted where neither of the others is given.
        size: as ``height=9cm``; or None.
        unit: what one unit of the given world measures, so that the true size is kept; or None.

    Raises:
        InputError: both are given, or one is none.
    """
    if size is not None and unit is not None:
        raise InputError("--size and --unit both say how large the asset is: give one of them")
    if unit is not None and unit not in get_args(Unit):
        raise InputError(f"unknown unit {unit!r}; known: {', '.join(get_args(Unit))}")
    if size is None and unit is None:
        return scale
    low, high = bounds(asset.vertices, asset.faces)
    extent = (high - low).astype(np.float64)
    if unit is not None:
        return float(extent.max()) * METRES[unit]
    axis, length = parse_size(str(size))
    if axis is None:
        return length
    if not extent[axis] > 0:
        raise InputError(f"the mesh has no extent along that axis, so --size {size} cannot be met")
    return length * float(extent.max() / extent[axis])


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
