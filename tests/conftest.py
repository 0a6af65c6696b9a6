"""Shared fixtures: a small photo with known shape, and the command as a user runs it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from img2mesh.core.runtime import STEADY

# As the command does, and before anything loads torch: no spinning, no changing thread counts.
for _name, _value in STEADY.items():
    os.environ.setdefault(_name, _value)

ROOT = Path(__file__).parent.parent

#: Settings under which the whole pipeline runs in seconds and still makes a recognisable object.
TINY = (
    "cutout.max_size=256",
    "views.tile=128",
    "radiance.grid=40",
    "surface.target_faces=2000",
    "asset.texture_resolution=256",
)


#: The same for Python.
TINY_SETTINGS: dict[str, dict[str, int]] = {}
for _text in TINY:
    _stage, _, _rest = _text.partition(".")
    TINY_SETTINGS.setdefault(_stage, {})[_rest.partition("=")[0]] = int(_rest.partition("=")[2])


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
        return subprocess.run(
            [sys.executable, "-m", "img2mesh", *arguments],
            capture_output=True,
            text=True,
            cwd=str(more.pop("cwd", ROOT)),
            env=environment,
            check=False,
        )

    return call
