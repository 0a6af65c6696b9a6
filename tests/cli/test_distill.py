"""``img2mesh distill`` as a user runs it, and what it refuses."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from safetensors import safe_open

from img2mesh import settings
from img2mesh.field.distillation import loop, memory
from img2mesh.pages.distilled import DISTILLATION
from tests.conftest import ROOT, Command

SMALL = (
    "refined.resolutions=[16]",
    "refined.milestones=[]",
    "refined.weight_guidance=1e-4",
    "radiance.grid=32",
    "surface.target_faces=600",
    "asset.texture_resolution=128",
)


#: Of the loop, which stores itself every 25.
STEPS = 30


@pytest.mark.slow
def test_from_photo_to_mesh_and_after_a_kill_to_the_same(
    stable_zero123: Path,
    toy: Path,
    in_process: Command,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    command = ["distill", str(toy), "--generator", str(stable_zero123), "--guidance", "vsd"]
    command += ["--grid", "24", "--steps", str(STEPS), "--preview-every", "10", "--offline"]
    command += [part for setting in SMALL for part in ("--set", setting)]

    def places(name: str) -> list[str]:
        return ["--cache-dir", str(tmp_path / name), "-o", str(tmp_path / f"{name}-out")]

    whole = [*command, *places("whole"), "--json", "--texture-refiner", str(stable_zero123)]
    done = in_process(*whole, "--set", "asset.refiner_steps=1")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["generator"] == "random" and report["learned_weights"] is True
    assert report["licences"] == ["none: random"]
    assert any("the texture follows renders that random" in told for told in report["warnings"])
    assert list(report["seconds"]) == list(DISTILLATION.order)
    out = tmp_path / "whole-out" / "toy"
    for name in ("mesh.glb", "views.png", "preview.png", "report.html", "run.json"):
        assert (out / name).stat().st_size > 0
    record = json.loads((out / "run.json").read_text(encoding="utf-8"))
    assert record["settings"]["refined"]["guidance"] == "vsd"
    assert record["identities"]["refined"]["checkpoint"]
    again = in_process(*whole, "--set", "asset.refiner_steps=1")
    assert all(json.loads(again.stdout)["cached"].values())

    command += [*places("killed"), "--until", "refined", "-q"]
    at = killed_once_stored(command, tmp_path / "killed")
    taken: list[int] = []
    step = loop._Loop._step

    def counted(self: loop._Loop, state: memory.State) -> None:
        taken.append(state.step)
        step(self, state)

    monkeypatch.setattr(loop._Loop, "_step", counted)
    assert in_process(*command).returncode == 0
    assert taken == list(range(at, STEPS)), "it goes on where it stored itself"
    views = entry(tmp_path / "killed")
    assert len(views) >= 8 and views == entry(tmp_path / "whole")


def killed_once_stored(command: list[str], cache: Path) -> int:
    """``kill -9`` a run as soon as its loop has stored itself; the step at which that was."""
    process = subprocess.Popen([sys.executable, "-m", "img2mesh", *command], cwd=ROOT)
    try:
        while not (stored := list(cache.glob("v1/scratch/*/*/distillation.safetensors"))):
            assert process.poll() is None, "it ended before it stored itself"
            time.sleep(0.005)
    finally:
        process.kill()
    assert process.wait() == -signal.SIGKILL
    with safe_open(stored[0], framework="pt") as file:
        about = json.loads(file.metadata()["distillation"])
    assert 0 < about["step"] < STEPS
    return int(about["step"])


def entry(cache: Path) -> dict[str, bytes]:
    """The files of the one distilled result in a cache."""
    (folder,) = (cache / "v1" / "refined").glob("*/*")
    return {f.name: f.read_bytes() for f in folder.iterdir() if f.name != "manifest.json"}


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--generator", "learned"), "cannot judge"),
        (("--generator", "zero123plus-v1.1"), "choose --generator zero123, zero123-xl"),
        (("--generator", "zero123-xl"), "img2mesh models fetch zero123-xl"),
        (("--guidance", "ism"), "'ism' is not one of"),
        (("--recipe", "best"), "unknown preset 'best'"),
        (("--steps", "0"), "refined.steps expects 1 to"),
        (("--elevation", "100"), "refined.elevation expects -90 to 90"),
        (("--until", "views"), "unknown stage 'views'"),
    ],
)
def test_what_cannot_be_is_said_at_once(
    flags: tuple[str, ...], words: str, toy: Path, in_process: Command
) -> None:
    done = in_process("distill", str(toy), *flags)
    assert done.returncode == 2 and words in " ".join(done.stderr.split())


@pytest.mark.parametrize("name", settings.preset_names("distill"))
def test_every_recipe_can_be_followed(name: str) -> None:
    from img2mesh.field.distillation.recipe import Recipe

    given = settings.resolve(DISTILLATION, settings.load_preset(name, folder="distill"))
    whole = DISTILLATION.stages["refined"].resolve(given["refined"])
    fields = {k: v for k, v in whole.items() if k in Recipe.__dataclass_fields__}
    Recipe(**fields)
