"""What does the batch itself cost, does its memory grow, and do two workers do twice as much?

1. Overhead: a worker function that does nothing but answer as a real one would (thumbnail, numbers)
   on 1, 10, 1 000 and 10 000 inputs: everything but the pipeline, from the list of inputs to the
   last line of the journal and the contact sheet. Target: at most 50 ms an item at 10 000.
2. Memory of the batch's own process while it does 10 000 of them. Target: flat from 1 000 on.
3. Throughput of real items (`--preset draft`, cold caches) on one worker and on two, in turn in the
   same run. Target: 1.7 times as many on two cores. The machine's load is recorded beside it.

    python benchmarks/batch_scale.py [PICTURES...] --json batch_scale.json
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
COUNTS = (1, 10, 1_000, 10_000)
THUMBNAIL = "data:image/webp;base64," + "A" * 6_000


def nothing(payload: Mapping[str, Any], tell: Callable[[str, float], None]) -> dict[str, Any]:
    """The no-op pipeline: what a worker answers, of the size it has, without any work."""
    for stage in ("cutout", "views", "depths", "refined", "radiance", "surface", "asset"):
        tell(stage, 0.0)
    quality = {"faces": 20_000, "watertight": True, "silhouette_iou": {"input": 0.97}}
    quality |= {"psnr_views": {"input": 25.0, "views": [25.0] * 6}}
    return {
        "digest": "0" * 64,
        "files": ["mesh.glb", "preview.png", "report.html", "report.json", "run.json"],
        "quality": quality,
        "warnings": ["a sentence about something to be careful about, of the usual length"],
        "thumbnail": THUMBNAIL,
    }


def run_one(arguments: list[str]) -> int:
    """``function inputs out jobs``: a batch; prints its numbers as JSON."""
    import psutil

    from img2mesh.batch import planning
    from img2mesh.batch.door import Voice, run_batch
    from img2mesh.batch.scheduler import Policy
    from img2mesh.packing import Wanted

    function, inputs, out, jobs = arguments
    own, samples = psutil.Process(), []

    def watch() -> None:
        journal = Path(out) / "batch.jsonl"
        while True:
            # 420 bytes and more a line: the size says how many there are, without reading them.
            size = journal.stat().st_size if journal.exists() else 0
            samples.append((size, own.memory_info().rss))
            time.sleep(0.2)

    threading.Thread(target=watch, daemon=True).start()
    began = time.perf_counter()
    plan = planning.plan_photos(
        planning.entries_from([inputs], None),
        preset="draft", assignments=(), wanted=Wanted(), offline=False,
        cache_dir=Path(f"{out}.cache"), device="cpu",
    )  # fmt: skip
    planned = time.perf_counter() - began
    workers = planning.Workers(int(jobs), 1, None, None, None, "cpu", function)
    events = f"{out}.events.jsonl"
    voice = Voice(as_json=False, quiet=True, events=events)
    code = run_batch(plan, Path(out), workers.executor, Policy(), voice)
    seconds = time.perf_counter() - began
    samples.append(((Path(out) / "batch.jsonl").stat().st_size, own.memory_info().rss))
    told = [json.loads(line) for line in Path(events).read_text().splitlines()]
    begins = [e["time"] for e in told if e["event"] == "began"]
    ends = [e["time"] for e in told if e["event"] == "ended"]
    Path(f"{out}.numbers.json").write_text(
        json.dumps(
            {
                "items": len(plan.items),
                "code": code,
                "seconds": seconds,
                "planning_seconds": planned,
                "working_seconds": max(ends) - min(begins),
                "item_seconds": [e["seconds"] for e in told if e["event"] == "ended"],
                "rss": samples,
            }
        )
    )
    return 0


def launch(folder: Path, name: str, function: str, inputs: Path, jobs: int) -> dict[str, Any]:
    """Run a batch in a process of its own and read its numbers."""
    paths = [str(HERE), str(HERE.parent), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    out = folder / name
    command = [sys.executable, __file__, "--run-one", function, str(inputs), str(out), str(jobs)]
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
    numbers: dict[str, Any] = json.loads((folder / f"{name}.numbers.json").read_text())
    return numbers


def overhead(folder: Path, counts: tuple[int, ...]) -> list[dict[str, Any]]:
    """Seconds and memory of no-op batches."""
    rows = []
    for count in counts:
        inputs = folder / f"in{count}"
        inputs.mkdir()
        for i in range(count):
            (inputs / f"photo_{i:06}.jpg").write_bytes(b"%d" % i)
        numbers = launch(folder, f"noop{count}", "batch_scale:nothing", inputs, 1)
        rss, whole = numbers["rss"], numbers["rss"][-1][0]
        at = {
            # By the share of the journal that was written.
            f"rss_mb_at_{share:.0%}": round(
                next(m for size, m in rss if size >= share * whole) / 1e6, 1
            )
            for share in (0.1, 0.25, 0.5, 0.75, 1.0)
        }
        row = {
            "items": count,
            "seconds": round(numbers["seconds"], 3),
            "ms_an_item": round(1000 * numbers["seconds"] / count, 2),
            "ms_an_item_without_start": round(1000 * numbers["working_seconds"] / count, 2),
            "planning_seconds": round(numbers["planning_seconds"], 3),
            **at,
            "index_mb": round((folder / f"noop{count}" / "index.html").stat().st_size / 1e6, 1),
        }
        rows.append(row)
        print(
            f"{count:>7} items {row['seconds']:>9.2f} s {row['ms_an_item']:>9.2f} ms an item "
            f"({row['ms_an_item_without_start']:.2f} without start)   "
            f"{row['rss_mb_at_10%']:.0f} MB at 10 %, {row['rss_mb_at_100%']:.0f} MB at 100 %",
            flush=True,
        )
    return rows


def throughput(folder: Path, pictures: list[Path], rounds: int) -> list[dict[str, Any]]:
    """Items a minute on one worker and on two, in turn, each time from a cold cache."""
    inputs = folder / "pictures"
    inputs.mkdir()
    for path in pictures:
        (inputs / f"{path.parent.name}_{path.name}").write_bytes(path.read_bytes())
    rows = []
    for number in range(rounds):
        order = (1, 2) if number % 2 == 0 else (2, 1)
        for jobs in order:
            load = os.getloadavg()[0]
            began = os.times()
            name = f"real{number}_{jobs}"
            numbers = launch(folder, name, "img2mesh.batch.work:make", inputs, jobs)
            ended = os.times()
            cpu = sum(ended[2:4]) - sum(began[2:4])
            minutes = numbers["working_seconds"] / 60
            row = {
                "round": number,
                "jobs": jobs,
                "items": numbers["items"],
                "exit_code": numbers["code"],
                "working_seconds": round(numbers["working_seconds"], 2),
                "items_a_minute": round(numbers["items"] / minutes, 3),
                "cpu_seconds": round(cpu, 1),
                "cores_used": round(cpu / numbers["working_seconds"], 2),
                "load_before": round(load, 2),
            }
            rows.append(row)
            print(
                f"round {number}, {jobs} at work: {row['items_a_minute']:.2f} items a minute, "
                f"{row['cores_used']:.2f} cores used, load before {load:.1f}",
                flush=True,
            )
    return rows


def main() -> None:
    """Measure and print."""
    if sys.argv[1:2] == ["--run-one"]:
        sys.exit(run_one(sys.argv[2:]))
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("pictures", nargs="*", type=Path, help="for the throughput of real items")
    parser.add_argument("--counts", type=int, nargs="*", default=COUNTS)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    result: dict[str, Any] = {"cores": os.cpu_count()}
    with tempfile.TemporaryDirectory(prefix="batch_scale-") as room:
        result["overhead"] = overhead(Path(room), tuple(given.counts))
        if given.pictures:
            rows = throughput(Path(room), given.pictures, given.rounds)
            rate = {
                jobs: sum(r["items"] for r in rows if r["jobs"] == jobs)
                / sum(r["working_seconds"] for r in rows if r["jobs"] == jobs)
                for jobs in (1, 2)
            }
            result |= {"throughput": rows, "two_over_one": round(rate[2] / rate[1], 3)}
            print(f"two workers do {result['two_over_one']:.2f} times what one does")
    if given.json:
        given.json.write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
