"""Where the fit's time goes: CPU and wall seconds per part, as a table and as JSON.

    python benchmarks/profile_fit.py [VIEWS] [--group NAME] [--grid 128] [--out FILE]

VIEWS is a folder of posed views or a six-view sheet; without it a textured box is rendered.
Judge by the CPU column on a busy machine. ``--launches`` fits on the tests' pretend GPU and counts
for every part the kernels it would launch and how often it would wait for the device.
"""

from __future__ import annotations

import argparse
import functools
import json
import resource
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from img2mesh.artifacts import ViewSet
from img2mesh.core.cameras import Camera
from img2mesh.core.rigs import RIGS
from img2mesh.geometry.raycast import Scene
from img2mesh.graph import Run
from img2mesh.pipeline import radiance

sys.path.insert(0, str(Path(__file__).parents[1]))  # the repository, for its tests' pretend GPU

from tests.pretend_gpu import DEVICE, PretendGpu

#: Functions whose time is counted, in the order of the fit; times include what they call.
PARTS = {
    "outlines": ("img2mesh.geometry.silhouettes", "make_silhouettes"),
    "bounding box": ("img2mesh.field.optimize", "tight_box"),
    "depth from normals": ("img2mesh.field.from_normals.depth", "with_estimated_depth"),
    "hull": ("img2mesh.field.optimize", "hull_values"),
    "density": ("img2mesh.field.optimize", "carve_by_density"),
    "carving": ("img2mesh.field.optimize", "initial_field"),
    "rays and pictures": ("img2mesh.field.optimize", "make_rays"),
    "matching along rays": ("img2mesh.field.optimize", "match_along_rays"),
    "matching on planes": ("img2mesh.field.optimize", "match_on_planes"),
    "warps": ("img2mesh.field.optimize", "warp_to_matches"),
    "covering outlines": ("img2mesh.field.optimize", "cover_silhouettes"),
    "placing samples": ("img2mesh.field.optimize", "place_samples"),
    "exposure": ("img2mesh.field.optimize", "estimate_exposure"),
    "losses, forward": ("img2mesh.field.optimize", "slice_loss"),
    "losses, backward": ("torch.autograd", "grad"),
    "curvature": ("img2mesh.field.optimize", "curvature_gradient"),
    "momentum step": ("img2mesh.field.optimizer", "MomentumStep.step"),
}


@dataclass
class Clock:
    """Calls and seconds of one part; kernels and waits where it ran on a pretend GPU."""

    gpu: PretendGpu | None = None
    calls: int = 0
    cpu: float = 0.0
    wall: float = 0.0
    kernels: int = 0
    waits: int = 0

    def around(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function with its time counted."""

        @functools.wraps(function)
        def timed(*args: Any, **kwargs: Any) -> Any:
            cpu, wall, counted = time.process_time(), time.perf_counter(), self._counted()
            try:
                return function(*args, **kwargs)
            finally:
                self.calls += 1
                self.cpu += time.process_time() - cpu
                self.wall += time.perf_counter() - wall
                self.kernels += self._counted()[0] - counted[0]
                self.waits += self._counted()[1] - counted[1]

        return timed

    def _counted(self) -> tuple[int, int]:
        return (self.gpu.operations, self.gpu.waits.total()) if self.gpu else (0, 0)

    def figures(self) -> dict[str, float]:
        """What was counted, by name."""
        return {k: v for k, v in vars(self).items() if k != "gpu"}


def install(gpu: PretendGpu | None) -> dict[str, Clock]:
    """Wrap every part; this process is only good for profiling afterwards."""
    import importlib

    clocks = {}
    for name, (module, path) in PARTS.items():
        owner: Any = importlib.import_module(module)
        *outer, last = path.split(".")
        for attribute in outer:
            owner = getattr(owner, attribute)
        clocks[name] = Clock(gpu)
        setattr(owner, last, clocks[name].around(getattr(owner, last)))
    return clocks


def painted_box(cameras: tuple[Camera, ...] | None = None) -> ViewSet:
    """Views of a textured box that faces none of the usual six cameras."""
    cameras = cameras or RIGS["zero123plus-v1.2"].cameras(320)
    corners = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], float)
    sides = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    faces = [t for a, b, c, d in sides for t in ((a, b, c), (a, c, d))]
    turn = np.array([[0.8, 0, 0.6], [0, 1, 0], [-0.6, 0, 0.8]])
    scene = Scene((corners * [0.6, 0.45, 0.35]) @ turn.T, np.array(faces))
    rgb, alpha = [], []
    for camera in cameras:
        hits = scene.look(camera)
        p = camera.origin + camera.directions() * np.nan_to_num(hits.depth)[..., None]
        waves = 0.5 + 0.3 * np.sin(p * 17 + p[..., [1, 2, 0]] * 9) + 0.2 * np.sin(p * 41)
        rgb.append(np.clip(np.where(hits.mask[..., None], waves, 0), 0, 1))
        alpha.append(hits.mask)
    return ViewSet(np.stack(rgb), np.stack(alpha), cameras)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("views", nargs="?", type=Path)
    parser.add_argument("--group")
    parser.add_argument("--rig")
    parser.add_argument("--grid", type=int, default=128)
    parser.add_argument("--fine-grid", type=int, default=0)
    parser.add_argument("--launches", action="store_true", help="count on a pretend GPU")
    parser.add_argument("--out", type=Path, help="write the JSON here as well")
    options = parser.parse_args()
    if options.views is None:
        views = painted_box()
    else:
        views = ViewSet.open(options.views, rig=options.rig, group=options.group)
    gpu = PretendGpu() if options.launches else None
    clocks = install(gpu)
    whole = Clock(gpu)
    run = Run(device=str(DEVICE)) if gpu else Run()
    with gpu or nullcontext():
        whole.around(radiance)(views, grid=options.grid, fine_grid=options.fine_grid, run=run)
    clocks["whole fit"] = whole
    print(f"{'part':20s} {'calls':>6s} {'CPU s':>8s} {'wall s':>8s} {'kernels':>9s} {'waits':>7s}")
    for name, clock in clocks.items():
        print(
            f"{name:20s} {clock.calls:6d} {clock.cpu:8.2f} {clock.wall:8.2f} "
            f"{clock.kernels:9d} {clock.waits:7d}"
        )
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"peak memory of the process {peak_mb:.0f} MB")
    result = {
        "grid": options.grid,
        "fine_grid": options.fine_grid,
        "peak_memory_mb": peak_mb,
        "parts": {name: clock.figures() for name, clock in clocks.items()},
    }
    print(json.dumps(result))
    if options.out:
        options.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
