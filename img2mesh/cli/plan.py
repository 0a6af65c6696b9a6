"""``img2mesh plan`` and ``img2mesh stages``: what would run, and what there is to run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from img2mesh.cli.flags import Command, call, options, pipeline_options, settings_of
from img2mesh.cli.output import print_json, print_table, say
from img2mesh.cli.run import drawn_job, photo_jobs, request_of


@pipeline_options
@click.command(cls=Command)
@click.argument("source", metavar="[INPUT]", required=False)
def plan(source: str | None, mask: Path | None, as_json: bool, **flags: Any) -> None:
    """Per stage: cached, or the one reason why it will run. Runs nothing.

    INPUT is a photo; with --rig, --group, --normals or --photo it is a sheet or a folder of views.
    """
    from img2mesh.jobs.execute import runner_for
    from img2mesh.jobs.job import views_job

    settings, inputs = settings_of(flags), [source] if source else []
    jobs = drawn_job(inputs, mask, flags, settings)
    request = request_of(flags, settings)
    if source is not None:
        views = any(flags[name] for name in ("rig", "group", "normals", "photo"))
        jobs = [call(views_job, flags, Path(source))] if views else photo_jobs(inputs, mask)
    rows: list[dict[str, Any]] = [
        {
            "input": str(job.source),
            "stage": step.stage,
            "cached": step.cached,
            "reason": step.reason.sentence if step.reason else None,
            "key": step.key,
        }
        for job in jobs
        for step in runner_for(request).plan(request.until, job.given)
    ]
    if as_json:
        print_json(rows)
        return
    states = {True: "[cyan]cached[/]", False: "[yellow]runs[/]"}
    print_table(
        ("stage", "", "why", "key"),
        [
            (row["stage"], states[row["cached"]], row["reason"] or "", f"[dim]{row['key'][:12]}[/]")
            for row in rows
        ],
    )


@options("as_json")
@click.command(cls=Command)
@click.option("--mermaid", is_flag=True, help="The DAG as a diagram.")
def stages(mermaid: bool, as_json: bool) -> None:
    """The DAG: stages, their settings, defaults and versions; a photo is given or drawn."""
    from rich.console import Console

    from img2mesh.pages.drawn import DRAWN
    from img2mesh.settings import range_of

    if mermaid:
        say(DRAWN.mermaid())
        return
    described: list[dict[str, Any]] = [
        {
            "stage": stage.name,
            "version": stage.version,
            "inputs": list(stage.inputs),
            "summary": (stage.doc or "").strip().splitlines()[0],
            "settings": {name: setting.default for name, setting in stage.settings.items()},
            "ranges": {
                name: str(between)
                for name in stage.settings
                if (between := range_of(DRAWN, stage.name, name))
            },
        }
        for stage in (DRAWN.stages[name] for name in DRAWN.order)
    ]
    if as_json:
        print_json(described)
        return
    console = Console(highlight=False)
    for entry in described:
        inputs = " + ".join(entry["inputs"])
        console.print(f"[bold]{entry['stage']}[/] [dim]v{entry['version']}[/]  ← {inputs}")
        console.print(f"  {entry['summary']}")
        for name, default in entry["settings"].items():
            between = entry["ranges"].get(name)
            allowed = f"  [dim]({between})[/]" if between else ""
            console.print(f"    {entry['stage']}.{name} = {default!r}{allowed}")
