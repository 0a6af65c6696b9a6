"""The items that lie on disk, drawn at random but reproducibly."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from img2mesh.training.catalog import Entry, balance
from img2mesh.training.views import ITEM


class Pool:
    """Items of some meshes.

    Args:
        folder: what :func:`img2mesh.training.prepare.prepare` wrote into.
        entries: the meshes that may be drawn.
        files: the item files to draw from, relative to the folder; by default all there are. A
            file that has gone since is an error.
    """

    def __init__(
        self, folder: Path, entries: tuple[Entry, ...], files: tuple[str, ...] | None = None
    ) -> None:
        self.folder = folder
        self.files = found(folder, entries) if files is None else files
        by_name: dict[str, list[str]] = {}
        for file in self.files:
            by_name.setdefault(Path(file).stem, []).append(file)
        held = tuple(e for e in entries if e.name in by_name)
        self.meshes = [by_name[e.name] for e in held]
        self._chances = np.array(balance(held)) if held else np.zeros(0)

    def draw(self, count: int, rng: np.random.Generator) -> NDArray[np.void]:
        """(count,) items, meshes by their balance, views evenly."""
        items = np.empty(count, ITEM)
        chosen = rng.choice(len(self.meshes), count, p=self._chances)
        for k, mesh in enumerate(chosen):
            files = self.meshes[mesh]
            views = _open(self.folder / files[int(rng.integers(len(files)))])
            items[k] = views[int(rng.integers(len(views)))]
        return items

    def first(self, count: int) -> NDArray[np.void]:
        """At most ``count`` items for measuring: one view of every mesh, then further ones."""
        items: list[NDArray[np.void]] = []
        for turn in range(count):
            for files in self.meshes:
                views = _open(self.folder / files[0])
                if turn < len(views) and len(items) < count:
                    items.append(views[turn])
            if len(items) >= count or turn > 64:
                break
        return np.array(items, ITEM)


def found(folder: Path, entries: tuple[Entry, ...]) -> tuple[str, ...]:
    """The item files of some meshes, sorted, relative to the folder."""
    names = {e.name for e in entries}
    files = (folder / "items").glob("*/*.npy")
    return tuple(sorted(f.relative_to(folder).as_posix() for f in files if f.stem in names))


@lru_cache(maxsize=20_000)
def _open(file: Path) -> NDArray[np.void]:
    views: NDArray[np.void] = np.load(file, mmap_mode="r", allow_pickle=False)
    return views
