"""The whole pipeline on a local tiny checkpoint, by the command, offline."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from img2mesh.diffusion.tiny import BALLS, make_checkpoint

ROOT = Path(__file__).parents[3]
SMALL = (
    "radiance.grid=40",
    "surface.target_faces=1000",
    "asset.texture_resolution=256",
)


class Command:
    """``img2mesh run`` on one picture, with one cache."""

    def __init__(self, folder: Path) -> None:
        v, u = (np.mgrid[0:128, 0:128] + 0.5) / 64 - 1
        rgba = np.dstack([0.6 + 0.3 * u, 0.5 - 0.3 * v, 0.4 + 0 * u, np.hypot(u, v) < 0.7])
        Image.fromarray(np.rint(rgba * 255).astype(np.uint8)).save(folder / "toy.png")
        make_checkpoint(folder / "balls", BALLS, balls=True)
        self.folder = folder

    def run(self, *extra: str) -> dict[str, Any]:
        command = [sys.executable, "-m", "img2mesh", "run", "toy.png", "--generator", "balls"]
        command += ["--offline", "--steps", "2", "--cache-dir", "cache", "-o", "out", "--json"]
        for setting in SMALL:
            command += ["--set", setting]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        done = subprocess.run(
            [*command, *extra], cwd=self.folder, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return json.loads((self.folder / "out" / "toy" / "report.json").read_text())


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> Command:
    return Command(tmp_path_factory.mktemp("dag"))


@pytest.mark.slow
def test_whole_pipeline_and_what_a_change_runs_again(command: Command) -> None:
    report = command.run()
    out = command.folder / "out" / "toy"
    assert report["generator"] == "balls" and report["learned_weights"] is True
    assert report["licences"] == ["none: random"]
    assert report["watertight"] and report["components"] == 1
    for name in ("mesh.glb", "views.png", "refined.png", "preview.png"):
        assert (out / name).stat().st_size > 0
    views, refined = (np.asarray(Image.open(out / f"{n}.png")) for n in ("views", "refined"))
    assert views.shape[:2] == (192, 128) and (views != refined).any()

    def cached(*extra: str) -> set[str]:
        return {name for name, hit in command.run(*extra)["cached"].items() if hit}

    everything = set(report["cached"])
    assert cached() == everything
    strength = cached("--set", "refined.strength=0.5")
    assert {"cutout", "views", "depths"} == strength
    assert cached("--guidance-scale", "3") == {"cutout"}
