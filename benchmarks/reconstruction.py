"""How well does the pipeline recover shape and colour from six exact views?

For every object: our pipeline through the public Python API, with the depth pictures the camera
file names, from the six pictures alone, and with a sheet of normals where there is one; next to the
visual hull, (with --nerf) a plain density-grid radiance field, and the fusion of the six exact
depth maps as upper bound. Every method ends in the same extraction, cleaning and texturing, is
saved as GLB, read back, and measured against the reference mesh and the held-out pictures. Prints a
table with medians and, with --json, writes everything.

    python benchmarks/reconstruction.py --objects DIR [--group views_v12] [--json OUT]

``--disturb 1.5 0.05`` first warps every view smoothly by 1.5 pixels (root mean square) and scales
its channels by gains that spread by 5 %, as a network's views disagree. Depths and normals are
dropped then, and so are the methods that are nothing without them.

An object is a folder with ``mesh.glb``, ``cameras.json`` and its pictures, held-out ones in the
group ``novel``. Normals come from ``grid_v12_normal.png`` for the group ``views_v12``, and so on.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import baselines
import numpy as np
from disturbing import disturb
from PIL import Image

from img2mesh import pipeline as p
from img2mesh.artifacts import Mesh, RadianceField, ViewSet
from img2mesh.errors import Img2MeshError
from img2mesh.evaluation.shape import describe, distances
from img2mesh.evaluation.views import compare_surface, draw_unlit
from img2mesh.geometry.raycast import Scene
from img2mesh.imaging.metrics import over_white
from img2mesh.io.read_mesh import load_surface
from img2mesh.settings import load_preset, resolve

Settings = dict[str, dict[str, Any]]
#: Points on each surface that are measured.
SAMPLES = 60_000


@dataclass(frozen=True)
class Method:
    """One way from views to a field, and in a sentence how it is run."""

    name: str
    how: str
    field: Callable[[ViewSet, Settings], RadianceField]
    needs: str = ""  # "depth" or "normals": what the views must hold for this method


METHODS = {
    m.name: m
    for m in (
        Method(
            "ours",
            "the pipeline at the preset, with the depth pictures the camera file names",
            lambda v, s: p.radiance(replace(v, normals=None), **s.get("radiance", {})),
        ),
        Method(
            "ours, no depth",
            "the pipeline at the preset, from the six pictures alone",
            lambda v, s: p.radiance(replace(v, depth=None, normals=None), **s.get("radiance", {})),
        ),
        Method(
            "ours, normals",
            "the pipeline at the preset, from the six pictures and exact normals, without depth",
            lambda v, s: p.radiance(replace(v, depth=None), **s.get("radiance", {})),
            needs="normals",
        ),
        Method(
            "ours, matched depth",
            "limit of matching: the pipeline with exact depth only where two views see a point",
            lambda v, s: p.radiance(baselines.seen_twice(v), **s.get("radiance", {})),
            needs="depth",
        ),
        Method(
            "visual hull",
            "baseline: intersection of the six silhouettes on a 128 grid, marching cubes",
            lambda v, s: baselines.visual_hull(v),
        ),
        Method(
            "density grid",
            "baseline: 96 grid of density and colour, 300 steps of 4096 rays rendered by nerfacc, "
            "level at an optical depth of 0.2 a voxel",
            lambda v, s: baselines.density_grid(v),
        ),
        Method(
            "TSDF of true depth",
            "upper bound: truncated signed-distance fusion of the six exact depth maps, 192 grid",
            lambda v, s: baselines.fuse_depth(v),
            needs="depth",
        ),
    )
}
COLUMNS = (
    ("F@1%", "f_1", "{:.3f}"),
    ("F@2%", "f_2", "{:.3f}"),
    ("Chamfer %", "chamfer_pct", "{:.2f}"),
    ("normals", "normal_consistency", "{:.3f}"),
    ("closed", "watertight", "{}"),
    ("parts", "components", "{:.0f}"),
    ("Euler", "euler_number", "{:.0f}"),
    ("PSNR", "psnr", "{:.2f}"),
    ("SSIM", "ssim", "{:.3f}"),
    ("IoU", "mask_iou", "{:.3f}"),
    ("wall s", "seconds", "{:.1f}"),
    ("CPU s", "cpu_seconds", "{:.1f}"),
)


def run(method: Method, views: ViewSet, settings: Settings, glb: Path) -> dict[str, Any]:
    """Views → GLB by one method; seconds and CPU seconds per stage."""
    row: dict[str, Any] = {"stages": {}}
    clock, cpu = time.perf_counter(), time.process_time()

    def lap(stage: str) -> None:
        nonlocal clock, cpu
        now, busy = time.perf_counter(), time.process_time()
        row["stages"][stage] = {"seconds": now - clock, "cpu_seconds": busy - cpu}
        clock, cpu = now, busy

    field = method.field(views, settings)
    lap("radiance")
    mesh: Mesh = p.surface(field, **settings.get("surface", {}))
    lap("surface")
    asset = p.asset(mesh, views, **{**settings.get("asset", {}), "frame": "world"})
    asset.save(glb)
    lap("asset")
    for unit in ("seconds", "cpu_seconds"):
        row[unit] = sum(stage[unit] for stage in row["stages"].values())
    row["notes"] = [*field.notes, *mesh.notes, *asset.notes]
    return row


def measure(glb: Path, folder: Path) -> dict[str, Any]:
    """The numbers of a row: shape against the visible reference surface, and held-out views."""
    surface, reference = load_surface(glb), load_surface(folder / "mesh.glb")
    facts = describe(surface)
    shape = distances(surface, reference, samples=SAMPLES, seed=0)
    seen = compare_surface(surface, ViewSet.open(folder, group="novel").views)
    per_view = seen.pop("views")
    return {
        **shape["visible"],
        "f_1_surface": shape["surface"]["f_1"],
        **{k: facts[k] for k in ("watertight", "components", "euler_number", "faces")},
        **seen,
        "psnr_per_view": [round(v["psnr"], 2) for v in per_view],
    }


def contact(folder: Path, glbs: dict[str, Path], out: Path, *, size: int = 256) -> None:
    """Held-out pictures 0, 5, 10, 15: the truth above each method, unlit and as grey relief."""
    truth = ViewSet.open(folder, group="novel").views[::5]
    rows = [[over_white(v.rgb, v.alpha) for v in truth for _ in (0, 1)]]
    for glb in glbs.values():
        surface = load_surface(glb)
        scene = Scene(surface.vertices, surface.faces)
        row = []
        for view in truth:
            assert view.camera is not None
            drawn = draw_unlit(surface, scene, view.camera)
            hits = scene.look(view.camera)
            light = -(hits.normal * view.camera.directions()).sum(axis=2)
            relief = np.where(hits.mask, 0.15 + 0.8 * light.clip(0, 1), 1)
            row += [over_white(drawn.rgb, drawn.alpha), relief[..., None].repeat(3, axis=2)]
        rows.append(row)
    picture = np.concatenate([np.concatenate(row, axis=1) for row in rows])
    Image.fromarray((picture * 255 + 0.5).clip(0, 255).astype(np.uint8)).save(out)


def show(results: dict[str, dict[str, dict[str, Any]]]) -> None:
    """A table: rows by method, one an object, then the medians."""
    from rich.console import Console
    from rich.table import Table

    table = Table("method", "object", *(title for title, _, _ in COLUMNS))
    for method, objects in results.items():
        good = {name: row for name, row in objects.items() if "error" not in row}
        for name, row in objects.items():
            if name in good:
                cells = [form.format(row[key]) for _, key, form in COLUMNS]
                table.add_row(method, name, *cells)
            else:
                table.add_row(method, name, f"failed: {row['error']}")
        if good:
            table.add_row(method, "median", *_medians(list(good.values())), style="bold")
        table.add_section()
    console = Console(width=None if sys.stdout.isatty() else 150)
    console.print(table)
    console.print(
        "F-scores, Chamfer (% of the diagonal) and normals on the visible surface; PSNR, SSIM and "
        "mask IoU over the held-out views, unlit, on white."
    )
    for method in results:
        if not results[method]:
            continue
        console.print(f"{method}: {METHODS[method].how}")


def _medians(rows: list[dict[str, Any]]) -> list[str]:
    cells = []
    for _, key, form in COLUMNS:
        values = [row[key] for row in rows]
        if isinstance(values[0], bool):
            cells.append(f"{sum(values)}/{len(values)}")
        else:
            cells.append(form.format(statistics.median(values)))
    return cells


def main() -> None:
    """Read the command line, run, print, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--objects", type=Path, required=True, help="folder of object folders")
    parser.add_argument("--group", default="views_v12", help="the six views to start from")
    parser.add_argument("--preset", default="default")
    parser.add_argument("--set", action="append", default=[], metavar="STAGE.SETTING=VALUE")
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="objects to run")
    parser.add_argument("--methods", nargs="+", choices=list(METHODS), metavar="METHOD")
    parser.add_argument(
        "--disturb",
        nargs=2,
        type=float,
        metavar=("PIXELS", "COLOUR"),
        help="warp and tint every view on its own; only pictures are used then",
    )
    parser.add_argument("--nerf", action="store_true", help="also run the density grid (slow)")
    parser.add_argument("--keep", type=Path, help="leave the GLBs and contact pictures here")
    parser.add_argument("--json", type=Path, help="write every number to this file")
    options = parser.parse_args()

    settings = resolve(p.PIPELINE, load_preset(options.preset), assignments=options.set)
    chosen = [
        METHODS[name]
        for name in options.methods or METHODS
        if options.methods or options.nerf or name != "density grid"
    ]
    folders = [
        f
        for f in sorted(options.objects.iterdir())
        if (f / "cameras.json").is_file() and (not options.only or f.name in options.only)
    ]
    if not folders:
        parser.error(f"no object folders with a cameras.json in {options.objects}")
    results: dict[str, dict[str, dict[str, Any]]] = {m.name: {} for m in chosen}
    with tempfile.TemporaryDirectory() as scratch:
        keep = options.keep or Path(scratch)
        for folder in folders:
            sheet = folder / f"grid_{options.group.removeprefix('views_')}_normal.png"
            normals = sheet if sheet.is_file() else None
            views = ViewSet.open(folder, group=options.group, normals=normals)
            if options.disturb:
                warp, colour = options.disturb
                views = disturb(views, warp_px=warp, colour=colour, seed=1)
            (keep / folder.name).mkdir(parents=True, exist_ok=True)
            glbs = {}
            for method in chosen:
                if method.needs and getattr(views, method.needs) is None:
                    continue
                if options.disturb and method.name == "ours":
                    continue  # without depth it is the same as "ours, no depth"
                glb = keep / folder.name / f"{method.name.replace(' ', '_').replace(',', '')}.glb"
                try:
                    row = run(method, views, settings, glb)
                    row |= measure(glb, folder)
                    glbs[method.name] = glb
                except Img2MeshError as error:
                    row = {"error": str(error)}
                results[method.name][folder.name] = row
                brief = row.get("error") or f"F@1% {row['f_1']:.3f}, PSNR {row['psnr']:.2f}"
                print(f"{folder.name}, {method.name}: {brief}", file=sys.stderr, flush=True)
            if options.keep and glbs:
                contact(folder, glbs, keep / folder.name / "contact.png")
    show(results)
    if options.json:
        content = {
            "group": options.group,
            "disturb": options.disturb,
            "preset": options.preset,
            "settings": settings,
            "methods": {m.name: m.how for m in chosen},
            "results": results,
        }
        options.json.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
