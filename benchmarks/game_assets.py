"""Are `--preset game` assets what an engine needs: budgets, atlas, maps, levels, hulls?

Runs the real command on every picture given (or in the folders given) and measures what it wrote
with `asset_checks.py`; then shades the asset against the mesh that it was made low-poly from, with
and without its normal map. Prints a table, writes JSON, and exits 1 if anything failed.

    python benchmarks/game_assets.py PICTURES --json game_assets.json
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from asset_checks import check_hulls, check_lods, check_mesh, validate

from img2mesh.core.cameras import Camera

SUFFIXES = {".png", ".jpg", ".jpeg", ".webp"}
#: Azimuths and elevations that shading is compared from.
SIGHTS = ((20, 15), (110, -10), (200, 30), (290, 0))


def pictures_in(given: list[Path]) -> list[Path]:
    """The files given, and the pictures in the folders given, sorted."""
    found: list[Path] = []
    for place in given:
        inside = [p for p in sorted(place.iterdir()) if p.suffix.lower() in SUFFIXES] \
            if place.is_dir() else [place]  # fmt: skip
        found += inside
    return found


def make(picture: Path, root: Path, options: argparse.Namespace) -> dict[str, Any]:
    """One picture as a user would run it, and what its files measure."""
    cache = options.cache or root / "cache"
    command = [sys.executable, "-m", "img2mesh", "run", str(picture), "--preset", "game"]
    command += ["--target-faces", str(options.faces), "--lods", str(options.lods)]
    command += ["--collision-hulls", str(options.hulls)]
    command += ["--collision-vertices", str(options.vertices), "--format", options.format]
    command += ["--compress", "meshopt", "--zip", "--json"]
    command += ["-o", str(root), "--cache-dir", str(cache)]
    started = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    row: dict[str, Any] = {"picture": picture.name, "wall_s": time.perf_counter() - started}
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [""]
        return row | {"ok": False, "failed": [f"exit {done.returncode}: {lines[-1]}"]}
    report = json.loads(done.stdout)
    folder = root / picture.stem
    row |= {
        "engine_s": report["seconds"]["game"],
        "mesh": check_mesh(folder / "mesh.glb", options.faces),
        "lods": check_lods(folder, report, options.lods, options.faces),
        "hulls": check_hulls(folder, options.hulls, options.vertices),
        "shading": shading(picture, folder, cache),
        "validator": validate(folder, options.node_modules),
        "archive": (folder / "asset.zip").exists(),
    }
    parts = ("mesh", "lods", "hulls", "shading", "validator")
    row["failed"] = [name for name in parts if row[name] is not None and not row[name]["ok"]]
    row["failed"] += [] if row["archive"] else ["archive"]
    return row | {"ok": not row["failed"]}


def shading(picture: Path, folder: Path, cache: Path) -> dict[str, Any]:
    """PSNR (dB) of the asset in plain clay against the fit's full mesh in the same light.

    ``bare`` without the normal map, ``mapped`` with it, ``flipped`` with its green turned over:
    a map that is right helps, and helps only the right way up.
    """
    from img2mesh.artifacts import TexturedMesh
    from img2mesh.artifacts.asset_files import load_glb
    from img2mesh.geometry.mesh import vertex_normals
    from img2mesh.imaging.metrics import psnr
    from img2mesh.jobs.execute import runner_for
    from img2mesh.jobs.job import photo_job
    from img2mesh.jobs.request import Request
    from img2mesh.meshing import extract
    from img2mesh.report.rendering import CLAY, Renderer

    chosen = json.loads((folder / "run.json").read_text())["settings"]
    runner = runner_for(Request(settings=chosen, preset="game", cache_dir=cache))
    field = runner.run("radiance", photo_job(picture).given).load()
    mesh = extract(
        field, target_faces=10**7, smoothing_steps=2, resolution=0, remesh="none", parts="keep"
    )
    move = np.array(json.loads((folder / "report.json").read_text())["asset_from_world"])
    count = len(mesh.vertices)
    fine = TexturedMesh(
        mesh.vertices @ move[:3, :3].T + move[:3, 3],
        mesh.faces,
        np.zeros((count, 2)),
        vertex_normals(mesh.vertices, mesh.faces),
        np.zeros((8, 8, 3), np.uint8),
        np.zeros((8, 8), np.uint8),
        np.arange(count),
    )
    mapped = load_glb(folder / "mesh.glb")
    assert mapped.normal_map is not None
    low_up = (
        mapped.normal_map * np.uint8([1, 0, 1])
        + np.uint8([0, 255, 0])
        - (mapped.normal_map * np.uint8([0, 1, 0]))
    )
    shown = {
        "bare": replace(mapped, normal_map=None),
        "mapped": mapped,
        "flipped": replace(mapped, normal_map=low_up),
    }
    cameras = [camera_on(mapped.vertices, *sight) for sight in SIGHTS]
    truth = [Renderer(fine).render(camera, CLAY, supersample=2) for camera in cameras]
    found: dict[str, Any] = {"full_faces": len(mesh.faces)}
    for name, asset in shown.items():
        renderer, ours, theirs = Renderer(asset), [], []
        for camera, (rgb, alpha) in zip(cameras, truth, strict=True):
            other, covered = renderer.render(camera, CLAY, supersample=2)
            both = (alpha > 0.99) & (covered > 0.99)
            ours.append(other[both])
            theirs.append(rgb[both])
        found[name] = psnr(np.concatenate(ours), np.concatenate(theirs))
    return found | {"ok": found["mapped"] > max(found["bare"], found["flipped"])}


def camera_on(vertices: np.ndarray, azimuth: float, elevation: float) -> Camera:
    """A camera that has the whole asset in its picture."""
    low, high = vertices.min(axis=0), vertices.max(axis=0)
    away = Camera.orbit(
        azimuth,
        elevation,
        distance=2.1 * float(np.linalg.norm(high - low)),
        fov_deg=28,
        width=384,
        height=384,
    )
    pose = away.world_from_camera.copy()
    pose[:3, 3] += (low + high) / 2
    return replace(away, world_from_camera=pose)


def show(rows: list[dict[str, Any]]) -> None:
    """The table: one line a picture, the worst of every column below."""
    titles = ["faces", "LODs", "overlap", "LOD overlap", "error % mean", "error % max", "hulls"]
    titles += ["corners", "held", "volume", "bare", "mapped", "flipped", "engine s", "validator"]
    print(f"{'picture':<24}" + "".join(f"{t:>14}" for t in titles) + "  result")
    for row in rows:
        if "mesh" not in row:
            print(f"{row['picture']:<24}  {row['failed'][0]}")
            continue
        mesh, levels, hulls = row["mesh"], row["lods"]["levels"], row["hulls"]
        light, checked = row["shading"], row["validator"]
        cells = [str(mesh["faces"]), "/".join(str(level["faces"]) for level in levels)]
        cells += [f"{mesh['overlap']:.3%}", f"{max(x['overlap'] for x in levels):.3%}"]
        for kind in ("error_mean", "error_max"):
            cells.append("/".join(f"{level['stated'][kind]:.2f}" for level in levels))
        cells += [str(hulls["hulls"]), str(hulls["vertices_max"]), f"{hulls['held']:.2%}"]
        cells += [f"{hulls['volume_ratio']:.2f}"]
        cells += [f"{light[name]:.1f}" for name in ("bare", "mapped", "flipped")]
        cells += [f"{row['engine_s']:.1f}"]
        cells += ["-" if checked is None else "clean" if checked["ok"] else "ISSUES"]
        result = "ok" if row["ok"] else "FAILED: " + ", ".join(row["failed"])
        print(f"{row['picture'][:23]:<24}" + "".join(f"{c:>14}" for c in cells) + f"  {result}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pictures", nargs="+", type=Path, help="files or folders")
    parser.add_argument("--faces", type=int, default=5000)
    parser.add_argument("--lods", type=int, default=3)
    parser.add_argument("--hulls", type=int, default=16)
    parser.add_argument("--vertices", type=int, default=32)
    parser.add_argument("--format", default="glb")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--keep", type=Path, help="keep the outputs in this folder")
    parser.add_argument("--cache", type=Path, help="a stage cache to use instead of a fresh one")
    parser.add_argument("--node-modules", type=Path, default=Path("node_modules"))
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        root = options.keep or Path(temporary)
        for picture in pictures_in(options.pictures):
            rows.append(make(picture, root, options))
            print(f"{picture}: {rows[-1]['wall_s']:.0f} s", file=sys.stderr)
    show(rows)
    good = sum(row["ok"] for row in rows)
    print(f"\n{good} of {len(rows)} assets pass everything")
    if "mesh" in rows[0] and rows[0]["validator"] is None:
        print("the Khronos validator was not run: it needs Node.js and `make setup`")
    walls = [row["wall_s"] for row in rows]
    summary = {"passed": good, "of": len(rows), "wall_s_median": statistics.median(walls)}
    if options.json:
        options.json.write_text(json.dumps({"summary": summary, "rows": rows}, indent=1) + "\n")
    return int(good < len(rows))


if __name__ == "__main__":
    sys.exit(main())
