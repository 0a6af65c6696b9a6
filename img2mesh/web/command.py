"""``img2mesh serve``: its flags; nothing heavy is imported before they are read."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from img2mesh.flags import (
    AsJson,
    Assignments,
    CacheDir,
    Config,
    Device,
    Generator,
    OutputDir,
    Preset,
    Verbose,
    settings_of,
)

Host = Annotated[
    str, typer.Option(help="Address to listen on; any but a loopback one lets others in.")
]
Port = Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")]
Open = Annotated[bool, typer.Option("--open/--no-open", help="Show the page in a browser.")]


def serve(
    host: Host = "127.0.0.1",
    port: Port = 7860,
    output_dir: OutputDir = Path("outputs"),
    preset: Preset = "default",
    config: Config = None,
    assignments: Assignments = None,
    generator: Generator = None,
    device: Device = "auto",
    cache_dir: CacheDir = None,
    open_page: Open = False,
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Local web app: drop photos on a page, get meshes; ends with Ctrl-C."""
    settings = settings_of(locals())
    from img2mesh import commands
    from img2mesh.web import server

    request = commands.request_from(
        preset=preset,
        config=config,
        assignments=assignments,
        overrides=settings,
        device=device,
        cache_dir=cache_dir,
    )
    server.serve(
        request,
        output_dir,
        host=host,
        port=port,
        open_page=open_page,
        as_json=as_json,
        verbose=verbose,
    )
