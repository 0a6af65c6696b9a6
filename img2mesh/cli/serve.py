"""``img2mesh serve``: its flags; nothing heavy is imported before they are read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from img2mesh.cli.flags import Command, Option, options, pipeline_options, settings_of
from img2mesh.cli.run import request_of

OWN = (
    Option("--host", str, "Address to listen on; any but a loopback one lets others in who have "
           "the token.",
           default="127.0.0.1"),
    Option("--allow-host", str, "Another name that browsers may call this server by.",
           metavar="NAME", multiple=True),
    Option("--port", click.IntRange(0, 65535), "0 takes a free one.", default=7860),
    Option("--open/--no-open open_page", bool, "Show the page in a browser.", default=False),
)  # fmt: skip


@pipeline_options
@options(*OWN)
@click.command(cls=Command)
def serve(
    host: str,
    allow_host: tuple[str, ...],
    port: int,
    open_page: bool,
    output_dir: Path,
    as_json: bool,
    verbose: bool,
    **flags: Any,
) -> None:
    """Local web app: drop photos on a page, get meshes; ends with Ctrl-C."""
    from img2mesh.web import server

    server.serve(
        request_of(flags, settings_of(flags)),
        output_dir,
        host=host,
        allow_host=allow_host,
        port=port,
        open_page=open_page,
        as_json=as_json,
        verbose=verbose,
    )
