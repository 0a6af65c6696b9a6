"""How good is the texture, apart from the shape?

The geometry is the reference mesh itself, decimated to the budget, so that only unwrapping and
painting are measured. For every object: our texture and, as baselines in the same run, the plain
weighted mean of all views and (--old) what another checkout paints; each from the exact views and
from views warped by 1.5 pixels and tinted by 5 %. Each is saved as GLB, read back, and drawn at the
held-out cameras. Light removal is measured on the albedo sheet, where there is one. Prints tables
and, with --json, writes everything.

    python benchmarks/texture.py --objects DIR [--group views_v12] [--only NAME...] [--old CHECKOUT]

An object is a folder with ``mesh.glb``, ``cameras.json`` and its pictures, held-out ones in the
group ``novel``; the albedo sheet of the group ``views_v11`` is ``grid_v11_albedo.jpg``.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from baseline_texture import plain_mean
from disturbing import disturb
from PIL import Image

from img2mesh import pipeline as p
from img2mesh.artifacts import Mesh, TexturedMesh, ViewSet
from img2mesh.evaluation.views import compare_surface, draw_unlit
from img2mesh.geometry.raycast import Scene
from img2mesh.imaging.metrics import over_white, psnr
from img2mesh.io.read_mesh import load_surface

Row = dict[str, Any]


def reference_mesh(path: Path, faces: int) -> Mesh:
    """The reference, its parts' seams welded, with at most so many faces."""
    import fast_simplification
    import trimesh

    surface = load_surface(path)
    body = trimesh.Trimesh(surface.vertices, surface.faces, process=False)
    body.merge_vertices(merge_tex=True, merge_norm=True)
    body.update_faces(body.nondegenerate_faces())
    points, triangles = body.vertices, body.faces
    if len(triangles) > faces:
        points, triangles = fast_simplification.simplify(
            np.asarray(points, np.float32), np.asarray(triangles, np.int32), target_count=faces
        )
    return Mesh(points, triangles)


def charts(asset: TexturedMesh) -> int:
    """Connected pieces of the atlas."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    ends = asset.faces[:, [0, 1]].ravel(), asset.faces[:, [1, 2]].ravel()
    size = len(asset.uv)
    used = np.unique(asset.faces)
    graph = coo_matrix((np.ones(len(ends[0]), np.int8), ends), (size, size))
    return len(np.unique(connected_components(graph, directed=False)[1][used]))


def painted(
    paint: Callable[[Mesh, ViewSet], TexturedMesh], mesh: Mesh, views: ViewSet, glb: Path
) -> Row:
    """Paint, save, and time."""
    clock, cpu = time.perf_counter(), time.process_time()
    asset = paint(mesh, views)
    row = {
        "seconds": time.perf_counter() - clock,
        "cpu_seconds": time.process_time() - cpu,
        "charts": charts(asset),
        "faces": len(mesh.faces),
    }
    asset.save(glb)
    return row


def unwrapped(mesh: Mesh, resolution: int) -> Row:
    """Charts, CPU seconds and overlap of our atlas and of xatlas left to itself."""
    import xatlas

    from img2mesh.texture.atlas import unwrap
    from img2mesh.texture.raster import rasterise

    cpu = time.process_time()
    atlas = unwrap(mesh, resolution)
    ours = time.process_time() - cpu
    packer = xatlas.Atlas()
    packer.add_mesh(mesh.vertices, np.asarray(mesh.faces, np.uint32))
    packing = xatlas.PackOptions()
    packing.resolution, packing.padding = resolution, 4
    cpu = time.process_time()
    packer.generate(xatlas.ChartOptions(), packing)
    return {
        "unwrap_cpu_seconds": ours,
        "overlap": rasterise(atlas.uv, atlas.faces, resolution).overlap,
        "xatlas_cpu_seconds": time.process_time() - cpu,
        "xatlas_charts": packer.chart_count,
    }


def against_albedo(glb: Path, albedo: ViewSet) -> float:
    """PSNR (dB) of the base colour against the unlit views, up to one factor a channel.

    The brightness of a light cannot be told from that of the things it shines on, so each channel
    may be scaled as a whole, in linear colour.
    """
    surface = load_surface(glb)
    scene = Scene(surface.vertices, surface.faces)
    pairs = []
    for view in albedo.views:
        assert view.camera is not None
        drawn = draw_unlit(surface, scene, view.camera, samples=1)
        both = (drawn.alpha > 0.5) & (view.alpha > 0.99)
        pairs.append((drawn.rgb[both], view.rgb[both]))
    ours, true = (np.concatenate(part).astype(np.float64) for part in zip(*pairs, strict=True))
    linear, wanted = ours**2.2, true**2.2
    factor = (linear * wanted).sum(axis=0) / np.maximum((linear * linear).sum(axis=0), 1e-9)
    fitted = np.clip(linear * factor, 0, 1) ** (1 / 2.2)
    return psnr(fitted, true)


def albedo_views(folder: Path, group: str, views: ViewSet) -> ViewSet | None:
    """The views with the unlit colours of the sheet, if there is one."""
    sheet = folder / f"grid_{group.removeprefix('views_')}_albedo.jpg"
    if not sheet.is_file():
        return None
    picture = np.asarray(Image.open(sheet).convert("RGB"), np.float32) / 255
    _, height, width = views.alpha.shape
    tiles = picture.reshape(-1, height, picture.shape[1] // width, width, 3).swapaxes(1, 2)
    return replace(views, rgb=tiles.reshape(-1, height, width, 3)[: len(views)], photo=None)


def contact(folder: Path, glbs: dict[str, Path], out: Path) -> None:
    """Held-out pictures 0, 5, 10, 15: the truth above each texture."""
    truth = ViewSet.open(folder, group="novel").views[::5]
    rows = [[over_white(v.rgb, v.alpha) for v in truth]]
    for glb in glbs.values():
        surface = load_surface(glb)
        scene = Scene(surface.vertices, surface.faces)
        drawn = [draw_unlit(surface, scene, v.camera) for v in truth if v.camera]
        rows.append([over_white(v.rgb, v.alpha) for v in drawn])
    picture = np.concatenate([np.concatenate(row, axis=1) for row in rows])
    Image.fromarray((picture * 255 + 0.5).clip(0, 255).astype(np.uint8)).save(out)


def disturbed(views: ViewSet) -> ViewSet:
    """As a network might have drawn them."""
    return disturb(views, warp_px=1.5, colour=0.05, seed=7)


def by_checkout(folder: Path, options: argparse.Namespace, *, shaken: bool, glb: Path) -> Row:
    """Have another checkout of the package paint, in a process of its own."""
    command = [sys.executable, __file__, "--objects", str(options.objects), "--only", folder.name]
    command += ["--group", options.group, "--faces", str(options.faces)]
    command += ["--texture-resolution", str(options.texture_resolution), "--paint", str(glb)]
    env = {**os.environ, "PYTHONPATH": str(options.old.resolve())}
    done = subprocess.run(
        command + ["--disturbed"] * shaken, env=env, check=True, capture_output=True, text=True
    )
    row: Row = json.loads(done.stdout)
    return row


def measure(folder: Path, options: argparse.Namespace, keep: Path) -> dict[str, Row]:
    """All rows of one object."""
    mesh = reference_mesh(folder / "mesh.glb", options.faces)
    clean = replace(ViewSet.open(folder, group=options.group), photo=None)
    shaken = disturbed(clean)
    held_out = ViewSet.open(folder, group="novel").views[:: options.every]
    side = options.texture_resolution

    def ours(mesh: Mesh, views: ViewSet, **settings: Any) -> TexturedMesh:
        return p.asset(mesh, views, texture_resolution=side, frame="world", **settings)

    def mean(mesh: Mesh, views: ViewSet) -> TexturedMesh:
        return plain_mean(mesh, views, resolution=side)

    if options.paint:
        return {"": painted(ours, mesh, shaken if options.disturbed else clean, options.paint)}
    rows: dict[str, Row] = {}
    glbs = {}
    for name, paint, views in (
        ("ours", ours, clean),
        ("plain mean", mean, clean),
        ("ours, disturbed", ours, shaken),
        ("plain mean, disturbed", mean, shaken),
    ):
        glb = keep / f"{name.replace(' ', '_').replace(',', '')}.glb"
        rows[name] = painted(paint, mesh, views, glb)
        glbs[name] = glb
    if options.old:
        for name, shake in (("old", False), ("old, disturbed", True)):
            glbs[name] = keep / f"old{'_disturbed' * shake}.glb"
            rows[name] = by_checkout(folder, options, shaken=shake, glb=glbs[name])
    for name, glb in glbs.items():
        seen = compare_surface(load_surface(glb), held_out)
        rows[name] |= {key: seen[key] for key in ("psnr", "psnr_object", "ssim")}
    if options.unwrap:
        rows["ours"] |= unwrapped(mesh, side)
    albedo = albedo_views(folder, options.group, clean)
    if albedo is not None:
        rows["ours"]["albedo_psnr"] = against_albedo(glbs["ours"], albedo)
        glb = keep / "ours_delight.glb"
        rows["ours, delight"] = painted(lambda m, v: ours(m, v, delight=True), mesh, clean, glb) | {
            "albedo_psnr": against_albedo(glb, albedo)
        }
        glbs["ours, delight"] = glb
    if options.keep:
        contact(folder, glbs, keep / "contact.png")
    return rows


COLUMNS = (
    ("PSNR", "psnr", "{:.2f}"),
    ("on object", "psnr_object", "{:.2f}"),
    ("SSIM", "ssim", "{:.4f}"),
    ("albedo PSNR", "albedo_psnr", "{:.2f}"),
    ("charts", "charts", "{:.0f}"),
    ("xatlas alone", "xatlas_charts", "{:.0f}"),
    ("unwrap CPU s", "unwrap_cpu_seconds", "{:.2f}"),
    ("xatlas CPU s", "xatlas_cpu_seconds", "{:.2f}"),
    ("overlap", "overlap", "{:.5f}"),
    ("CPU s", "cpu_seconds", "{:.1f}"),
)


def show(results: dict[str, dict[str, Row]]) -> None:
    """Rows by method, one an object, then the medians."""
    from rich.console import Console
    from rich.table import Table

    table = Table("method", "object", *(title for title, _, _ in COLUMNS))
    methods = list(dict.fromkeys(m for rows in results.values() for m in rows))
    for method in methods:
        rows = {name: rows[method] for name, rows in results.items() if method in rows}
        for name, row in rows.items():
            table.add_row(
                method, name, *(f.format(row[k]) if k in row else "" for _, k, f in COLUMNS)
            )
        medians = [
            f.format(statistics.median([r[k] for r in rows.values()]))
            if all(k in r for r in rows.values())
            else ""
            for _, k, f in COLUMNS
        ]
        table.add_row(method, "median", *medians, style="bold")
        table.add_section()
    Console(width=None if sys.stdout.isatty() else 150).print(table)


def main() -> None:
    """Read the command line, run, print, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--objects", type=Path, required=True, help="folder of object folders")
    parser.add_argument("--group", default="views_v12", help="the views to paint from")
    parser.add_argument("--faces", type=int, default=20_000)
    parser.add_argument("--texture-resolution", type=int, default=1024)
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="objects to run")
    parser.add_argument("--every", type=int, default=1, help="use every n-th held-out picture")
    parser.add_argument("--old", type=Path, help="another checkout, painting in the same run")
    parser.add_argument("--unwrap", action="store_true", help="measure unwrapping against xatlas")
    parser.add_argument("--paint", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--disturbed", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--keep", type=Path, help="leave the GLBs and contact pictures here")
    parser.add_argument("--json", type=Path, help="write every number to this file")
    options = parser.parse_args()
    folders = [
        f
        for f in sorted(options.objects.iterdir())
        if (f / "cameras.json").is_file() and (not options.only or f.name in options.only)
    ]
    if not folders:
        parser.error(f"no object folders with a cameras.json in {options.objects}")
    if options.paint:
        print(json.dumps(measure(folders[0], options, options.paint.parent)[""]))
        return
    results: dict[str, dict[str, Row]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        for folder in folders:
            keep = (options.keep or Path(scratch)) / folder.name
            keep.mkdir(parents=True, exist_ok=True)
            results[folder.name] = measure(folder, options, keep)
            brief = {m: round(r.get("psnr", 0), 2) for m, r in results[folder.name].items()}
            print(f"{folder.name}: {brief}", file=sys.stderr, flush=True)
    show(results)
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
