"""What does a preset cost, and what makes the fit dearer?

``presets`` runs the real command ``reconstruct`` as a whole process with a cold cache, on every
input at every preset, and prints wall seconds and peak memory:

    python benchmarks/cost.py presets OBJECT... --group views_v12
    python benchmarks/cost.py presets SHEET... --rig zero123plus-v1.2

``growth`` fits a textured box, each time in a fresh process, while one of grid, number of views and
pixels a view grows, and prints seconds and memory as ratios to the first row of each table. It goes
on for some minutes:

    python benchmarks/cost.py growth

``--json FILE`` writes the same as JSON. Judge by ratios and CPU seconds on a busy machine.
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from end_to_end import timed

PRESETS = ("draft", "default", "high")
#: Sizes tried; the first entry of each is what the others are compared with.
GROWTH: dict[str, tuple[int, ...]] = {
    "grid": (64, 96, 128, 192),
    "views": (4, 6, 8, 12),
    "pixels": (160, 240, 320, 480),
}
USUAL = {"grid": 128, "views": 6, "pixels": 320}


def reconstruct(source: Path, preset: str, where: list[str]) -> dict[str, Any]:
    """One whole process, nothing cached."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "img2mesh", "reconstruct", str(source), "--json"]
        command += ["--preset", preset, "-o", f"{folder}/out", "--cache-dir", f"{folder}/cache"]
        code, wall, peak, out, errors = timed([*command, *where])
    if code:
        sys.exit(f"{source}: exit {code}: {errors.strip()}")
    report = json.loads(out)
    return {
        "input": str(source),
        "preset": preset,
        "wall_s": wall,
        "peak_mb": peak,
        "seconds": report["seconds"],
        "faces": report["faces"],
    }


def presets(options: argparse.Namespace) -> dict[str, Any]:
    """Every input at every preset."""
    where = ["--group", options.group] if options.group else []
    where += ["--rig", options.rig] if options.rig else []
    rows = []
    print(f"{'input':<28} {'preset':>8} {'wall s':>8} {'peak MB':>8} {'faces':>7}")
    for source in options.inputs:
        for preset in options.presets:
            row = reconstruct(source, preset, where)
            rows.append(row)
            name = "/".join(source.parts[-2:])[-28:]
            print(
                f"{name:<28} {preset:>8} {row['wall_s']:8.1f}"
                f" {row['peak_mb']:8.0f} {row['faces']:7d}",
                flush=True,
            )
    summary = {}
    for preset in options.presets:
        mine = [row for row in rows if row["preset"] == preset]
        summary[preset] = {
            "wall_s_median": statistics.median(row["wall_s"] for row in mine),
            "wall_s_max": max(row["wall_s"] for row in mine),
            "peak_mb_max": max(row["peak_mb"] for row in mine),
        }
        print(f"{preset:>8}: " + "  ".join(f"{k} {v:.1f}" for k, v in summary[preset].items()))
    return {"rows": rows, "summary": summary}


def fit_once(grid: int, views: int, pixels: int) -> None:
    """Fit the box and print what it took; run in a process of its own."""
    from profile_fit import painted_box

    from img2mesh.core.cameras import Camera
    from img2mesh.pipeline import radiance

    ring = tuple(
        Camera.orbit(
            azimuth_deg=30 + 360 * k / views,
            elevation_deg=-10.0 if k % 2 else 20.0,
            distance=4.0,
            fov_deg=30.0,
            width=pixels,
            height=pixels,
        )
        for k in range(views)
    )
    pictures = painted_box(ring)
    cpu, wall = time.process_time(), time.perf_counter()
    radiance(pictures, grid=grid)
    result = {
        "cpu_s": time.process_time() - cpu,
        "wall_s": time.perf_counter() - wall,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    print(json.dumps(result))


def growth(options: argparse.Namespace) -> dict[str, Any]:
    """One table for each thing that grows."""
    tables: dict[str, list[dict[str, float]]] = {}
    for what, sizes in GROWTH.items():
        print(f"\n{what:>8} {'CPU s':>8} {'ratio':>7} {'exponent':>9} {'peak MB':>8}")
        rows: list[dict[str, float]] = []
        for size in sizes:
            case = {**USUAL, what: size}
            command = [sys.executable, __file__, "fit", *(str(v) for v in case.values())]
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode:
                sys.exit(done.stderr.strip())
            row = {what: size, **json.loads(done.stdout.splitlines()[-1])}
            rows.append(row)
            ratio = row["cpu_s"] / rows[0]["cpu_s"]
            slope = math.log(ratio) / math.log(size / sizes[0]) if len(rows) > 1 else math.nan
            row |= {"ratio": ratio, "exponent": slope}
            print(
                f"{size:8d} {row['cpu_s']:8.1f} {ratio:7.2f} {slope:9.2f} {row['peak_mb']:8.0f}",
                flush=True,
            )
        tables[what] = rows
    return tables


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    kinds = parser.add_subparsers(dest="kind", required=True)
    one = kinds.add_parser("presets")
    one.add_argument("inputs", nargs="+", type=Path)
    one.add_argument("--presets", nargs="+", default=PRESETS)
    one.add_argument("--group")
    one.add_argument("--rig")
    one.add_argument("--json", type=Path)
    kinds.add_parser("growth").add_argument("--json", type=Path)
    fit = kinds.add_parser("fit")
    for name in USUAL:
        fit.add_argument(name, type=int)
    options = parser.parse_args()
    if options.kind == "fit":
        fit_once(options.grid, options.views, options.pixels)
        return
    result = presets(options) if options.kind == "presets" else growth(options)
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
