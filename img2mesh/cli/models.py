"""``img2mesh models``: what checkpoints there are, fetching them, and whether they are intact."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from img2mesh.cli.flags import Command, options
from img2mesh.cli.output import print_json, say

if TYPE_CHECKING:
    from img2mesh.diffusion.fetching import Status


@click.group(no_args_is_help=True)
def models() -> None:
    """Checkpoints of the learned generators, and networks that segment."""


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


@options("as_json")
@models.command("list", cls=Command)
def list_models(as_json: bool) -> None:
    """Checkpoints: repository, revision, size, licence, commercial use, here or not."""
    from rich.console import Console

    from img2mesh.diffusion import fetching

    rows = [_row(status) for status in fetching.statuses()]
    if as_json:
        print_json(rows)
        return
    console = Console(soft_wrap=True, highlight=False)
    for row in rows:
        here = "[green]here[/]" if row["state"] != "absent" else "[dim]not here[/]"
        use = "yes" if row["commercial_use"] else "no"
        size = row["megabytes"]
        size = f"{size / 1000:.1f} GB" if size > 900 else f"{size:.0f} MB"
        revision = row["revision"] or "recorded at the first fetch"
        console.print(
            f"[bold]{row['name']:<26}[/] {size:<6}  "
            f"commercial use: {use:<3}  {here}\n"
            f"  [dim]{row['repository']} · revision: {revision} · {row['licence']}[/]"
        )
    from img2mesh import multiview

    say(
        "learned, the default, comes with the package, trained on meshes under "
        f"{', '.join(multiview.licences('learned'))} (attributions: docs/learned.md); "
        "geometric has learned nothing"
    )


@options("offline", "commercial_only")
@models.command(cls=Command)
@click.argument("name")
def fetch(name: str, offline: bool, commercial_only: bool) -> None:
    """Download a checkpoint; the only command that uses the network."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    from img2mesh.diffusion import fetching

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
    say(str(folder))


@options("as_json")
@models.command(cls=Command)
@click.argument("name", required=False)
def verify(name: str | None, as_json: bool) -> None:
    """Hash fetched checkpoints against what was recorded when they came."""
    from img2mesh.diffusion import fetching

    found = fetching.verify(name)
    if as_json:
        print_json([_row(status) for status in found])
    else:
        for status in found:
            say(f"{status.record.name}: {status.state}")
            for problem in status.problems:
                say(f"  {problem}")
        if not found:
            say("no checkpoint is here; img2mesh models list")
    if any(status.state == "damaged" for status in found):
        sys.exit(1)
