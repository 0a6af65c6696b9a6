"""The real command, killed, raced and sabotaged: nothing half-written is ever believed."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from img2mesh.graph import Store
from tests.conftest import ROOT, Command, tiny_flags

KILLS = 30


def command(toy: Path, cache: Path, out: Path) -> list[str]:
    flags = tiny_flags(cache=cache, out=out)
    return [sys.executable, "-m", "img2mesh", "run", str(toy), *flags, "--json"]


def finished(arguments: list[str]) -> dict[str, dict[str, bool]]:
    """Run to the end and return the report."""
    run = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    report: dict[str, dict[str, bool]] = json.loads(run.stdout)
    return report


def test_killed_at_random_points_it_goes_on_where_it_was(toy: Path, tmp_path: Path) -> None:
    """kill -9 thirty times, from a cold cache to the written folder and again from the start."""
    rng = random.Random(5)
    whole = command(toy, tmp_path / "whole", tmp_path / "whole_out")
    started = time.monotonic()
    finished(whole)
    length = time.monotonic() - started
    expected = (tmp_path / "whole_out" / "toy" / "mesh.glb").read_bytes()

    kills, round_ = 0, 0
    while kills < KILLS:
        cache, out = tmp_path / f"cache{round_}", tmp_path / f"out{round_}"
        work, before = command(toy, cache, out), 0
        while kills < KILLS:
            process = subprocess.Popen(
                work, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            # Short lives, so that one cold run is cut many times before it is through.
            time.sleep(rng.uniform(0.15, 0.6) * length)
            if process.poll() is not None:
                assert process.returncode == 0
                break
            process.send_signal(signal.SIGKILL)
            process.wait()
            kills += 1
            store = Store(cache)
            assert store.verify() == []
            now = len(store.entries())
            assert now >= before, "a kill lost a finished stage"
            before = now
            if (glb := out / "toy" / "mesh.glb").exists():
                assert glb.read_bytes() == expected
        report = finished(work)
        # What was finished before the last kill is reused; only the rest is computed.
        assert sum(report["cached"].values()) >= before
        assert (out / "toy" / "mesh.glb").read_bytes() == expected
        round_ += 1


def test_two_processes_on_one_photo_do_the_work_once(toy: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    both = [
        subprocess.Popen(
            command(toy, cache, tmp_path / f"out{i}"),
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
    first, second = (tmp_path / f"out{i}" / "toy" / "mesh.glb" for i in range(2))
    assert first.read_bytes() == second.read_bytes()


def test_a_flipped_byte_in_any_file_is_found_and_made_again(toy: Path, tmp_path: Path) -> None:
    """Every file of the cheap stages, one file each of the dear ones."""
    cache, out = tmp_path / "cache", tmp_path / "out"
    work = [*command(toy, cache, out), "--until", "depths"]
    finished(work)
    files = sorted(p for p in cache.glob("v1/*/*/*/*") if p.is_file() and p.name != "used")
    assert len(files) > 10
    for file in files:
        content = bytearray(file.read_bytes())
        if not content:
            continue
        content[len(content) // 3] ^= 4
        file.write_bytes(content)
        stage = file.relative_to(cache / "v1").parts[0]
        report = finished(work)
        assert not report["cached"][stage], f"{file.name} was believed"
        assert len(list((cache / "v1" / "quarantine").iterdir())) >= 1
    assert Store(cache).verify() == []


def test_a_full_disk_is_a_sentence_and_keeps_what_there_was(
    toy: Path, tmp_path: Path, img2mesh: Command
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
        assert img2mesh("run", str(toy), *flags, "--until", "cutout").returncode == 0
        full = img2mesh("run", str(toy), *flags)
        assert full.returncode == 1, full.stderr
        assert "Traceback" not in full.stderr and "No space left" in full.stderr
        again = img2mesh("run", str(toy), *flags, "--until", "cutout", "--json")
        assert json.loads(again.stdout)["cached"]["cutout"] is True
        assert Store(cache).verify() == []
    finally:
        subprocess.run(["umount", str(cache)], check=False)
