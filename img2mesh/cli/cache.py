"""``img2mesh cache``: look into, check and trim the stage cache."""

from __future__ import annotations

import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from img2mesh.cli.flags import Command, options
from img2mesh.cli.output import print_json, print_table, say

if TYPE_CHECKING:
    from img2mesh.graph import Store


@click.group(no_args_is_help=True)
def cache() -> None:
    """Look into, check and trim the stage cache."""


@options("cache_dir", "as_json")
@cache.command("list", cls=Command)
def list_entries(cache_dir: Path | None, as_json: bool) -> None:
    """Every entry: stage, key, size, last use."""
    entries = _store(cache_dir).entries()
    if as_json:
        print_json(
            [
                {"stage": e.stage, "key": e.key, "bytes": e.size, "last_used": e.used}
                for e in entries
            ]
        )
        return
    print_table(
        ("stage", "key", "size", "last used"),
        [
            (
                entry.stage,
                entry.key[:12],
                _megabytes(entry.size),
                time.strftime("%Y-%m-%d %H:%M", time.localtime(entry.used)),
            )
            for entry in entries
        ],
    )
    say(f"{len(entries)} entries, {_megabytes(sum(entry.size for entry in entries))}")


@options("cache_dir")
@cache.command(cls=Command)
@click.argument("key")
def show(key: str, cache_dir: Path | None) -> None:
    """One entry's manifest, by the beginning of its KEY."""
    item = _store(cache_dir).show(key)
    print_json({"folder": str(item.folder), **asdict(item.manifest)})


@options("cache_dir", "as_json")
@cache.command(cls=Command)
def verify(cache_dir: Path | None, as_json: bool) -> None:
    """Check every byte; damaged entries go to quarantine and are made again when needed."""
    damaged = _store(cache_dir).verify()
    if as_json:
        found = [{"stage": i.stage, "key": i.key, "wrong": wrong} for i, wrong in damaged]
        print_json({"damaged": found})
    elif damaged:
        for item, wrong in damaged:
            say(f"quarantined {item.stage} {item.key[:12]}: {wrong}")
    else:
        say("every entry is intact")
    if damaged:
        sys.exit(1)


@options("cache_dir")
@cache.command(cls=Command)
@click.option("--keep", required=True, help="How much to keep: 500MB, 20GB; 0 empties it.")
def trim(keep: str, cache_dir: Path | None) -> None:
    """Delete the entries used longest ago until the rest fits."""
    removed = _store(cache_dir).trim(bytes_of(keep, "--keep"))
    freed = sum(entry.size for entry in removed)
    say(f"removed {len(removed)} entries, {_megabytes(freed)}")


def _store(cache_dir: Path | None) -> Store:
    from img2mesh.graph import Store
    from img2mesh.graph.store import explained
    from img2mesh.jobs.request import default_cache_dir

    store = Store(cache_dir or default_cache_dir())
    with explained(store.root):  # a closed folder
        if store.root.exists():
            next(store.root.iterdir(), None)
    return store


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB"


def bytes_of(text: str, flag: str) -> int:
    """A size such as 4GB in bytes.

    Raises:
        InputError: not a size; names the flag that took it.
    """
    from img2mesh.errors import InputError

    units = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
    number = text.strip().rstrip("BbKkMmGgTt").strip()
    unit = text.strip()[len(number) :].strip().upper()
    try:
        size = int(float(number) * units[unit])
    except (ValueError, KeyError, OverflowError):
        size = -1
    if size < 0:
        raise InputError(f"{flag} takes a size such as 500MB or 20GB, got {text!r}")
    return size
