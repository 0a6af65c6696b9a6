"""Shared fixtures: a small photo with known shape, the command as a user runs it, and what is
dear to make, made once a test run: one finished run and the tiny checkpoints."""

from __future__ import annotations

import logging
import os

from img2mesh.core.runtime import STEADY

# As the command does, before anything loads numpy or torch: no spinning, no changing thread counts.
# The workers share the cores, so numpy gets one thread: more only wait for each other, spinning (a
# product of many points with a 3x3 matrix took ten times the CPU time on a busy machine).
os.environ.update({**STEADY, "OPENBLAS_NUM_THREADS": "1", **os.environ})

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from filelock import FileLock
from PIL import Image

ROOT = Path(__file__).parent.parent

# What the user has fetched must not decide what a test sees.
os.environ["IMG2MESH_MODELS"] = str(ROOT / "no-models")

#: Settings under which the whole pipeline runs in seconds and still makes a recognisable object:
#: what the weight-free generator draws.
TINY = (
    "cutout.max_size=256",
    "views.generator=geometric",
    "views.tile=128",
    "refined.generator=geometric",
    "radiance.grid=40",
    "surface.target_faces=2000",
    "asset.texture_resolution=256",
)


#: The same for Python.
TINY_SETTINGS: dict[str, dict[str, int | str]] = {}
for _text in TINY:
    _stage, _, _rest = _text.partition(".")
    _name, _, _value = _rest.partition("=")
    TINY_SETTINGS.setdefault(_stage, {})[_name] = int(_value) if _value.isdigit() else _value


def toy_picture(size: int = 256, *, background: bool = False) -> Image.Image:
    """A shaded two-ball toy with stripes; RGBA, or opaque on a soft grey backdrop."""
    v, u = (np.mgrid[0:size, 0:size] + 0.5) / size * 2 - 1
    colour = np.zeros((size, size, 3))
    alpha = np.zeros((size, size))
    for centre, radius, base in (
        ((0.0, 0.25), 0.48, (0.85, 0.35, 0.2)),
        ((0.05, -0.38), 0.32, (0.25, 0.45, 0.8)),
    ):
        x, y = (u - centre[0]) / radius, (v - centre[1]) / radius
        inside = x**2 + y**2 < 1
        z = np.sqrt(np.clip(1 - x**2 - y**2, 0, 1))
        light = 0.35 + 0.65 * np.clip(0.4 * -x - 0.6 * y + 0.7 * z, 0, 1)
        stripes = 0.8 + 0.2 * np.sign(np.sin(9 * y))
        colour[inside] = (np.array(base) * (light * stripes)[..., None])[inside]
        alpha[inside] = 1
    if background:
        grey = np.stack([0.82 - 0.06 * v] * 3, axis=2)
        colour = np.where(alpha[..., None] > 0, colour, grey)
        return Image.fromarray((colour * 255).astype(np.uint8))
    pixels = np.dstack([colour, alpha])
    return Image.fromarray((pixels * 255).astype(np.uint8))


@pytest.fixture
def toy(tmp_path: Path) -> Path:
    """A photo with transparency, in a folder of its own."""
    folder = tmp_path / "photos"
    folder.mkdir()
    path = folder / "toy.png"
    toy_picture().save(path)
    return path


def tiny_flags(*, cache: Path, out: Path) -> list[str]:
    """Flags that make a run quick and keep it inside the test's folder."""
    flags = [part for text in TINY for part in ("--set", text)]
    return [*flags, "--cache-dir", str(cache), "-o", str(out)]


Command = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def img2mesh(tmp_path: Path) -> Command:
    """Run the command in a process of its own, as a user would."""

    def call(*arguments: str, **more: object) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "IMG2MESH_CACHE": str(tmp_path / "cache")}
        environment |= more.pop("env", {})  # type: ignore[arg-type]
        return spawned(*arguments, env=environment, cwd=str(more.pop("cwd", ROOT)))

    return call


def spawned(*arguments: str, **more: Any) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own, to its end."""
    return subprocess.run(
        [sys.executable, "-m", "img2mesh", *arguments],
        capture_output=True,
        text=True,
        check=False,
        **{"cwd": ROOT, **more},
    )


@pytest.fixture
def in_process(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    """Run the command in this very process: two seconds less than a process that loads torch.

    For what needs no process of its own; the answer looks the same. Where the cache lies has to
    be among the arguments.
    """

    def call(*arguments: str) -> subprocess.CompletedProcess[str]:
        from img2mesh import cli

        capsys.readouterr()
        for library in ("diffusers", "transformers"):  # their handlers keep an earlier stream
            for handler in logging.getLogger(library).handlers:
                if type(handler) is logging.StreamHandler:
                    handler.stream = sys.stderr
                    handler.flush = sys.stderr.flush  # type: ignore[method-assign]
        with pytest.raises(SystemExit) as ended:
            cli.main(list(arguments))
        said = capsys.readouterr()
        code = ended.value.code
        return subprocess.CompletedProcess(arguments, int(code or 0), said.out, said.err)

    return call


@pytest.fixture(scope="session")
def stable_zero123(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random checkpoint of the Stable Zero123 kind."""

    def make(home: Path) -> None:
        import torch

        from tests.models.tiny_zero123 import make_zero123

        torch.set_num_threads(1)
        make_zero123(home / "random", camera="cond_polar")

    return made_once(tmp_path_factory, "zero123-random", make) / "random"


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """A folder that is made once a test run: the first xdist worker that asks makes it.

    The others wait for its lock. The folder lies beside the workers' own temporary folders, in
    the one that pytest numbers for the run, and goes with it.
    """
    base = factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    folder = shared / "made-once" / name
    folder.parent.mkdir(exist_ok=True)
    done = folder.with_name(f"{name}.done")
    with FileLock(folder.with_name(f"{name}.lock")):
        if not done.exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            make(folder)
            done.touch()
    return folder


@dataclass(frozen=True)
class FinishedRun:
    """A folder that holds what one run left: the photo, the cache, the output folder."""

    home: Path

    @property
    def photo(self) -> Path:
        return self.home / "photos" / "toy.png"

    @property
    def cache(self) -> Path:
        return self.home / "cache"

    @property
    def out(self) -> Path:
        """What was given as ``-o``; the run's own folder is ``out / "toy"``."""
        return self.home / "out"

    @property
    def flags(self) -> list[str]:
        """With these, the run is repeated from the cache."""
        return tiny_flags(cache=self.cache, out=self.out)

    @property
    def report(self) -> dict[str, Any]:
        """What ``--json`` printed."""
        printed: dict[str, Any] = json.loads((self.home / "stdout.json").read_text())
        return printed

    @property
    def glb(self) -> bytes:
        return (self.out / "toy" / "mesh.glb").read_bytes()

    def copy(self, home: Path) -> FinishedRun:
        """A copy to change: the cache is content-addressed, so it holds there as well."""
        shutil.copytree(self.home, home, dirs_exist_ok=True)
        return FinishedRun(home)


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory: pytest.TempPathFactory) -> FinishedRun:
    """``img2mesh run toy.png`` with the tiny flags, from a cold cache, by the real command.

    Made once for all tests and all xdist workers (eight CPU seconds). Read it as it lies; whoever
    writes, a further run included, takes ``finished_run.copy(tmp_path)`` first. A run of the same
    photo with the same settings then finds every stage in the cache, one with other settings all
    stages before the one it changes.
    """

    def make(home: Path) -> None:
        run = FinishedRun(home)
        run.photo.parent.mkdir()
        toy_picture().save(run.photo)
        done = spawned("run", str(run.photo), *run.flags, "--json")
        assert done.returncode == 0, done.stderr
        (home / "stdout.json").write_text(done.stdout)

    return FinishedRun(made_once(tmp_path_factory, "finished-run", make))


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """A tiny checkpoint, made once a test run: arguments of ``make_checkpoint``. Only to read.

    Its folder is called ``tiny``.
    """

    def make(home: Path, *arguments: Any, **more: Any) -> None:
        import torch

        from tests.models.tiny import make_checkpoint

        before = torch.get_num_threads()
        torch.set_num_threads(1)  # tiny networks lose time on more
        make_checkpoint(home / "tiny", *arguments, **more)
        torch.set_num_threads(before)

    def get(*arguments: Any, **more: Any) -> Path:
        digest = hashlib.sha256(repr((arguments, sorted(more.items()))).encode()).hexdigest()
        name = f"checkpoint-{digest[:12]}"
        home = made_once(tmp_path_factory, name, lambda begun: make(begun, *arguments, **more))
        return home / "tiny"

    return get
