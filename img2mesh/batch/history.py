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
class Past:
    """How an item ended last time."""

    status: str
    settings: str
    source: str
    stamps: list[Any]
    digest: str | None
    error: str


def read_history(journal: Path) -> dict[str, Past]:
    """The last ending of every item in the journal."""
    past: dict[str, Past] = {}
    for line in read_lines(journal):
        try:
            past[line["item"]] = Past(
                line["status"], line["settings"], line["input"], line["stamps"],
                line.get("digest"), str(line.get("error", "")),
            )  # fmt: skip
        except (KeyError, TypeError):
            continue
    return past


def settled(item: Item, past: Past | None, settings: str, root: Path) -> bool:
    """Whether a resumed batch has nothing to do for an item.

    Done means: the same settings, the same input, and its folder is complete. A bad input that has
    not changed is still bad. What failed is tried again.
    """
    if past is None or past.settings != settings or past.status == "failed":
        return False
    if past.status == "done" and not (root / item.name / "run.json").exists():
        return False
    stamps = [stamp(item.entry.source), stamp(item.entry.mask)]
    if stamps == past.stamps and past.source == str(item.entry.source.absolute()):
        return True
    return past.digest is not None and past.digest == _digest(item)


def _digest(item: Item) -> str | None:
    from img2mesh import job
    from img2mesh.errors import InputError

    try:
        return job.photo_job(item.entry.source, mask=item.entry.mask).digest
    except InputError:
        return None
