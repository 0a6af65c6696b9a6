"""The elevation of a camera by SIFT alone, from true renders of an object's four neighbours.

Unlit renders of meshes with their own textures stand for a generator that makes no mistakes: what
is measured is the matcher and the search. From a checkout:
``python benchmarks/elevation.py MESH... [-o elevation.json]``, each a mesh or a folder with
``mesh.glb``; they are brought to the unit sphere.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from img2mesh.core.cameras import Camera
from img2mesh.geometry.elevation import NEIGHBOURS, PAIRS, estimate_elevation
from img2mesh.geometry.raycast import Scene
from img2mesh.imaging.colour import linear_to_srgb
from img2mesh.imaging.matching import sift
from img2mesh.io.read_mesh import Surface, load_surface

#: Cameras are so far from meshes of radius 1; the lens is that of the neighbours.
_DISTANCE, _FOV = 2.49, 49.134


def picture(surface: Surface, scene: Scene, azimuth: float, elevation: float) -> np.ndarray:
    """(256, 256, 3) uint8 on white, unlit, four samples a pixel."""
    camera = Camera.orbit(
        azimuth, elevation, distance=_DISTANCE, fov_deg=_FOV, width=512, height=512
    )
    hits = scene.look(camera)
    rgb = np.ones((512, 512, 3), np.float32)
    colour = surface.base_colour(hits.face[hits.mask], hits.barycentric[hits.mask])
    rgb[hits.mask] = linear_to_srgb(colour)
    mean = rgb.reshape(256, 2, 256, 2, 3).mean(axis=(1, 3))
    return np.rint(mean * 255).astype(np.uint8)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("meshes", type=Path, nargs="+")
    parser.add_argument("--elevations", type=float, nargs="+", default=[-10, 10, 30, 50])
    parser.add_argument("-o", type=Path, help="JSON file")
    given = parser.parse_args()
    rows = []
    for path in given.meshes:
        surface = load_surface(path / "mesh.glb" if path.is_dir() else path)
        low, high = surface.vertices.min(axis=0), surface.vertices.max(axis=0)
        moved = surface.vertices - (low + high) / 2
        moved = moved / np.linalg.norm(moved, axis=1).max()
        surface = replace(surface, vertices=moved.astype(surface.vertices.dtype))
        scene = Scene(surface.vertices, surface.faces)
        for elevation in given.elevations:
            views = [picture(surface, scene, side, elevation + up) for up, side in NEIGHBOURS]
            told = estimate_elevation({(a, b): sift(views[a], views[b]) for a, b in PAIRS})
            rows.append(
                {
                    "object": path.stem,
                    "elevation": elevation,
                    "told": told.degrees,
                    "points": told.points,
                    "error_px": told.error if np.isfinite(told.error) else None,
                    "reason": told.reason,
                }
            )
            answer = told.reason if told.degrees is None else f"{told.degrees:6.1f}"
            print(
                f"{path.stem:24.24} {elevation:6.1f} -> {answer}  ({told.points} points)",
                flush=True,
            )
    errors = [abs(r["told"] - r["elevation"]) for r in rows if r["told"] is not None]
    print(f"answered {len(errors)} of {len(rows)}", end="")
    if errors:
        print(
            f"; error median {np.median(errors):.2f}, 90 % {np.quantile(errors, 0.9):.1f}, "
            f"worst {max(errors):.1f} degrees",
            end="",
        )
    print()
    if given.o:
        given.o.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
