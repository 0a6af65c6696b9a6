"""Textured mesh → a body for a 3D printer: millimetres, +z up, standing flat on the bed.

The bottom is made flat by raising everything below a plane onto it. That keeps the surface closed
whatever its shape, where cutting it would need a cap for every hole.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from img2mesh.artifacts import Mesh, TexturedMesh
from img2mesh.core.arrays import F32, F64, I32
from img2mesh.geometry.mesh import compact, face_normals, sample_surface
from img2mesh.geometry.raycast import Scene
from img2mesh.geometry.topology import pieces, topology
from img2mesh.io.threemf import threemf_bytes

#: Millimetres a metre.
MILLIMETRES = 1000.0
#: The plane is looked for up to this share of the height, and stays low where most of the area
#: that can be had is had already.
_HIGHEST, _STEPS, _MOST = 0.03, 7, 0.8
#: Rays that measure walls; those that leave through a side that faces the other way are walls, and
#: of so many the share that is thinner is left out as edges.
_RAYS, _OPPOSITE, _EDGES = 20_000, -0.5, 0.01
#: Two lines of the usual nozzle of 0.4 mm: what is thinner is left out by slicers or breaks.
THINNEST = 0.8


@dataclass(frozen=True)
class Printable:
    """A body and what a printer's user wants to know of it.

    Attributes:
        body: millimetres, +z up, front towards -y, standing on z = 0 around the origin.
        size_mm: width, depth and height.
        cut_mm: height of what was made flat.
        base_mm2: area that stands on the bed.
        wall_mm: thickness of the thinnest walls (one per cent of the surface is thinner); None
            where nothing could be measured.
        closed: every edge belongs to two faces.
    """

    body: Mesh
    size_mm: tuple[float, float, float]
    cut_mm: float
    base_mm2: float
    wall_mm: float | None
    closed: bool

    def as_dict(self) -> dict[str, Any]:
        """The numbers by name."""
        return {
            "size_mm": list(self.size_mm), "cut_mm": self.cut_mm, "base_mm2": self.base_mm2,
            "wall_mm": self.wall_mm, "closed": self.closed,
        }  # fmt: skip

    @property
    def notes(self) -> tuple[str, ...]:
        """What to tell the user."""
        width, depth, height = self.size_mm
        told = [
            f"for printing: {width:g} x {depth:g} x {height:g} mm, standing on "
            f"{self.base_mm2:g} mm2, thinnest walls "
            + ("not measured" if self.wall_mm is None else f"{self.wall_mm:g} mm")
        ]
        if self.wall_mm is not None and self.wall_mm < THINNEST:
            longest = max(self.size_mm) / 10 * THINNEST / max(self.wall_mm, 1e-3)
            told.append(
                f"walls of {self.wall_mm:g} mm are thinner than the {THINNEST:g} mm that printers "
                f"make safely: print it larger (--size longest={longest:.2g}cm) or with supports"
            )
        if not self.closed:
            told.append("the printed body is not closed: let the slicer repair it")
        return tuple(told)

    def save(self, path: Path, *, name: str) -> None:
        """Write the body as .stl or .3mf, by the path's suffix."""
        if path.suffix == ".3mf":
            path.write_bytes(threemf_bytes(self.body.vertices, self.body.faces, name))
        else:
            self.body.to_trimesh().export(path, file_type="stl")


def for_printers(vertices: F32) -> F64:
    """Points (n, 3) of the asset (metres, +y up, front +z) in millimetres, +z up, front -y."""
    x, y, z = vertices.astype(np.float64).T * MILLIMETRES
    return np.stack([x, -z, y], axis=1)


def printable(asset: TexturedMesh) -> Printable:
    """The body of an asset that stands on +y, for a printer."""
    joined = asset.joined
    points, faces = for_printers(joined.vertices), joined.faces
    used = points[np.unique(faces)]
    low, high = used.min(axis=0), used.max(axis=0)
    points = points - [*(low[:2] + high[:2]) / 2, low[2]]
    cut = _plane(points, faces, float(high[2] - low[2]))
    if cut > 0:
        # A piece that lies below the plane as a whole would be flattened to nothing.
        piece = pieces(faces)
        top = np.zeros(int(piece.max()) + 1)
        np.maximum.at(top, piece, points[faces, 2].max(axis=1))
        faces = faces[top[piece] > cut]
        points[:, 2] = np.maximum(points[:, 2], cut) - cut
    body = Mesh(*compact(points.astype(np.float32), faces))
    extent = np.ptp(body.vertices.astype(np.float64), axis=0)
    return Printable(
        body,
        (round(float(extent[0]), 2), round(float(extent[1]), 2), round(float(extent[2]), 2)),
        cut_mm=round(cut, 3),
        base_mm2=round(_base(body.vertices.astype(np.float64), body.faces, 0.0), 2),
        wall_mm=_walls(body),
        closed=topology(body.faces).watertight,
    )


def _plane(points: F64, faces: I32, height: float) -> float:
    """Height of the lowest plane that gives most of the base that can be had; 0 cuts nothing."""
    heights = np.linspace(0, _HIGHEST * height, _STEPS)
    areas = [_base(points, faces, at) for at in heights]
    enough = [at for at, area in zip(heights, areas, strict=True) if area >= _MOST * areas[-1] > 0]
    return float(enough[0]) if enough else 0.0


def _base(points: F64, faces: I32, at: float) -> float:
    """Area that rests on the plane once everything below it is raised onto it."""
    flat = faces[(points[faces, 2] <= at + 1e-6).all(axis=1)]
    a, b, c = points[flat, :2].transpose(1, 0, 2)
    ab, ac = b - a, c - a
    # Seen from above, faces that look down run clockwise.
    return max(0.0, -0.5 * float((ab[:, 0] * ac[:, 1] - ab[:, 1] * ac[:, 0]).sum()))


def _walls(body: Mesh) -> float | None:
    """Thickness of the thinnest walls in millimetres, measured straight through the body."""
    points, face = sample_surface(body.vertices, body.faces, _RAYS, np.random.default_rng(0))
    normals = face_normals(body.vertices, body.faces)
    inward = -normals[face]
    start = 1e-4 * float(np.ptp(body.vertices, axis=0).max())
    distance, hit = Scene(body.vertices, body.faces).cast(points + start * inward, inward)
    # Near an edge the other side leans: that is no wall.
    wall = (hit >= 0) & ((normals[hit] * normals[face]).sum(axis=1) < _OPPOSITE)
    if not wall.any():
        return None
    return round(float(np.quantile(distance[wall] + start, _EDGES)), 2)
