"""Kill runs and batches at any moment: the next must leave the bytes of one that was let alone.

Seeded and bounded. Every case has a cache and an output folder of its own; the command is forked
from a process that has the libraries loaded, and gets SIGKILL once it has used a drawn share of the
processor time that a whole one takes. Then: no entry of the cache may be damaged, the same command
again must end well and leave the same files, and nothing half made may lie anywhere. Of JSON files
times, memory and what was cached do not count, and report.html, which holds them, is not compared.

    python scripts/kills.py [--runs 300] [--batches 50] [--until STAGE] [--seconds 3600] [--seed 0]
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from img2mesh.core.runtime import STEADY

# One thread each: a forked process has no others, and pools of its parent would be waited for.
ONE = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
os.environ.update({**STEADY, **ONE})

#: Settings with which a whole run takes two seconds of processor time.
SMALL = (
    "cutout.segmenter=border", "cutout.max_size=256", "views.generator=geometric", "views.tile=32",
    "refined.generator=geometric", "depths.resolution=24", "radiance.grid=16",
    "radiance.density_steps=0", "surface.target_faces=300", "asset.texture_resolution=64",
)  # fmt: skip
_CHANGES = {"seconds", "seconds_this_run", "cached", "peak_memory_mb"}


def arguments(command: str, home: Path, photos: Sequence[Path], until: str) -> list[str]:
    """A command line with everything that it touches below ``home``."""
    settings = [part for text in SMALL for part in ("--set", text)]
    more = ["--resume", "--jobs", "1", "--retries", "0"] if command == "batch" else []
    places = ["--cache-dir", str(home / "cache"), "-o", str(home / "out"), "--until", until]
    return [command, *map(str, photos), *settings, *places, *more, "--quiet"]


def forked(command: list[str], home: Path, *, modules: Path | None = None) -> int:
    """Start the command in a process, and session, of its own; its number."""
    process = os.fork()
    if process:
        return process
    os.setsid()
    with (home / "said").open("wb") as said:
        os.dup2(said.fileno(), 1)
        os.dup2(said.fileno(), 2)
    os.environ["TMPDIR"] = tempfile.tempdir = str(home / "tmp")
    code = 1
    try:
        from img2mesh.cli import main

        main(command)
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 1
    finally:
        if modules is not None:
            modules.write_text("\n".join(sorted(sys.modules)))
        os._exit(code)


def used(process: int) -> float:
    """Seconds of processor time of a process and of those it waited for; inf once it ended."""
    try:
        stat = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return float("inf")
    if stat[0] == "Z":
        return float("inf")
    return sum(map(int, stat[11:15])) / os.sysconf("SC_CLK_TCK")


def finished(process: int) -> tuple[int, float]:
    """Wait for a process: its exit code and its processor time."""
    _, status, cost = os.wait4(process, 0)
    return os.waitstatus_to_exitcode(status), cost.ru_utime + cost.ru_stime


def session_empty(session: int, patience: float = 20.0) -> bool:
    """Whether every process of a session is gone, or goes soon."""
    ends = time.monotonic() + patience
    while time.monotonic() < ends:
        alive = False
        for entry in Path("/proc").iterdir():
            with suppress(OSError, ValueError, IndexError):
                stat = (entry / "stat").read_text().rpartition(")")[2].split()
                alive |= entry.name.isdigit() and int(stat[3]) == session and stat[0] != "Z"
        if not alive:
            return True
        time.sleep(0.1)
    return False


def content(out: Path) -> dict[str, str]:
    """What the files of an output folder hold, by name."""
    found = {}
    for path in sorted(p for p in out.rglob("*") if p.is_file()):
        name = path.relative_to(out).as_posix()
        if path.suffix == ".html" or name.startswith((".batch/", "batch.")):
            continue  # what a batch says of itself has times
        data = path.read_bytes()
        if path.name in ("report.json", "run.json"):
            data = json.dumps(timeless(json.loads(data)), sort_keys=True).encode()
        found[name] = hashlib.sha256(data).hexdigest()
    return found


def timeless(value: Any) -> Any:
    """A JSON value without what differs between equal runs."""
    if isinstance(value, dict):
        return {k: timeless(v) for k, v in value.items() if k not in _CHANGES}
    return [timeless(v) for v in value] if isinstance(value, list) else value


def left_over(home: Path) -> list[str]:
    """Temporary files and folders below a case's folder."""
    marks = ("img2mesh-", ".img2mesh-")
    found = [p for p in home.rglob("*") if p.name.startswith(marks)]
    for name in ("tmp", "scratch"):
        found += [p for p in home.glob(f"cache/*/{name}/**/*") if p.is_file()]
    return [str(p.relative_to(home)) for p in found]


def fresh(home: Path) -> None:
    """An empty folder for a case."""
    shutil.rmtree(home, ignore_errors=True)
    (home / "tmp").mkdir(parents=True)


class Campaign:
    """Cases of one command.

    Args:
        command: ``run`` or ``batch``.
        home: a folder for the cases.
        photos: what the command is given.
        until: its last stage.
    """

    def __init__(self, command: str, home: Path, photos: Sequence[Path], until: str) -> None:
        self.command, self.home = command, home
        self.line = arguments(command, home, photos, until)
        fresh(home)
        modules = home.with_suffix(".modules")
        code, _ = finished(forked(self.line, home, modules=modules))
        if code:
            raise SystemExit(f"the clean {command} failed: {(home / 'said').read_text()[-2000:]}")
        for name in modules.read_text().split():  # so that no case loads them again
            with suppress(Exception):
                importlib.import_module(name)
        self.expected = content(home / "out")
        fresh(home)
        _, self.cost = finished(forked(self.line, home))
        again = content(home / "out")
        if other := sorted(n for n in again if again[n] != self.expected.get(n)):
            raise SystemExit(f"two clean runs of {command} differ in {', '.join(other)}")

    def case(self, rng: random.Random) -> tuple[bool, str]:
        """Whether the kill came in time, and what was wrong, or nothing."""
        from img2mesh.graph import Store

        fresh(self.home)
        moment = rng.uniform(0, self.cost)
        process = forked(self.line, self.home)
        while used(process) < moment:
            time.sleep(0.004)
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
        code, _ = finished(process)
        landed = code == -signal.SIGKILL
        if not session_empty(process):
            return landed, "a worker lives on"
        cache = self.home / "cache"
        if cache.exists() and (damaged := Store(cache).verify()):
            return landed, f"damaged entries: {damaged}"[:200]
        code, _ = finished(forked(self.line, self.home))
        if code:
            return landed, f"exit {code}: {(self.home / 'said').read_text()[-300:]}"
        found = content(self.home / "out")
        if found != self.expected:
            names = found.keys() | self.expected.keys()
            other = sorted(n for n in names if found.get(n) != self.expected.get(n))
            return landed, f"other bytes: {', '.join(other)}"[:300]
        left = left_over(self.home)
        return landed, f"left behind: {', '.join(left)}"[:300] if left else ""


def main() -> int:
    """Read the command line, kill, print a table; 1 if anything was wrong."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=300)
    parser.add_argument("--batches", type=int, default=50)
    parser.add_argument("--until", default="quality", help="last stage of a run")
    parser.add_argument("--seconds", type=float, default=3600)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    ends, wrong = time.monotonic() + options.seconds, 0
    with tempfile.TemporaryDirectory(prefix="img2mesh-kills-") as folder:
        root = Path(folder)
        photos = pictures(root / "photos")
        for command, count, given, until in (
            ("run", options.runs, photos[:1], options.until),
            ("batch", options.batches, photos, "depths"),
        ):
            if not count:
                continue
            campaign = Campaign(command, root / command, given, until)
            print(
                f"{command}: a whole one takes {campaign.cost:.1f} s of processor time", flush=True
            )
            done = landed = 0
            while done < count and time.monotonic() < ends:
                in_time, fault = campaign.case(random.Random(f"{command} {done} {options.seed}"))
                done, landed = done + 1, landed + in_time
                if done % 25 == 0:
                    print(f"{command}: {done} kills, {landed} in time", flush=True)
                if fault:
                    wrong += 1
                    print(f"{command} {done - 1}: {fault}", flush=True)
            print(f"{command}: {done} kills, {landed} in time, {wrong} faults so far", flush=True)
    return int(wrong > 0)


def pictures(folder: Path) -> list[Path]:
    """Three small photos with transparency."""
    import numpy as np
    from PIL import Image

    folder.mkdir()
    y, x = np.mgrid[:64, :64] - 31.5
    found = []
    for k, colour in enumerate(((200, 60, 30), (30, 140, 80), (40, 70, 190))):
        inside = np.hypot(x / (1 + 0.3 * k), y) < 22
        picture = np.zeros((64, 64, 4), np.uint8)
        picture[inside] = (*colour, 255)
        found.append(folder / f"{'abc'[k]}.png")
        Image.fromarray(picture).save(found[-1])
    return found


if __name__ == "__main__":
    sys.exit(main())
