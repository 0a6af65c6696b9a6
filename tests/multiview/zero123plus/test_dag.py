"""The whole pipeline on a local tiny checkpoint, by the command, offline."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import Command, spawned
from tests.models.tiny import BALLS

SMALL = (
    "radiance.grid=40",
    "surface.target_faces=1000",
    "asset.texture_resolution=256",
)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, checkpoint: Callable[..., Path]) -> Path:
    """A folder with a picture and a checkpoint that draws balls."""
    home = tmp_path_factory.mktemp("dag")
    v, u = (np.mgrid[0:128, 0:128] + 0.5) / 64 - 1
    rgba = np.dstack([0.6 + 0.3 * u, 0.5 - 0.3 * v, 0.4 + 0 * u, np.hypot(u, v) < 0.7])
    Image.fromarray(np.rint(rgba * 255).astype(np.uint8)).save(home / "toy.png")
    shutil.copytree(checkpoint(BALLS, balls=True), home / "balls")
    return home


@pytest.mark.slow
def test_whole_pipeline_and_what_a_change_runs_again(
    home: Path, in_process: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(home)
    base = ["toy.png", "--generator", "balls", "--cache-dir", "cache", "--json"]
    base += [part for setting in SMALL for part in ("--set", setting)]
    flags = [*base, "--offline", "--steps", "2", "-o", "out"]
    done = spawned("run", *flags, cwd=home, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr
    out = home / "out" / "toy"
    report = json.loads((out / "report.json").read_text())
    assert report["generator"] == "balls" and report["learned_weights"] is True
    assert report["licences"] == ["none: random"]
    assert report["watertight"] and report["components"] == 1
    for name in ("mesh.glb", "views.png", "refined.png", "preview.png"):
        assert (out / name).stat().st_size > 0
    views, refined = (np.asarray(Image.open(out / f"{n}.png")) for n in ("views", "refined"))
    assert views.shape[:2] == (192, 128) and (views != refined).any()

    def cached(*extra: str) -> set[str]:
        again = in_process("run", *flags, *extra)
        assert again.returncode == 0, again.stderr
        return {name for name, hit in json.loads(again.stdout)["cached"].items() if hit}

    def planned(*changes: str) -> set[str]:
        settings = ("views.steps=2", "refined.steps=2", *changes)
        sets = [part for setting in settings for part in ("--set", setting)]
        rows = json.loads(in_process("plan", *base, *sets).stdout)
        return {row["stage"] for row in rows if row["cached"]}

    everything = set(report["cached"])
    assert cached() == planned() == everything
    # What comes after the stages that run again here is asked of the plan, which runs nothing.
    strength = "refined.strength=0.5"
    assert planned(strength) == {"cutout", "views", "depths"}
    assert cached("--set", strength, "--until", "refined") == {"cutout", "views", "depths"}
    assert planned("views.guidance_scale=3", "refined.guidance_scale=3") == {"cutout"}
    assert cached("--guidance-scale", "3", "--until", "views") == {"cutout"}
