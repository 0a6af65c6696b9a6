"""The real command, killed, raced and sabotaged: nothing half-written is ever believed."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import zip_longest
from pathlib import Path

import pytest

from img2mesh.graph import Store
from tests.conftest import ROOT, Command, FinishedRun, tiny_flags


def command(toy: Path, cache: Path, out: Path) -> list[str]:
    flags = tiny_flags(cache=cache, out=out)
    return [sys.executable, "-m", "img2mesh", "run", str(toy), *flags, "--json"]


def finished(arguments: list[str]) -> dict[str, dict[str, bool]]:
    """Run to the end and return the report."""
    run = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    report: dict[str, dict[str, bool]] = json.loads(run.stdout)
    return report


def is_stored(stage: str) -> Callable[[Path, Path], bool]:
    """The stage's entry has just appeared: the next stage begins."""
    return lambda cache, out: any(cache.glob(f"v1/{stage}/??/*"))


def is_written(file: str) -> Callable[[Path, Path], bool]:
    """A stage's result is being written: its commit is under way."""
    return lambda cache, out: any(cache.glob(f"v1/tmp/*/**/{file}"))


def is_delivered(file: str) -> Callable[[Path, Path], bool]:
    """The output folder is being filled."""
    return lambda cache, out: (out / "toy" / file).exists()


#: When the command is killed, in the order a run gets there.
MOMENTS = {
    "views written": is_written("view_0.png"),
    "radiance stored": is_stored("radiance"),
    "asset stored": is_stored("asset"),
    "first file delivered": is_delivered("cutout.png"),
}


def test_killed_again_and_again_it_goes_on_where_it_was(
    toy: Path, tmp_path: Path, finished_run: FinishedRun
) -> None:
    """kill -9 at each of the moments, from a cold cache to the written folder.

    Kills at random lines, at random times and at every step of a commit are the engine's:
    ``tests/graph/test_engine_crash.py``.
    """
    cache, out = tmp_path / "cache", tmp_path / "out"
    work, before = command(toy, cache, out), 0
    store = Store(cache)
    for name, has_come in MOMENTS.items():
        process = subprocess.Popen(
            work, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        while not has_come(cache, out):
            assert process.poll() is None, f"it ended before: {name}"
            time.sleep(0.001)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL, name
        assert store.verify() == []
        now = len(store.entries())
        assert now >= before, "a kill lost a finished stage"
        before = now
        if (glb := out / "toy" / "mesh.glb").exists():
            assert glb.read_bytes() == finished_run.glb
    report = finished(work)
    # What was finished before the last kill is reused; only the rest is computed.
    assert sum(report["cached"].values()) >= before
    assert (out / "toy" / "mesh.glb").read_bytes() == finished_run.glb


def test_two_processes_on_one_photo_do_the_work_once(toy: Path, tmp_path: Path) -> None:
    """Up to the views: whoever comes second waits, whatever the stage."""
    cache = tmp_path / "cache"
    both = [
        subprocess.Popen(
            [*command(toy, cache, tmp_path / f"out{i}"), "--until", "views"],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for i in range(2)
    ]
    texts = [process.communicate() for process in both]
    assert [process.returncode for process in both] == [0, 0], texts
    made = [json.loads(out)["cached"] for out, _ in texts]
    for stage in made[0]:
        assert made[0][stage] + made[1][stage] == 1, f"{stage} was not made exactly once"
    first, second = (tmp_path / f"out{i}" / "toy" / "views.png" for i in range(2))
    assert first.read_bytes() == second.read_bytes()


def test_a_flipped_byte_in_any_file_is_found_and_made_again(
    finished_run: FinishedRun, tmp_path: Path, in_process: Command
) -> None:
    """Every file of the cheap stages, one of each stage at a time."""
    run = finished_run.copy(tmp_path)
    by_stage = [
        [path for path in sorted(run.cache.glob(f"v1/{stage}/*/*/*")) if path.stat().st_size]
        for stage in ("cutout", "views", "depths")
    ]
    assert all(by_stage) and sum(map(len, by_stage)) > 10
    for files in zip_longest(*by_stage):
        flipped = {}
        for file in filter(None, files):
            content = bytearray(file.read_bytes())
            content[len(content) // 3] ^= 4
            file.write_bytes(content)
            flipped[file.relative_to(run.cache / "v1").parts[0]] = file.name
        again = in_process("run", str(run.photo), *run.flags, "--until", "depths", "--json")
        assert again.returncode == 0, again.stderr
        cached = json.loads(again.stdout)["cached"]
        for stage, name in flipped.items():
            assert not cached[stage], f"{name} was believed"
            assert any((run.cache / "v1" / "quarantine").glob(f"*/*-{stage}"))
    assert Store(run.cache).verify() == []


def test_a_full_disk_is_a_sentence_and_keeps_what_there_was(
    toy: Path, tmp_path: Path, in_process: Command
) -> None:
    """A tmpfs of a few hundred kB for the cache; skipped where mounting is not permitted."""
    cache = tmp_path / "small"
    cache.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=420k", "tmpfs", str(cache)],
        capture_output=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip("mounting a tmpfs is not permitted here")
    try:
        flags = tiny_flags(cache=cache, out=tmp_path / "out")
        assert in_process("run", str(toy), *flags, "--until", "cutout").returncode == 0
        full = in_process("run", str(toy), *flags)
        assert full.returncode == 1, full.stderr
        assert "Traceback" not in full.stderr and "No space left" in full.stderr
        again = in_process("run", str(toy), *flags, "--until", "cutout", "--json")
        assert json.loads(again.stdout)["cached"]["cutout"] is True
        assert Store(cache).verify() == []
    finally:
        subprocess.run(["umount", str(cache)], check=False)
