"""What does the batch itself cost, does its memory grow, and do two workers do twice as much?

1. Overhead: a worker function that does nothing but answer as a real one would (thumbnail, numbers)
   on 1, 10, 1 000 and 10 000 inputs: everything but the pipeline, from the list of inputs to the
   last line of the journal and the contact sheet. Target: at most 50 ms an item at 10 000.
2. Memory of the batch's own process and of its worker while they do them. Target: flat.
3. Throughput of real items (`--preset draft`, cold caches) on one worker and on two, in turn in the
   same run. Target: 1.7 times as many on two cores. ``whole`` counts from the first item's start to
   the last one's end; ``steady`` leaves out each worker's first item, which loads the libraries,
   and the end, when one worker has nothing left: what a long batch does. Per item also its CPU
   seconds (if they grow with the number of workers, these are in each other's way) and its bytes.
   The machine's load is recorded beside it. ``--workers 1 1x2 2`` also tries one worker on two
   threads.

    python benchmarks/batch_scale.py [PICTURES...] --json batch_scale.json
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
COUNTS = (1, 10, 1_000, 10_000)
FILES = ("mesh.glb", "preview.png", "report.html", "report.json", "run.json")
THUMBNAIL = "data:image/webp;base64," + "A" * 6_000


def nothing(payload: Mapping[str, Any], tell: Callable[[str, float], None]) -> dict[str, Any]:
    """The no-op pipeline: what a worker answers, of the size it has, without any work."""
    for stage in ("cutout", "views", "depths", "refined", "radiance", "surface", "asset"):
        tell(stage, 0.0)
    quality = {"faces": 20_000, "watertight": True, "silhouette_iou": {"input": 0.97}}
    quality |= {"psnr_views": {"input": 25.0, "views": [25.0] * 6}}
    return {
        "digest": "0" * 64,
        "files": dict.fromkeys(FILES, 1000),
        "quality": quality,
        "stage_seconds": {},
        "cached": {},
        "warnings": ["a sentence about something to be careful about, of the usual length"],
        "thumbnail": THUMBNAIL,
    }


def run_one(arguments: list[str]) -> int:
    """``function inputs out jobs threads preset``: a batch; writes its numbers as JSON."""
    import psutil

    from img2mesh.batch import planning
    from img2mesh.batch.run import Output, run_batch
    from img2mesh.batch.scheduler import Policy
    from img2mesh.jobs.request import OutputOptions

    function, inputs, out, jobs, threads, preset = arguments
    own, samples = psutil.Process(), []

    def of_workers() -> int:
        largest = 0
        for child in own.children():
            with suppress(psutil.Error):
                largest = max(largest, child.memory_info().rss)
        return largest

    def watch() -> None:
        journal = Path(out) / "batch.jsonl"
        while True:
            # 420 bytes and more a line: the size says how many there are, without reading them.
            size = journal.stat().st_size if journal.exists() else 0
            samples.append((size, own.memory_info().rss, of_workers()))
            time.sleep(0.2)

    threading.Thread(target=watch, daemon=True).start()
    began = time.perf_counter()
    plan = planning.plan_photos(
        planning.entries_from([inputs], None),
        preset=preset, assignments=(), options=OutputOptions(), offline=False,
        cache_dir=Path(f"{out}.cache"), device="cpu",
    )  # fmt: skip
    planned = time.perf_counter() - began
    workers = planning.Workers(int(jobs), int(threads), None, None, None, "cpu", function)
    events = f"{out}.events.jsonl"
    output = Output(as_json=False, quiet=True, events=events)
    code = run_batch(plan, Path(out), workers.executor, Policy(), output)
    seconds = time.perf_counter() - began
    size = (Path(out) / "batch.jsonl").stat().st_size
    last = next(row[2] for row in reversed(samples) if row[2])  # it has gone by now
    samples.append((size, own.memory_info().rss, last))
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
                "ends": [(e["slot"], e["time"]) for e in told if e["event"] == "ended"],
                "rss": samples,
            }
        )
    )
    return 0


def launch(
    folder: Path, name: str, function: str, inputs: Path, jobs: int, threads: int, preset: str
) -> dict[str, Any]:
    """Run a batch in a process of its own and read its numbers."""
    paths = [str(HERE), str(HERE.parent), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    out = folder / name
    command = [sys.executable, __file__, "--run-one", function, str(inputs), str(out)]
    subprocess.run(
        [*command, str(jobs), str(threads), preset],
        env=environment, check=True, stdout=subprocess.DEVNULL,
    )  # fmt: skip
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
        numbers = launch(folder, f"noop{count}", "batch_scale:nothing", inputs, 1, 1, "draft")
        rss, whole = numbers["rss"], numbers["rss"][-1][0]
        at = {}
        for share in (0.1, 0.25, 0.5, 0.75, 1.0):  # of the journal that was written
            _, own, worker = next(r for r in rss if r[0] >= share * whole and r[2])
            at[f"rss_mb_at_{share:.0%}"] = round(own / 1e6, 1)
            at[f"worker_rss_mb_at_{share:.0%}"] = round(worker / 1e6, 1)
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
            f"{row['rss_mb_at_10%']:.1f} MB at 10 %, {row['rss_mb_at_100%']:.1f} MB at 100 %, "
            f"worker {row['worker_rss_mb_at_10%']:.1f} and {row['worker_rss_mb_at_100%']:.1f} MB",
            flush=True,
        )
    return rows


def steady(ends: Sequence[tuple[int, float]]) -> float | None:
    """Items a minute of every worker between its first and its last item's end, together."""
    rate = 0.0
    for slot in {slot for slot, _ in ends}:
        times = [time for other, time in ends if other == slot]
        if len(times) < 2:
            return None
        rate += 60 * (len(times) - 1) / (times[-1] - times[0])
    return round(rate, 3)


def size_of(folder: Path) -> int:
    """Bytes of the files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def measure(folder: Path, name: str, inputs: Path, shape: str, preset: str) -> dict[str, Any]:
    """One batch of real items; ``shape`` is workers, or workers x threads, as 2 or 1x2."""
    jobs, _, threads = shape.partition("x")
    load, began = os.getloadavg()[0], os.times()
    numbers = launch(
        folder, name, "img2mesh.worker.task:run", inputs, int(jobs), int(threads or 1), preset
    )
    ended = os.times()
    cpu, count = sum(ended[2:4]) - sum(began[2:4]), numbers["items"]
    folders = [p for p in (folder / name).iterdir() if (p / "run.json").exists()]
    return {
        "workers": shape,
        "items": count,
        "exit_code": numbers["code"],
        "seconds": round(numbers["seconds"], 2),
        "whole": round(60 * count / numbers["working_seconds"], 3),
        "steady": steady(numbers["ends"]),
        "cpu_seconds_an_item": round(cpu / count, 2),
        "cores_used": round(cpu / numbers["working_seconds"], 2),
        "output_mb_an_item": round(sum(map(size_of, folders)) / 1e6 / max(len(folders), 1), 3),
        "cache_mb_an_item": round(size_of(folder / f"{name}.cache") / 1e6 / count, 3),
        "worker_rss_mb": round(max(row[2] for row in numbers["rss"]) / 1e6, 1),
        "load_before": round(load, 2),
    }


def throughput(
    folder: Path, pictures: list[Path], rounds: int, workers: list[str], preset: str
) -> list[dict[str, Any]]:
    """Items a minute, each time from a cold cache; every other round in the opposite order."""
    inputs = folder / "pictures"
    inputs.mkdir()
    for path in pictures:
        (inputs / f"{path.parent.name}_{path.name}").write_bytes(path.read_bytes())
    rows = []
    for number in range(rounds):
        for shape in workers if number % 2 == 0 else reversed(workers):
            name = f"real{number}_{shape}"
            row = {"round": number, **measure(folder, name, inputs, shape, preset)}
            rows.append(row)
            for path in (folder / name, folder / f"{name}.cache"):
                shutil.rmtree(path)
            print(
                f"round {number}, workers {shape:>3}: {row['whole']:.2f} items a minute "
                f"(steady {row['steady']}), {row['cpu_seconds_an_item']:.1f} CPU seconds an item, "
                f"{row['cores_used']:.2f} cores used, load before {row['load_before']:.1f}",
                flush=True,
            )
    return rows


def ratio(rows: list[dict[str, Any]], kind: str, shape: str) -> float | None:
    """How many times what one worker does, over all rounds."""
    rates = {s: [r[kind] for r in rows if r["workers"] == s] for s in ("1", shape)}
    if None in (found := rates["1"] + rates[shape]) or not found:
        return None
    # Equal work each time: seconds add up, rates do not.
    seconds = {s: sum(1 / rate for rate in rates[s]) for s in rates}
    return round(seconds["1"] / seconds[shape], 3)


def main() -> None:
    """Measure and print."""
    if sys.argv[1:2] == ["--run-one"]:
        sys.exit(run_one(sys.argv[2:]))
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("pictures", nargs="*", type=Path, help="for the throughput of real items")
    parser.add_argument("--counts", type=int, nargs="*", default=COUNTS)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--workers", nargs="+", default=["1", "2"], help="such as 1 1x2 2")
    parser.add_argument("--preset", default="draft")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    result: dict[str, Any] = {"cores": os.cpu_count()}
    with tempfile.TemporaryDirectory(prefix="batch_scale-") as room:
        result["overhead"] = overhead(Path(room), tuple(given.counts))
        if given.pictures:
            rows = throughput(Path(room), given.pictures, given.rounds, given.workers, given.preset)
            result["throughput"] = rows
            for shape in [s for s in given.workers if s != "1" and "1" in given.workers]:
                ratios = {kind: ratio(rows, kind, shape) for kind in ("whole", "steady")}
                result[f"{shape}_over_1"] = ratios
                print(
                    f"workers {shape} do {ratios['whole']} times what one does, "
                    f"{ratios['steady']} times in the long run"
                )
    if given.json:
        given.json.write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
