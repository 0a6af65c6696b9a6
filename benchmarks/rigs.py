"""Do the views of other generators' rigs reconstruct as well as Zero123++'s six?

For every object and rig: unlit renders of the mesh from the published cameras, written as the
rig's program writes them (a strip, a folder of colours and normals; with the alpha that those
programs have a background remover make), read back with ``--rig``, and brought through the
pipeline. Orthographic rigs are rendered with parallel rays, not with the far
camera that stands for them. The measure is the Chamfer distance over that of the object's own
``views_v12`` (pictures alone, no depth), all by the metric of ``reconstruction.py``.

    python benchmarks/rigs.py --objects DIR [--rigs syncdreamer ...] [--only NAME ...] [--json OUT]
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from reconstruction import METHODS, measure, run

from img2mesh import pipeline as p
from img2mesh.artifacts import ViewSet
from img2mesh.core.cameras import Camera
from img2mesh.core.rigs import rig
from img2mesh.geometry.raycast import Scene
from img2mesh.imaging.colour import linear_to_srgb
from img2mesh.io.read_mesh import Surface, load_surface
from img2mesh.settings import load_preset, resolve

#: Sides of the pictures that each program writes.
SIZES = {"syncdreamer": 256, "mvdream": 256, "wonder3d": 256, "era3d": 512}
BASELINE = "views_v12"
#: Rays along the side of a pixel.
_SAMPLES = 3


def picture(surface: Surface, scene: Scene, camera: Camera, *, parallel: bool) -> np.ndarray:
    """(h, w, 7) unlit colour, alpha and world normal; (n + 1) / 2 of the front view's frame."""
    fine = camera.resized(camera.width * _SAMPLES, camera.height * _SAMPLES)
    directions, origins = fine.directions(), np.broadcast_to(fine.origin, (3,))
    if parallel:
        origins = fine.origin + directions * np.linalg.norm(fine.origin)  # on the origin's plane
        directions = np.broadcast_to(fine.forward, directions.shape)
        origins = origins - 4 * directions
    hits = scene.strike(origins, directions)
    out = np.zeros((*hits.mask.shape, 7), np.float32)
    colour = surface.base_colour(hits.face[hits.mask], hits.barycentric[hits.mask])
    out[hits.mask, :3], out[hits.mask, 3] = linear_to_srgb(colour), 1
    out[hits.mask, 4:] = hits.normal[hits.mask]
    h, w = camera.height, camera.width
    mean = out.reshape(h, _SAMPLES, w, _SAMPLES, 7).mean(axis=(1, 3))
    mean[..., :3] /= np.maximum(mean[..., 3:4], 1e-6)
    length = np.linalg.norm(mean[..., 4:], axis=2, keepdims=True)
    mean[..., 4:] = mean[..., 4:] / np.maximum(length, 1e-6) * 0.5 + 0.5
    return mean


def eight_bit(rgb: np.ndarray, alpha: np.ndarray | None = None) -> Image.Image:
    """A picture to save."""
    whole = rgb if alpha is None else np.dstack([rgb, alpha])
    return Image.fromarray(np.rint(whole.clip(0, 1) * 255).astype(np.uint8))


def write(name: str, drawn: list[np.ndarray], folder: Path) -> Path:
    """The drawn views as the rig's program writes them; the path to name."""
    known = rig(name)
    on_white = [d[..., :3] * d[..., 3:4] + 1 - d[..., 3:4] for d in drawn]
    if not known.normals:
        strip = np.concatenate(drawn, axis=1)
        eight_bit(strip[..., :3], strip[..., 3]).save(folder / "0.png")
        return folder / "0.png"
    for view, d, white in zip(known.names, drawn, on_white, strict=True):
        normal = d[..., 4:] * d[..., 3:4] + 1 - d[..., 3:4]
        if name == "wonder3d":
            (folder / "masked_colors").mkdir(exist_ok=True)
            eight_bit(white, d[..., 3]).save(folder / f"masked_colors/rgb_000_{view}.png")
            eight_bit(normal, d[..., 3]).save(folder / f"normals_000_{view}.png")
        else:
            eight_bit(white, d[..., 3]).save(folder / f"color_{view}_masked.png")
            eight_bit(normal, d[..., 3]).save(folder / f"normals_{view}_masked.png")
    return folder


def main() -> None:
    """Read the command line, run, print, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--objects", type=Path, required=True, help="folder of object folders")
    parser.add_argument("--rigs", nargs="+", default=list(SIZES), choices=list(SIZES))
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="objects to run")
    parser.add_argument("--preset", default="default")
    parser.add_argument("--no-normals", action="store_true", help="leave drawn normals out")
    parser.add_argument("--json", type=Path, help="write every number to this file")
    options = parser.parse_args()
    settings = resolve(p.PIPELINE, load_preset(options.preset))
    results: dict[str, dict[str, Any]] = {}
    for folder in sorted(f for f in options.objects.iterdir() if (f / "cameras.json").is_file()):
        if options.only and folder.name not in options.only:
            continue
        surface = load_surface(folder / "mesh.glb")
        scene = Scene(surface.vertices, surface.faces)
        rows = results[folder.name] = {}
        for name in (BASELINE, *options.rigs):
            with tempfile.TemporaryDirectory() as scratch:
                place = Path(scratch)
                if name == BASELINE:
                    views = replace(ViewSet.open(folder, group=BASELINE), depth=None)
                else:
                    known = rig(name)
                    drawn = [
                        picture(surface, scene, camera, parallel=known.normals)
                        for camera in known.cameras(SIZES[name])
                    ]
                    views = ViewSet.open(write(name, drawn, place), rig=name)
                if options.no_normals:
                    views = replace(views, normals=None)
                method = METHODS["ours, no depth" if views.normals is None else "ours, normals"]
                row = run(method, views, settings, place / "mesh.glb")
                row |= measure(place / "mesh.glb", folder)
            row["ratio"] = row["chamfer_pct"] / rows.get(BASELINE, row)["chamfer_pct"]
            rows[name] = row
            print(
                f"{folder.name:12} {name:12} Chamfer {row['chamfer_pct']:.3f} % "
                f"(x {row['ratio']:.2f})  F@1% {row['f_1']:.3f}  IoU {row['mask_iou']:.3f}  "
                f"PSNR {row['psnr']:.2f}  {row['seconds']:.0f} s",
                flush=True,
            )
    print("\nrig           median ratio   worst   within 1.3")
    for name in options.rigs:
        ratios = [rows[name]["ratio"] for rows in results.values()]
        good = sum(r <= 1.3 for r in ratios)
        print(
            f"{name:12} {statistics.median(ratios):13.2f} {max(ratios):7.2f}   "
            f"{good} of {len(ratios)}"
        )
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
