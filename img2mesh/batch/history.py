"""What a resumed batch need not do again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from img2mesh.batch.folder import read_lines
from img2mesh.batch.items import Item
from img2mesh.errors import InputError
from img2mesh.jobs.job import photo_job


def stamp(path: Path | None) -> list[int] | None:
    """Size and time of change of a file, enough to notice that it is another one now."""
    if path is None:
        return None
    try:
        status = path.stat()
    except (OSError, ValueError):
        return None
    return [status.st_size, status.st_mtime_ns]


def fingerprint(settings: Mapping[str, Any]) -> str:
    """Of everything but the input that decides what an item leaves: 16 hex digits."""
    text = json.dumps(settings, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def inputs_digest(items: Sequence[Item]) -> str:
    """Of the list of inputs, whatever its order: 16 hex digits."""
    names = sorted(f"{item.name}\0{item.entry.source.absolute()}" for item in items)
    return hashlib.sha256("\n".join(names).encode("utf-8", "replace")).hexdigest()[:16]


@dataclass(frozen=True)
class PreviousRun:
    """How an item ended last time."""

    status: str
    settings: str
    source: str
    stamps: list[Any]
    digest: str | None
    error: str


def read_history(journal: Path) -> dict[str, PreviousRun]:
    """The last ending of every item in the journal."""
    previous: dict[str, PreviousRun] = {}
    for line in read_lines(journal):
        try:
            previous[line["item"]] = PreviousRun(
                line["status"], line["settings"], line["input"], line["stamps"],
                line.get("digest"), str(line.get("error", "")),
            )  # fmt: skip
        except (KeyError, TypeError):
            continue
    return previous


def is_finished(item: Item, before: PreviousRun, settings: str, root: Path) -> bool:
    """Whether a resumed batch has nothing to do for an item.

    Done means: the same settings, the same input, and its folder is complete. A bad input that has
    not changed is still bad. What failed is tried again.
    """
    if before.settings != settings or before.status == "failed":
        return False
    if before.status == "done" and not (root / item.name / "run.json").exists():
        return False
    stamps = [stamp(item.entry.source), stamp(item.entry.mask)]
    if stamps == before.stamps and before.source == str(item.entry.source.absolute()):
        return True
    return before.digest is not None and before.digest == _digest(item)


def _digest(item: Item) -> str | None:
    try:
        return photo_job(item.entry.source, mask=item.entry.mask).digest
    except InputError:
        return None
