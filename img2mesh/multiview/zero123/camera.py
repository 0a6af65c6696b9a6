"""The four numbers that tell Zero-1-to-3 how its camera moves.

``[polar change, sin azimuth change, cos azimuth change, fourth]``: the polar angle is counted from
straight above, so its change is *minus* the elevation's; that sign is turned here and nowhere else.
The azimuth is counter-clockwise seen from above, as ours. What the fourth number means is a fact of
the checkpoint (:data:`Fourth`): ``radius``, the change of the distance in units of the training set
(an object's longest side is 1, cameras 1.5 to 2.2 away), or ``cond_polar``, the absolute polar
angle of the input picture in radians (Stable Zero123).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from img2mesh.diffusion.checkpoints import Fourth
from img2mesh.errors import InputError

F64 = NDArray[np.float64]


def camera_vectors(
    elevations_deg: Sequence[float],
    azimuths_deg: Sequence[float],
    distances: Sequence[float],
    *,
    fourth: Fourth = "radius",
    input_elevation_deg: float = 0.0,
) -> torch.Tensor:
    """(b, 4) float32 camera vectors of b moves from the input view.

    Args:
        elevations_deg: change, positive = the camera moves up.
        azimuths_deg: change, positive = the camera moves to its own right.
        distances: change, units of the training set; must be 0 where the checkpoint has no radius.
        fourth: what the last component means.
        input_elevation_deg: of the input picture; only ``cond_polar`` checkpoints see it.

    Raises:
        InputError: lists of different lengths, numbers that are not finite, an elevation beyond
            straight up or down, or a distance that the checkpoint cannot be told.
    """
    lists = [np.atleast_1d(np.asarray(one, np.float64)) for one in
             (elevations_deg, azimuths_deg, distances)]  # fmt: skip
    if len({one.shape for one in lists}) != 1 or lists[0].ndim != 1 or not len(lists[0]):
        counts = ", ".join(str(one.size) for one in lists)
        raise InputError(
            f"elevations, azimuths and distances must be three lists of one length, got {counts}"
        )
    if not all(np.isfinite(one).all() for one in lists):
        raise InputError("elevations, azimuths and distances must be finite numbers")
    elevation, azimuth, distance = lists
    if np.abs(elevation).max() > 180 or abs(input_elevation_deg) > 90:
        raise InputError(
            f"elevations change by at most 180 degrees and the input's lies in -90..90, got "
            f"{elevation.tolist()} from {input_elevation_deg:g}"
        )
    if fourth == "cond_polar":
        if distance.any():
            raise InputError(
                "this checkpoint (of the Stable Zero123 kind) knows no change of distance; "
                "leave the distances at 0"
            )
        last = np.full_like(distance, np.deg2rad(90.0 - input_elevation_deg))
    else:
        last = distance
    a = np.deg2rad(azimuth)
    vectors = np.stack([-np.deg2rad(elevation), np.sin(a), np.cos(a), last], axis=1)
    return torch.from_numpy(vectors.astype(np.float32))


def moves_between(
    given: F64, target: F64
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Changes of elevation (degrees), azimuth (degrees) and distance between camera centres.

    Args:
        given, target: (..., 3) camera centres in a z-up world around the object.
    """

    def spherical(centre: F64) -> tuple[F64, F64, F64]:
        x, y, z = np.moveaxis(np.asarray(centre, np.float64), -1, 0)
        across = np.hypot(x, y)
        return (
            np.rad2deg(np.arctan2(z, across)),
            np.rad2deg(np.arctan2(y, x)),
            np.hypot(across, z),
        )

    (e0, a0, r0), (e1, a1, r1) = spherical(given), spherical(target)
    return e1 - e0, a1 - a0, r1 - r0


def centres(camera_from_world: F64) -> NDArray[np.float64]:
    """(..., 3) camera centres of matrices [R | t] (..., 3, 4), as the training renders store them.

    Whether the camera looks along -z or +z plays no part.
    """
    matrix = np.asarray(camera_from_world, np.float64)
    return -np.einsum("...ji,...j->...i", matrix[..., :3], matrix[..., 3])
