"""`img2mesh models`: what checkpoints there are, fetching them, and whether they are intact."""

from __future__ import annotations

import json
import sys
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from img2mesh.diffusion import fetching
from img2mesh.diffusion.fetching import Status


def _row(status: Status) -> dict[str, Any]:
    record = status.record
    return {
        "name": record.name,
        "kind": record.kind,
        "repository": record.repository,
        "revision": status.revision,
        "megabytes": record.megabytes,
        "licence": record.licence,
        "commercial_use": record.commercial,
        "rig": record.rig,
        "state": status.state,
        "folder": str(status.folder),
        "problems": list(status.problems),
        "note": record.note,
    }


def show(*, as_json: bool) -> None:
    """Print the table of checkpoints."""
    rows = [_row(status) for status in fetching.statuses()]
    if as_json:
        sys.stdout.write(json.dumps(rows, indent=1) + "\n")
        return
    console = Console(soft_wrap=True, highlight=False)
    for row in rows:
        here = "[green]here[/]" if row["state"] != "absent" else "[dim]not here[/]"
        use = "yes" if row["commercial_use"] else "no"
        revision = row["revision"] or "recorded at the first fetch"
        console.print(
            f"[bold]{row['name']:<26}[/] {row['megabytes'] / 1000:.1f} GB  "
            f"commercial use: {use:<3}  {here}\n"
            f"  [dim]{row['repository']} · revision: {revision} · {row['licence']}[/]"
        )
    sys.stdout.write("geometric needs no checkpoint: it is the weight-free default\n")


def fetch(name: str, *, offline: bool, commercial_only: bool) -> None:
    """Download and verify one checkpoint with a progress bar.

    Raises:
        InputError: no such checkpoint, --offline, or a licence that --commercial-only refuses.
    """
    console = Console(stderr=True)
    bar = Progress(
        TextColumn(name), BarColumn(), TextColumn("{task.percentage:>3.0f} %"),
        TextColumn("left"), TimeRemainingColumn(), console=console,
    )  # fmt: skip
    with bar:
        task = bar.add_task(name, total=1.0)
        folder = fetching.fetch(
            name,
            offline=offline,
            commercial_only=commercial_only,
            say=lambda sentence: console.print(sentence, highlight=False, soft_wrap=True),
            progress=lambda fraction: bar.update(task, completed=fraction),
        )
    sys.stdout.write(f"{folder}\n")


def verify(name: str | None, *, as_json: bool) -> None:
    """Hash what is here; exit 1 if anything is damaged."""
    found = fetching.verify(name)
    if as_json:
        sys.stdout.write(json.dumps([_row(status) for status in found], indent=1) + "\n")
    else:
        for status in found:
            sys.stdout.write(f"{status.record.name}: {status.state}\n")
            for problem in status.problems:
                sys.stdout.write(f"  {problem}\n")
        if not found:
            sys.stdout.write("no checkpoint is here; img2mesh models list\n")
    if any(status.state == "damaged" for status in found):
        sys.exit(1)
