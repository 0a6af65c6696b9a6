"""Items for workers that take no time and go wrong as they are told; and a batch made of them."""

from __future__ import annotations

import errno
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from img2mesh.batch.door import Plan, Voice, run_batch
from img2mesh.batch.folder import Folder
from img2mesh.batch.items import Entry, Item
from img2mesh.batch.local import LocalExecutor
from img2mesh.batch.scheduler import Policy
from img2mesh.errors import Img2MeshError, InputError

ROOT = Path(__file__).parent.parent.parent
FUNCTION = "tests.batch.fakes:act"
ENVIRONMENT = {"PYTHONPATH": str(ROOT)}


def act(payload: Mapping[str, Any], tell: Callable[[str, float], None]) -> dict[str, Any]:
    """The worker's function: what to do is the content of the input, ``verb count``."""
    verb, _, count = Path(payload["source"]).read_text().partition(" ")
    folder = Path(payload["folder"])
    folder.mkdir(exist_ok=True)
    with (folder / "attempts").open("a") as tries:
        tries.write(f"{os.getpid()}\n")
    attempt = len((folder / "attempts").read_text().split())
    tell("thinking", 0.5)
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
    return {"digest": verb, "files": ["mesh.glb"], "warnings": [], "quality": {"faces": attempt}}


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
    voice: Voice | None = None,
) -> int:
    """Run a plan with local workers; its files go to ``folder / "out"``."""

    def executor_for(opened: Folder, count: int) -> tuple[LocalExecutor, str]:
        workers = LocalExecutor(FUNCTION, jobs=jobs, environment=ENVIRONMENT, logs=opened.logs)
        return workers, "fakes"

    return run_batch(
        plan(folder / "in", verbs),
        folder / "out",
        executor_for,
        policy or Policy(backoff=0.01),
        voice or Voice(quiet=True),
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
    """``folder count seconds [--resume]``: a batch to be killed from outside."""
    folder, count, seconds, *more = arguments
    verbs = {f"item{i:03}": f"sleep {seconds}" for i in range(int(count))}
    return batch(Path(folder), verbs, resume="--resume" in more)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
