"""The fixed poses that six-view generators draw: part of a checkpoint, here as data."""

from __future__ import annotations

from dataclasses import dataclass

from img2mesh.core.cameras import Camera
from img2mesh.errors import InputError


@dataclass(frozen=True)
class Rig:
    """The fixed poses a six-view generator draws, row by row on a 3x2 sheet.

    Azimuths are relative to the input picture, elevations absolute. The distance only sets the
    scale: at ``distance`` a sphere of radius 1.035 around the origin just fits the picture.
    """

    name: str
    azimuths_deg: tuple[float, ...]
    elevations_deg: tuple[float, ...]
    fov_deg: float
    distance: float

    def cameras(self, size: int) -> tuple[Camera, ...]:
        """One camera a pose, for square pictures of ``size`` pixels."""
        return tuple(
            Camera.orbit(
                a, e, distance=self.distance, fov_deg=self.fov_deg, width=size, height=size
            )
            for a, e in zip(self.azimuths_deg, self.elevations_deg, strict=True)
        )


_RING = (30.0, 90.0, 150.0, 210.0, 270.0, 330.0)


#: The rigs of the published checkpoints. v1.1: fov as its authors state it, 2 atan(16 / 35)
#: (zero123plus issue 68); v1.2: README. Distances give both the same apparent object size.
RIGS: dict[str, Rig] = {
    "zero123plus-v1.1": Rig(
        "zero123plus-v1.1", _RING, (30.0, -20.0) * 3, 49.13434264120263, 2.490082685595289
    ),
    "zero123plus-v1.2": Rig("zero123plus-v1.2", _RING, (20.0, -10.0) * 3, 30.0, 4.0),
}


def rig(name: str) -> Rig:
    """Look a rig up.

    Raises:
        InputError: unknown name; lists the known ones.
    """
    if name not in RIGS:
        raise InputError(f"unknown rig {name!r}; known rigs: {', '.join(RIGS)}")
    return RIGS[name]
