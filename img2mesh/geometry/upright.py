"""Which way is up in the cameras' world: people hold cameras upright, whatever tools call up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from img2mesh.core.arrays import F64
from img2mesh.core.cameras import Camera

Axis = Literal["x", "y", "z", "-x", "-y", "-z"]

#: The mean up of the pictures must lie this close to one axis of the world, as a cosine, and be
#: this long, to tell anything: cameras on their heads among others leave a short one.
_CLOSE, _LONG = 0.9, 0.3

#: Turns that stand an axis upright (rows: the new x, y and z). Exact, and front goes to +z: that of
#: a z-up world is -y (Blender), that of a y-down world -z (OpenCV).
_TURNS: dict[str, list[list[float]]] = {
    "x": [[0, -1, 0], [1, 0, 0], [0, 0, 1]],
    "-x": [[0, 1, 0], [-1, 0, 0], [0, 0, 1]],
    "y": [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
    "-y": [[1, 0, 0], [0, -1, 0], [0, 0, -1]],
    "z": [[1, 0, 0], [0, 0, 1], [0, -1, 0]],
    "-z": [[1, 0, 0], [0, 0, -1], [0, 1, 0]],
}


def up_axis(cameras: Sequence[Camera]) -> Axis | None:
    """The axis of the world that is up in the pictures; None where none clearly is."""
    mean = np.mean([c.world_from_camera[:3, 1] for c in cameras], axis=0)
    length = float(np.linalg.norm(mean))
    k = int(np.abs(mean).argmax())
    if length < _LONG or abs(mean[k]) < _CLOSE * length:
        return None
    axes: tuple[Axis, ...] = ("x", "y", "z") if mean[k] > 0 else ("-x", "-y", "-z")
    return axes[k]


def standing(axis: Axis) -> F64:
    """(3, 3) rotation that takes the axis to +y."""
    return np.array(_TURNS[axis], np.float64)
