"""The fixed poses that multi-view generators draw: part of a checkpoint, here as data."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from img2mesh.core.cameras import Camera
from img2mesh.errors import InputError


@dataclass(frozen=True)
class Rig:
    """The fixed poses a generator draws.

    Azimuths are relative to the input picture, elevations absolute. The distance only sets the
    scale: at ``distance`` a sphere of radius 1.035 around the origin just fits the picture.

    Attributes:
        name: as ``--rig`` takes it.
        azimuths_deg, elevations_deg: one a view, in the order they are drawn.
        fov_deg: both fields of view of the square pictures.
        distance: from the origin.
        sheet: rows and columns of the sheet its program writes.
        any_grid: other grids of as many views, row by row, are as clear.
        normals: its program draws normals beside the colours, in the frame of the first view.
        names: of the views in its program's file names; empty where they are numbers.
        raised: the elevation a user may state, in words; empty where all are fixed.
        between: and its range, degrees.
        lenses: fields of view it may have drawn with instead, degrees.
    """

    name: str
    azimuths_deg: tuple[float, ...]
    elevations_deg: tuple[float, ...]
    fov_deg: float
    distance: float
    sheet: tuple[int, int] = (3, 2)
    any_grid: bool = True
    normals: bool = False
    names: tuple[str, ...] = ()
    raised: str = ""
    between: tuple[float, float] = (0.0, 0.0)
    lenses: tuple[float, ...] = ()

    def cameras(self, size: int) -> tuple[Camera, ...]:
        """One camera a pose, for square pictures of ``size`` pixels."""
        return tuple(
            Camera.orbit(
                a, e, distance=self.distance, fov_deg=self.fov_deg, width=size, height=size
            )
            for a, e in zip(self.azimuths_deg, self.elevations_deg, strict=True)
        )

    def through(self, fov_deg: float) -> Rig:
        """The rig with another lens, from where the same sphere fits its pictures."""
        return replace(self, fov_deg=fov_deg, distance=_distance(fov_deg))

    def at(self, elevation_deg: float | None) -> Rig:
        """The rig for an elevation that the user states, or itself for None.

        Raises:
            InputError: its elevations are fixed, or this one is outside the trained range.
        """
        if elevation_deg is None:
            return self
        if not self.raised:
            raise InputError(
                f"the elevations of rig {self.name} are fixed, but {elevation_deg:g} degrees were "
                "given: leave --elevation out"
            )
        low, high = self.between
        if not low <= elevation_deg <= high:
            raise InputError(
                f"{self.name} was trained for {self.raised} between {low:g} and {high:g} degrees, "
                f"but --elevation is {elevation_deg:g}: draw the views again from such a picture"
            )
        if self.raised != RING:
            return self
        return replace(self, elevations_deg=(elevation_deg,) * len(self.elevations_deg))


#: What the elevation of a rig belongs to.
RING, INPUT = "a ring of views", "an input picture"
_RING = (30.0, 90.0, 150.0, 210.0, 270.0, 330.0)
_NAMES = ("front", "front_right", "right", "back", "left", "front_left")
#: A sphere of this radius just fits every rig's pictures.
_RADIUS = 1.035
#: Orthographic views are taken from so far that they differ from parallel ones by less than a
#: quarter of a pixel in 1000 wherever the object lies within the unit sphere.
_FAR = 1000.0


def _distance(fov_deg: float) -> float:
    return float(_RADIUS / np.sin(np.deg2rad(fov_deg) / 2))


def _orthographic(name: str) -> Rig:
    """Wonder3D's and Era3D's six views (Wonder3D README; the poses in its ``fixed_poses``)."""
    fov = float(2 * np.rad2deg(np.arcsin(_RADIUS / _FAR)))
    azimuths = (0.0, 45.0, 90.0, 180.0, 270.0, 315.0)
    return Rig(name, azimuths, (0.0,) * 6, fov, _FAR, (1, 6), normals=True, names=_NAMES)


#: The published rigs. Zero123++ v1.1: fov as its authors state it, 2 atan(16 / 35) (zero123plus
#: issue 68); v1.2: README. SyncDreamer: ``blender_script.py`` (lens and ring), README (range of
#: the input). MVDream: ``camera_utils.py`` and ``t2i.py``; trained with fields of view of 15 to 60
#: degrees (its issue 12), it does not say which one it draws; 40 is what its authors evaluate with.
RIGS: dict[str, Rig] = {
    rig.name: rig
    for rig in (
        Rig(
            "zero123plus-v1.1", _RING, (30.0, -20.0) * 3, 49.13434264120263, 2.490082685595289,
            any_grid=False,
        ),
        Rig("zero123plus-v1.2", _RING, (20.0, -10.0) * 3, 30.0, 4.0, any_grid=False),
        Rig(
            "syncdreamer", tuple(22.5 * k for k in range(16)), (30.0,) * 16, 49.13434264120263,
            2.490082685595289, (1, 16), raised=INPUT, between=(-10.0, 40.0),
        ),
        Rig(
            "mvdream", (0.0, 90.0, 180.0, 270.0), (15.0,) * 4, 40.0, _distance(40.0), (1, 4),
            raised=RING, between=(0.0, 30.0), lenses=(15.0, 20.0, 30.0, 50.0, 60.0),
        ),
        _orthographic("wonder3d"),
        _orthographic("era3d"),
    )
}  # fmt: skip


def rig(name: str) -> Rig:
    """Look a rig up.

    Raises:
        InputError: unknown name; lists the known ones.
    """
    if name not in RIGS:
        raise InputError(f"unknown rig {name!r}; known rigs: {', '.join(RIGS)}")
    return RIGS[name]
