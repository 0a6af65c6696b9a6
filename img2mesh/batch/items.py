"""What there is to do: inputs and manifest lines as items with names that no order can change."""

from __future__ import annotations

import hashlib
import json
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from img2mesh.core.names import safe_name
from img2mesh.errors import InputError
from img2mesh.io.inputs import mask_beside

#: Names in the output folder that belong to the batch itself.
RESERVED = frozenset({"quarantine", ".batch", "batch.json", "batch.jsonl", "index.html"})


@dataclass(frozen=True)
class Entry:
    """One input as the user gave it.

    Attributes:
        source: the picture.
        mask: its mask, if one was given.
        name: what its output folder shall be called; None takes the stem.
        preset: its own preset; None takes the batch's.
        assignments: its own ``stage.setting=value`` texts.
        origin: where it was given, for messages, such as ``list.csv, line 3``.
    """

    source: Path
    mask: Path | None = None
    name: str | None = None
    preset: str | None = None
    assignments: tuple[str, ...] = ()
    origin: str = ""


@dataclass(frozen=True)
class Item:
    """An entry with the name of its folder in the batch; no two items have the same."""

    name: str
    entry: Entry


def name_items(entries: Sequence[Entry]) -> tuple[list[Item], list[tuple[Entry, Entry]]]:
    """Name every entry, and leave out those that ask for the very same thing again.

    A stem that several inputs share gets a short hash of content and settings on each of them, so a
    name depends on the list of inputs and never on its order. File systems that fold case or
    Unicode forms are thought of.

    Returns:
        the items in the order of the entries, and (left out, kept) pairs of identical entries.

    Raises:
        InputError: two different inputs were given the same explicit name.
    """
    given: dict[str, Entry] = {}
    for entry in entries:
        if entry.name is None:
            continue
        other = given.setdefault(_fold(entry.name), entry)
        if other is not entry and _identity(other) != _identity(entry):
            raise InputError(
                f"{entry.origin}: the name {entry.name!r} was already given at {other.origin}; "
                "expected a name of its own for every input"
            )
    stems = Counter(_fold(safe_name(e.source.stem)) for e in entries if e.name is None)
    taken = {*given, *RESERVED}
    kept: dict[str, Entry] = {}
    duplicates: list[tuple[Entry, Entry]] = []
    for entry in entries:
        name = entry.name
        if name is None:
            name = safe_name(entry.source.stem)
            folded = _fold(name)
            if stems[folded] > 1 or folded in taken:
                name = f"{name}-{_identity(entry)[:8]}"
        before = kept.setdefault(name, entry)
        if before is not entry:
            # The same content and settings give the same result, whichever of the files is read.
            duplicates.append((entry, before))
    return [Item(name, entry) for name, entry in kept.items()], duplicates


def _fold(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def _identity(entry: Entry) -> str:
    """sha256 (hex) of what decides the result: content, mask, settings; a path if unreadable."""
    from img2mesh.io.photos import digest_of

    def content(path: Path | None) -> str | None:
        if path is None:
            return None
        try:
            return digest_of(path)
        except InputError:
            return f"unreadable {path.absolute()}"

    parts = [content(entry.source), content(entry.mask), entry.preset, entry.assignments]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def from_inputs(inputs: Iterable[str]) -> list[Entry]:
    """Files, folders and globs.

    Raises:
        InputError: one of them is not there or holds no picture.
    """
    from img2mesh.io.listing import list_photos

    return [Entry(path, mask_beside(path), origin=str(path)) for path in list_photos(inputs)]
