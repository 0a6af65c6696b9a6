"""Meshes -> training items on disk: one file a mesh and pass, resumable, bad meshes skipped.

``OUT/items/<pass>/<name>.npy`` holds some random views (:data:`img2mesh.training.views.ITEM`,
memory-mappable), ``OUT/solids/<name>.npy`` the solid they share, ``OUT/failed/<name>.txt`` why a
mesh was left out. A later pass adds other views of the same meshes, stretched a little along their
axes: more shapes than there are files.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from img2mesh.errors import Img2MeshError, InputError
from img2mesh.io.read_mesh import Surface, load_surface
from img2mesh.training.catalog import Entry
from img2mesh.training.procedural import procedural_surface
from img2mesh.training.solid import GRID, solid
from img2mesh.training.views import Subject, draw_item, normalised, random_pose

#: Passes after the first stretch every training mesh along its axes by up to this factor's log.
_STRETCH = 0.3
#: A view smaller than this share of the frame is of no use.
_SMALLEST = 0.01


def prepare(
    entries: tuple[Entry, ...],
    out: Path,
    *,
    views: int,
    passes: int,
    processes: int,
    seed: int,
    progress: Callable[[float], None] = lambda done: None,
) -> int:
    """Draw what is missing; returns how many meshes had to be left out so far.

    Args:
        entries: the meshes.
        out: the folder for items.
        views: random views of a mesh in one pass.
        passes: every mesh is drawn once before any is drawn again.
        processes: how many work at once; 1 = in this process.
        seed: of the order and the views.
        progress: called with the fraction done.
    """
    order = np.random.default_rng(seed).permutation(len(entries))
    tasks = [
        (entries[k], out, number, views, seed)
        for number in range(passes)
        for k in order
        if not item_file(out, number, entries[k]).exists()
    ]
    if processes == 1:
        for done, task in enumerate(tasks):
            draw(*task)
            progress((done + 1) / len(tasks))
    else:
        with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
            for done, _ in enumerate(pool.map(_draw, tasks, chunksize=4)):
                progress((done + 1) / len(tasks))
    return sum(1 for _ in (out / "failed").glob("*.txt"))


def item_file(out: Path, number: int, entry: Entry) -> Path:
    """Where the items of one pass over one mesh are."""
    return out / "items" / str(number) / f"{entry.name}.npy"


def read_surface(entry: Entry, *, seed: int = 0) -> Surface:
    """A mesh normalised; one without colours gets some at random."""
    if entry.procedural:
        return normalised(procedural_surface(entry))
    surface = normalised(load_surface(entry.file, encoded=entry.encoded or None))
    if entry.coloured:
        return surface
    return _painted(surface, np.random.default_rng([seed, entry.number]))


def read_subject(entry: Entry, solids: Path | None = None, *, seed: int = 0) -> Subject:
    """A mesh normalised and ready to be drawn, its solid taken from or kept in ``solids``."""
    surface = read_surface(entry, seed=seed)
    kept = None if solids is None else solids / f"{entry.name}.npy"
    if kept is not None and kept.exists():
        bits = np.unpackbits(np.load(kept, allow_pickle=False), count=GRID**3)
        return Subject.of(surface, bits.reshape(GRID, GRID, GRID).astype(bool))
    occupied = solid(surface.vertices, surface.faces, seed=entry.number)
    if kept is not None:
        _save(kept, np.packbits(occupied))
    return Subject.of(surface, occupied)


def draw(entry: Entry, out: Path, number: int, views: int, seed: int) -> None:
    """The items of one pass over one mesh; a mesh that cannot be used is only noted."""
    failed = out / "failed" / f"{entry.name}.txt"
    if failed.exists():
        return
    try:
        subject = read_subject(entry, out / "solids", seed=seed)
        rng = np.random.default_rng([seed, entry.number, number])
        if number and entry.split == "train":
            subject = subject.stretched(np.exp(rng.uniform(-_STRETCH, _STRETCH, 3)))
        items = [draw_item(subject, *random_pose(rng)) for _ in range(views)]
        items = [item for item in items if item["alpha"].mean() > 255 * _SMALLEST]
        if not items:
            raise InputError(f"{entry.path}: no view shows anything")
        _save(item_file(out, number, entry), np.stack(items))
    except (Img2MeshError, ValueError, IndexError, KeyError, MemoryError) as cause:
        failed.parent.mkdir(parents=True, exist_ok=True)
        failed.write_text(f"{entry.path}: {type(cause).__name__}: {cause}\n")


def _draw(task: tuple[Entry, Path, int, int, int]) -> None:
    draw(*task)


def _save(file: Path, array: np.ndarray) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    aside = file.with_suffix(".part")
    with aside.open("wb") as stream:
        np.save(stream, array, allow_pickle=False)
    aside.replace(file)


def _painted(surface: Surface, rng: np.random.Generator) -> Surface:
    """A colourless mesh in up to four random colours, parted by random planes."""
    colours = rng.uniform(0.03, 0.9, (4, 3)).astype(np.float32)
    side = surface.vertices @ rng.normal(size=(3, 2)) > rng.uniform(-0.4, 0.4, 2)
    return replace(surface, colour=colours[side @ np.array([1, 2])])
