"""A folder of meshes and its ``manifest.csv``."""

from __future__ import annotations

import csv
import zlib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from img2mesh.errors import InputError
from img2mesh.io.read_mesh import SUFFIXES

#: Share of the meshes kept for measuring where the manifest does not say.
_HELD_OUT = 0.05


@dataclass(frozen=True)
class Entry:
    """One mesh file.

    Attributes:
        file: where it is.
        path: the same, relative to the folder, with forward slashes.
        kind: its class, for balance and for the tables of a measurement.
        source: its collection, for balance.
        split: ``train`` or ``val``.
        licence: as the manifest states it, or ``unknown``.
        author: likewise.
        coloured: whether the file has colours of its own.
        encoded: whether its vertex colours are sRGB-encoded although glTF wants linear ones.
        procedural: no file at all, :mod:`img2mesh.training.procedural` makes it.
    """

    file: Path
    path: str
    kind: str = "other"
    source: str = "other"
    split: str = "train"
    licence: str = "unknown"
    author: str = "unknown"
    coloured: bool = True
    encoded: bool = False
    procedural: bool = False

    @property
    def name(self) -> str:
        """The path as one file name without suffix."""
        return self.path.rsplit(".", 1)[0].replace("/", "--")

    @property
    def number(self) -> int:
        """A number that only depends on the path: the mesh's own random seed."""
        return zlib.crc32(self.path.encode())


def read_catalog(folder: Path) -> tuple[Entry, ...]:
    """All meshes of a folder, in the order of their paths.

    ``manifest.csv`` must have the column ``path``; ``class``, ``split``, ``licence``, ``author``
    and ``colour`` (``none`` = uniform grey, ``vertex`` = sRGB-encoded vertex colours) are read
    where they are. Without a manifest every mesh file in the folder counts, one in twenty as
    ``val``, chosen by a hash of its path.

    Raises:
        InputError: no folder, no mesh, or a manifest without the column ``path``.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder: give one that holds meshes")
    manifest = folder / "manifest.csv"
    if manifest.is_file():
        with manifest.open(newline="", encoding="utf-8") as lines:
            rows = list(csv.DictReader(lines))
        if rows and "path" not in rows[0]:
            raise InputError(f"{manifest} has no column 'path'")
        entries = [_entry(folder, row) for row in rows]
    else:
        files = sorted(f for f in folder.rglob("*") if f.suffix.lower() in SUFFIXES)
        entries = [_entry(folder, {"path": f.relative_to(folder).as_posix()}) for f in files]
    if not entries:
        raise InputError(f"{folder} holds no meshes ({', '.join(SUFFIXES)})")
    return tuple(sorted(entries, key=lambda entry: entry.path))


def _entry(folder: Path, row: dict[str, str]) -> Entry:
    path = row["path"]
    held_out = zlib.crc32(path.encode()) / 2**32 < _HELD_OUT
    return Entry(
        folder / path,
        path,
        kind=row.get("class") or "other",
        source=path.rsplit("/", 1)[0] if "/" in path else "other",
        split=row.get("split") or ("val" if held_out else "train"),
        licence=row.get("licence") or "unknown",
        author=row.get("author") or "unknown",
        coloured=row.get("colour") != "none",
        encoded=row.get("colour") in ("vertex", "texture"),
    )


def balance(entries: tuple[Entry, ...]) -> list[float]:
    """How often each mesh is to be drawn, summing to 1: rare classes and sources count more.

    The weight is one over the square root of the sizes of its class and of its source, half-way
    between every mesh alike and every class alike.
    """
    kinds = Counter(entry.kind for entry in entries)
    sources = Counter(entry.source for entry in entries)
    weights = [(kinds[e.kind] * sources[e.source]) ** -0.5 for e in entries]
    total = sum(weights)
    return [w / total for w in weights]
