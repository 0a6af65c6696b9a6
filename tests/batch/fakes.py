"""Items for workers that take no time and go wrong as they are told; and a batch made of them."""

from __future__ import annotations

import argparse
import errno
import json
import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from img2mesh.batch.folder import Folder
from img2mesh.batch.items import Entry, Item
from img2mesh.batch.local import LocalExecutor
from img2mesh.batch.run import Output, Plan, run_batch
from img2mesh.batch.scheduler import Executor, Policy
from img2mesh.errors import Img2MeshError, InputError
from img2mesh.worker.protocol import ReportProgress

ROOT = Path(__file__).parent.parent.parent
FUNCTION = "tests.batch.fakes:act"
ENVIRONMENT = {"PYTHONPATH": str(ROOT)}


def act(payload: Mapping[str, Any], report_progress: ReportProgress) -> dict[str, Any]:
    """The worker's function: what to do is the content of the input, ``verb count``."""
    verb, _, count = Path(payload["source"]).read_text().partition(" ")
    folder = Path(payload["folder"])
    folder.mkdir(exist_ok=True)
    with (folder / "attempts").open("a") as tries:
        tries.write(f"{os.getpid()}\n")
    attempt = len((folder / "attempts").read_text().split())
    report_progress("thinking", 0.5)
    if verb == "sleep":
        time.sleep(float(count))
    elif verb == "bad":
        raise InputError("the picture is a poem")
    elif verb == "full":
        try:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            raise Img2MeshError("cannot write the results: No space left on device") from error
    elif verb == "fat":
        act.held = bytearray(int(count))  # type: ignore[attr-defined]
    elif attempt <= int(count or 0):
        if verb == "crash":
            os.kill(os.getpid(), signal.SIGKILL)
        elif verb == "exit":
            sys.exit("leaving")
        raise Img2MeshError("a stage failed")
    (folder / "mesh.glb").write_bytes(payload["name"].encode())
    (folder / "run.json").write_text("{}")
    quality = {"faces": attempt, "gpu": os.environ.get("CUDA_VISIBLE_DEVICES")}
    return {
        "digest": verb, "files": {"mesh.glb": 4}, "warnings": [], "quality": quality,
        "stage_seconds": {}, "cached": {},
    }  # fmt: skip


def plan(folder: Path, verbs: Mapping[str, str]) -> Plan:
    """A plan whose inputs are files in a folder that say what shall happen."""
    folder.mkdir(parents=True, exist_ok=True)
    items = []
    for name, verb in verbs.items():
        source = folder / name
        if not source.exists() or source.read_text() != verb:
            source.write_text(verb)
        items.append(Item(name, Entry(source)))
    return Plan(items, lambda item: {"source": str(item.entry.source)}, lambda item: "s", {})


def batch(
    folder: Path,
    verbs: Mapping[str, str],
    *,
    jobs: int = 2,
    policy: Policy | None = None,
    resume: bool = False,
    output: Output | None = None,
    ray: str | None = None,
    gpus: float = 0.0,
) -> int:
    """Run a plan with local workers, or on a cluster; its files go to ``folder / "out"``."""

    def executor_for(opened: Folder, count: int) -> tuple[Executor, str]:
        if ray is not None:
            from img2mesh.batch.cluster import RayExecutor

            cluster = RayExecutor(
                FUNCTION,
                address=ray, jobs=None, most=count, threads=1, gpus=gpus, environment=ENVIRONMENT,
            )  # fmt: skip
            return cluster, cluster.sentence
        workers = LocalExecutor(FUNCTION, jobs=jobs, environment=ENVIRONMENT, logs=opened.logs)
        return workers, "fakes"

    return run_batch(
        plan(folder / "in", verbs),
        folder / "out",
        executor_for,
        policy or Policy(backoff=0.01),
        output or Output(quiet=True),
        resume=resume,
    )


def journal(folder: Path) -> list[dict[str, Any]]:
    """The lines of batch.jsonl."""
    path = folder / "out" / "batch.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()]


def attempts(folder: Path, name: str) -> list[str]:
    """The process ids that tried an item."""
    return (folder / "out" / name / "attempts").read_text().split()


def main(arguments: Sequence[str]) -> int:
    """A batch of sleepers in a process of its own, to be killed from outside or for a cluster."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("count", type=int)
    parser.add_argument("seconds")
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--nasty", action="store_true")
    parser.add_argument("--ray")
    parser.add_argument("--gpus", type=float, default=0.0)
    given = parser.parse_args(arguments)
    verbs = {f"item{i:03}": f"sleep {given.seconds}" for i in range(given.count)}
    if given.nasty:
        verbs |= {"bad": "bad", "crash": "crash 1", "fail": "fail 9"}
    output = Output(quiet=given.ray is None)
    return batch(
        given.folder, verbs, resume=given.resume, ray=given.ray, gpus=given.gpus, output=output
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
