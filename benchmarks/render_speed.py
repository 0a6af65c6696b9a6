"""How fast `img2mesh render --layout zero123plus` draws: 320 pixels, depth, normals, HDRI light.

    python benchmarks/render_speed.py MESHES --out DIR [--items N] [--profile]

Seconds of one core an item are measured in this process, on one thread, and hardly depend on what
else the machine does. Items a second are those of one and two workers, from the first item that was
whole to the last; they mean something on a machine that is otherwise idle. An item has seven views:
the condition and six.
"""

from __future__ import annotations

import argparse
import cProfile
import os
import pstats
import shutil
import time
from pathlib import Path

import torch

from img2mesh.batch.renders import render_meshes
from img2mesh.training.catalog import Entry, read_catalog
from img2mesh.training.renders import Recipe, render


def main() -> None:
    """See the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("meshes", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--items", type=int, default=24)
    parser.add_argument("--profile", action="store_true", help="this process alone, by function")
    given = parser.parse_args()
    torch.set_num_threads(1)
    hdri = given.meshes / "hdri"
    recipe = Recipe("zero123plus", 320, hdri=str(hdri) if hdri.is_dir() else None)
    every = [e for e in read_catalog(given.meshes) if e.split == "val"] or list(
        read_catalog(given.meshes)
    )
    chosen = every[:: max(len(every) // given.items, 1)][: given.items]
    shutil.rmtree(given.out, ignore_errors=True)
    given.out.mkdir(parents=True)
    profile = cProfile.Profile() if given.profile else None
    render(chosen[0], given.out / "first", recipe)  # libraries and probes are read
    began = time.process_time()
    if profile:
        profile.enable()
    for number, entry in enumerate(chosen):
        render(entry, given.out / "alone" / str(number), recipe)
    if profile:
        profile.disable()
        pstats.Stats(profile).sort_stats("tottime").print_stats(20)
    print(f"{(time.process_time() - began) / len(chosen):.3f} core seconds an item")
    if given.profile:
        return
    folder = given.out / "meshes"
    _copied(chosen, folder)
    rates = {}
    for jobs in (1, 2):
        out = given.out / f"by{jobs}"
        render_meshes([folder], out, recipe, jobs=jobs)
        ends = sorted(f.stat().st_mtime for f in out.iterdir() if (f / "cameras.json").is_file())
        rates[jobs] = (len(ends) - 1) / (ends[-1] - ends[0])
        print(f"{rates[jobs]:.2f} items a second by {jobs} worker{'s' * (jobs > 1)}")
    load = os.getloadavg()[0]
    print(f"{rates[2] / rates[1]:.2f} times as fast by two; load {load:.1f} (idle: up to 2)")


def _copied(entries: list[Entry], folder: Path) -> None:
    """The meshes in a folder of their own, since a data set is made of folders."""
    lines = ["path,split,licence"]
    for number, entry in enumerate(entries):
        name = f"{number:04d}{entry.file.suffix}"
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(entry.file, folder / name)
        lines.append(f"{name},train,{entry.licence}")
    (folder / "manifest.csv").write_text("\n".join(lines))


if __name__ == "__main__":
    main()
