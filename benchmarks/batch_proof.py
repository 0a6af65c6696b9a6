"""Is anything lost, done twice or changed when a batch is killed, resumed or spread out?

Makes some forty pictures (variations of those given), five files that are no good, and one picture
whose worker is killed whenever it begins. Runs them as a batch

    one     with one worker,
    two     with two workers, the batch killed with SIGKILL half-way and resumed,
    ray     on a Ray cluster of two nodes, a worker killed with SIGKILL while it works,

and checks that every good picture is done exactly once, every bad one quarantined with its reason,
the killer failed after its attempts, the exit code 3, and every deliverable byte-identical.

    python benchmarks/batch_proof.py PICTURES... --work FOLDER --json proof.json
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
#: Small, but no stage is left out.
SETTINGS = (
    "cutout.max_size=256",
    "views.tile=96",
    "depths.resolution=48",
    "radiance.grid=24",
    "surface.target_faces=800",
    "asset.texture_resolution=128",
)
GOOD = 40
RUNS = ("one", "two", "ray")
KILLER = "09_killer"  # the numbers mix the bad ones among the good
RETRIES = 1
SAME = ("mesh.glb", "cutout.png", "views.png", "depths.png", "preview.png")


def make(payload: Mapping[str, Any], tell: Callable[[str, float], None]) -> dict[str, Any]:
    """The shipped worker's function, but for the killer, which ends its worker as memory would."""
    from img2mesh.worker import task

    if payload["name"] == KILLER:
        time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGKILL)
    return task.run(payload, tell)


def run_one(arguments: list[str]) -> int:
    """``inputs out cache jobs ray-or-minus [--resume]``: `img2mesh batch` with make()."""
    from img2mesh.batch import planning
    from img2mesh.batch.run import Output, run_batch
    from img2mesh.batch.scheduler import Policy
    from img2mesh.jobs.request import OutputOptions

    inputs, out, cache, jobs, ray, *more = arguments
    plan = planning.plan_photos(
        planning.entries_from([inputs], None),
        preset="draft", assignments=SETTINGS, options=OutputOptions(), offline=False,
        cache_dir=Path(cache), device="cpu",
    )  # fmt: skip
    workers = planning.Workers(
        int(jobs), 1, None, None if ray == "-" else ray, None, "cpu", "batch_proof:make"
    )
    policy = Policy(retries=RETRIES, backoff=0.5, timeout=1800)
    output = Output(as_json=True, quiet=True, events=f"{out}.events.jsonl")
    return run_batch(plan, Path(out), workers.executor, policy, output, resume="--resume" in more)


def make_inputs(pictures: list[Path], folder: Path, count: int) -> tuple[list[str], list[str]]:
    """(names of good pictures, names of bad ones)."""
    from PIL import Image, ImageOps

    folder.mkdir(parents=True, exist_ok=True)
    good: list[str] = []
    changes: list[Callable[[Any], Any]] = [
        lambda p: p,
        ImageOps.mirror,
        lambda p: p.resize((p.width * 7 // 8, p.height), Image.Resampling.LANCZOS),
        lambda p: ImageOps.expand(p, p.width // 10, fill=p.getpixel((0, 0))),
        lambda p: p.rotate(8, Image.Resampling.BICUBIC, fillcolor=p.getpixel((0, 0))),
    ]
    for change in changes:
        for path in pictures:
            if len(good) == count:
                break
            with Image.open(path) as opened:
                picture = opened.convert("RGBA" if "A" in opened.getbands() else "RGB")
            picture.thumbnail((224, 224), Image.Resampling.LANCZOS)
            good.append(f"{len(good):02}_{path.parent.name}_{path.stem}")
            if not (folder / f"{good[-1]}.png").exists():
                change(picture).save(folder / f"{good[-1]}.png")
    first = (folder / f"{good[0]}.png").read_bytes()
    (folder / "05_bad_cut.png").write_bytes(first[: len(first) // 2])
    (folder / "12_bad_text.jpg").write_text("a poem about a chair")
    (folder / "17_bad_empty.png").write_bytes(b"")
    Image.new("RGB", (1, 1)).save(folder / "23_bad_small.png")
    Image.new("1", (30_000, 30_000)).save(folder / "30_bad_bomb.png")
    (folder / f"{KILLER}.png").write_bytes((folder / f"{good[1]}.png").read_bytes()[:-1] + b"\x82")
    return good, ["05_bad_cut", "12_bad_text", "17_bad_empty", "23_bad_small", "30_bad_bomb"]


def lines(out: Path) -> list[dict[str, Any]]:
    """The journal."""
    path = out / "batch.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def hashes(out: Path, names: list[str]) -> dict[str, str]:
    """sha256 of every deliverable."""
    return {
        f"{name}/{file}": hashlib.sha256((out / name / file).read_bytes()).hexdigest()
        for name in names
        for file in SAME
    }


def launch(folder: Path, name: str, jobs: int, ray: str, *more: str) -> subprocess.Popen[bytes]:
    """A batch in a process of its own."""
    paths = [str(HERE), str(HERE.parent), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    out, cache = folder / name, folder / f"cache_{name}"
    command = [sys.executable, __file__, "--run-one", str(folder / "in"), str(out), str(cache)]
    with (folder / f"{name}.stdout").open("ab") as told:
        return subprocess.Popen([*command, str(jobs), ray, *more], env=environment, stdout=told)


def wait_for_lines(out: Path, count: int, process: subprocess.Popen[bytes]) -> None:
    """Until the journal has so many lines."""
    while len(lines(out)) < count:
        if process.poll() is not None:
            raise SystemExit(f"{out.name}: the batch ended early with code {process.returncode}")
        time.sleep(0.2)


class Checks:
    """Claims, each printed as it is found to hold or not."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []

    def __call__(self, run: str, claim: str, holds: bool, detail: object = "") -> None:
        self.rows.append({"run": run, "claim": claim, "holds": holds, "detail": str(detail)})
        print(f"{'ok  ' if holds else 'FAIL'} {run:<4} {claim} {detail}", flush=True)


def check_run(
    check: Checks, run: str, out: Path, code: int, good: list[str], bad: list[str]
) -> None:
    """What must be true of every finished batch."""
    found = lines(out)
    status = {line["item"]: line["status"] for line in found}
    times = Counter(line["item"] for line in found)
    check(run, "exit code 3", code == 3, code)
    done = sum(status.get(name) == "done" for name in good)
    check(run, "every good picture is done", done == len(good), f"{done} of {len(good)}")
    # The killer may have failed before the kill as well: what failed is tried again.
    once = {n for name, n in times.items() if name != KILLER} == {1}
    check(run, "nothing is done twice", once, f"{len(found)} lines")
    check(run, "nothing is lost", set(times) == {*good, *bad, KILLER}, f"{len(times)} items")
    for name in bad:
        reason = out / "quarantine" / f"{name}.txt"
        text = reason.read_text().splitlines()[-1] if reason.exists() else "no reason"
        check(run, f"{name} is quarantined:", status.get(name) == "quarantined", text)
    killer = next((line for line in found if line["item"] == KILLER), {})
    right = killer.get("status") == "failed" and killer.get("attempts") == RETRIES + 1
    check(run, "the killer failed after its attempts:", right, killer.get("error"))
    page = (out / "index.html").read_text()
    pictures = page.count("data:image/webp;base64,")
    check(run, "the contact sheet shows every result", pictures == len(good), pictures)


def start_nodes() -> Any:
    """A Ray cluster of two nodes with a CPU each, behind a token of its own."""
    import secrets

    os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(16)}
    os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "PYTHONPATH": f"{HERE}{os.pathsep}{HERE.parent}"}
    # Ray's own 15 would starve its workers where anything else computes.
    os.environ |= {"RAY_worker_niceness": "0"}
    from ray.cluster_utils import Cluster

    node = {"num_cpus": 1, "object_store_memory": 80_000_000, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=node)
    cluster.add_node(num_cpus=1, object_store_memory=80_000_000)
    return cluster


def kill_a_worker(out: Path, good: list[str]) -> None:
    """End the process of a worker that is at a good picture, as its events tell."""
    while True:
        pids: dict[int, int] = {}
        at: dict[int, str] = {}
        whole = Path(f"{out}.events.jsonl").read_text().rpartition("\n")[0]
        for told in map(json.loads, whole.splitlines()):
            if told["event"] == "ready":
                pids[told["slot"]] = told["pid"]
            elif told["event"] == "staged":
                at[told["slot"]] = told["name"]
            elif told["event"] in ("ended", "retrying", "replaced"):
                at.pop(told["slot"], None)
        for slot, name in at.items():
            if name in good:
                os.kill(pids[slot], signal.SIGKILL)
                return
        time.sleep(0.2)


def main() -> None:
    """Run the three batches and print what holds."""
    if sys.argv[1:2] == ["--run-one"]:
        sys.exit(run_one(sys.argv[2:]))
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("pictures", nargs="+", type=Path)
    parser.add_argument("--work", type=Path, required=True, help="a new folder, or an earlier one")
    parser.add_argument("--good", type=int, default=GOOD, help="good pictures")
    parser.add_argument("--runs", nargs="+", choices=RUNS, default=RUNS, help="others: as they are")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    folder: Path = given.work.absolute()
    good, bad = make_inputs(given.pictures, folder / "in", given.good)
    before = {p.name: p.stat().st_mtime_ns for p in (folder / "in").iterdir()}
    half = len(before) // 2
    print(f"{len(good)} good pictures, {len(bad)} bad files, 1 killer of workers")
    check = Checks()

    # The one-worker run goes on beside the others: it is a reference for bytes, not for time.
    one = launch(folder, "one", 1, "-") if "one" in given.runs else None
    if "two" in given.runs:
        two = launch(folder, "two", 2, "-")
        wait_for_lines(folder / "two", half, two)
        two.send_signal(signal.SIGKILL)
        two.wait()
        left = len(lines(folder / "two"))
        check("two", "killed with SIGKILL half-way,", 0 < left < len(before), f"{left} lines")
        launch(folder, "two", 2, "-", "--resume").wait()
    if "ray" in given.runs:
        cluster = start_nodes()
        batch = launch(folder, "ray", 2, cluster.address)
        wait_for_lines(folder / "ray", half, batch)
        kill_a_worker(folder / "ray", good)
        batch.wait()
        cluster.shutdown()
    if one is not None:
        one.wait()

    there = [run for run in RUNS if (folder / run / "index.html").exists()]
    for run in there:
        code = int(re.findall(r'"exit_code": (\d+)', (folder / f"{run}.stdout").read_text())[-1])
        check_run(check, run, folder / run, code, good, bad)
    if "ray" in there:
        retried = [n["item"] for n in lines(folder / "ray") if n["attempts"] > 1]
        others = [name for name in retried if name != KILLER]
        check("ray", "the killed worker cost one attempt of one item:", len(others) == 1, others)
    reference = hashes(folder / "one", good)
    for run in there[1:]:
        found = hashes(folder / run, good)
        same = sum(found[name] == reference[name] for name in reference)
        check(run, "byte-identical to one worker:", same == len(reference), f"{same} files")
    after = {p.name: p.stat().st_mtime_ns for p in (folder / "in").iterdir()}
    check("all", "the inputs were not touched", before == after)
    failed = sum(not row["holds"] for row in check.rows)
    print(f"{len(check.rows) - failed} of {len(check.rows)} claims hold")
    if given.json:
        given.json.write_text(json.dumps(check.rows, indent=1))
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
