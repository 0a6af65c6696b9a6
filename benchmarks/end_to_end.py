"""How long does a photo take, and how good is what comes out?

Runs the real command as a whole process with a cold cache on every picture given, then again with
nothing changed, and times ``--help``; prints a table with seconds a stage and writes JSON.

    python benchmarks/end_to_end.py data/*.jpg --json end_to_end.json
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
from pathlib import Path
from typing import Any

STAGES = (
    "cutout", "views", "depths", "refined", "registered", "radiance", "surface", "asset", "game",
    "quality",
)  # fmt: skip


def timed(command: list[str]) -> tuple[int, float, float, str, str]:
    """(exit code, wall s, peak MB of the process, stdout, stderr) of a command."""
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        started = time.perf_counter()
        process = subprocess.Popen(command, stdout=out, stderr=err)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        err.seek(0)
        return process.returncode, wall, usage.ru_maxrss / 1024, out.read(), err.read()


def measure(picture: Path, folder: Path, preset: str) -> dict[str, Any]:
    """One picture: cold, then warm."""
    command = [sys.executable, "-m", "img2mesh", "run", str(picture), "--preset", preset]
    command += ["-o", str(folder / "out"), "--cache-dir", str(folder / "cache"), "--json"]
    code, wall, peak, out, err = timed(command)
    row: dict[str, Any] = {"picture": str(picture), "exit": code, "wall_s": wall, "peak_mb": peak}
    if code:
        return row | {"error": err.strip().splitlines()[-1] if err.strip() else ""}
    report = json.loads(out)
    _, again, _, out_again, _ = timed(command)
    row |= {
        "again_s": again,
        "all_reused": all(json.loads(out_again)["cached"].values()),
        "stages_s": report["seconds"],
    }
    for name in ("faces", "watertight", "manifold", "components", "uv_overlap", "generator"):
        row[name] = report.get(name)
    row["front_iou"] = report["silhouette_iou"]["input"]
    row["front_psnr"] = report["psnr_views"]["input"]
    row["warnings"] = report["warnings"]
    return row


def show(rows: list[dict[str, Any]], help_s: float) -> dict[str, float]:
    """Print the table and return the medians."""
    titles = ["picture", "wall", "peak MB", "again", *STAGES, "IoU", "PSNR", "faces", "ok"]
    print("  ".join(f"{t:>9}" if t != "picture" else f"{t:<24}" for t in titles))
    good = [row for row in rows if not row["exit"]]
    for row in rows:
        name = "/".join(Path(row["picture"]).parts[-2:])[-24:]
        if row["exit"]:
            print(f"{name:<24}  exit {row['exit']}: {row['error']}")
            continue
        cells = [f"{row['wall_s']:.1f}", f"{row['peak_mb']:.0f}", f"{row['again_s']:.1f}"]
        cells += [f"{row['stages_s'].get(stage, 0):.1f}" for stage in STAGES]
        cells += [f"{row['front_iou']:.3f}", f"{row['front_psnr']:.1f}", str(row["faces"])]
        sound = row["watertight"] and row["manifold"] and row["components"] == 1
        cells.append("yes" if sound else "NO")
        print(f"{name:<24}  " + "  ".join(f"{cell:>9}" for cell in cells))
    if not good:
        return {}
    medians = {
        name: statistics.median(row[name] for row in good)
        for name in ("wall_s", "peak_mb", "again_s", "front_iou", "front_psnr")
    }
    medians |= {
        "peak_mb_max": max(row["peak_mb"] for row in good),
        "front_iou_min": min(row["front_iou"] for row in good),
        "front_psnr_min": min(row["front_psnr"] for row in good),
        "help_s": help_s,
        "refused": len(rows) - len(good),
    }
    print("\n" + "\n".join(f"{name:>16}  {value:.3f}" for name, value in medians.items()))
    return medians


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pictures", nargs="+", type=Path)
    parser.add_argument("--preset", default="default")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--keep", type=Path, help="keep outputs and cache in this folder")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        root = options.keep or Path(temporary)
        rows = []
        for index, picture in enumerate(options.pictures):
            rows.append(measure(picture, root / f"{index:03d}-{picture.stem}", options.preset))
            print(f"{picture}: {rows[-1]['wall_s']:.1f} s", file=sys.stderr)
    helps = [timed([sys.executable, "-m", "img2mesh", "run", "--help"])[1] for _ in range(5)]
    medians = show(rows, statistics.median(helps))
    if options.json:
        options.json.write_text(json.dumps({"medians": medians, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
