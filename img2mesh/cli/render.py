"""``img2mesh render``: training renders of meshes in the field's own layouts."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from img2mesh.cli.flags import Command, Option, call, options
from img2mesh.cli.output import print_json, say

#: Side of the pictures of a layout, as the published data has it.
SIZES = {"zero123": 512, "zero123plus": 320}


@options(
    Option("--layout", click.Choice(["zero123", "zero123plus"]), "Whose cameras, light and file "
           "names.", required=True, metavar="zero123|zero123plus"),
    Option("--out -o", Path, "The data set; a second run draws what is missing.", required=True,
           metavar="DIR"),
    Option("--image-size", click.IntRange(16, 4096), "Side in pixels.  [default: 512 for zero123, "
           "320 for zero123plus]"),
    Option("--views", click.IntRange(1, 999), "Random views an object (zero123).", default=12),
    Option("--rig", str, "Cameras of the six views (zero123plus).", metavar="NAME",
           default="zero123plus-v1.1"),
    Option("--hdri", Path, "Light probes (.hdr); without, environments are drawn at random.",
           metavar="DIR"),
    Option("--samples", click.IntRange(1, 8), "Rays along the side of a pixel.", default=2),
    Option("--jobs -j", click.IntRange(1), "Workers.  [default: as cores and memory allow]"),
    Option("--ray", str, "Use a Ray cluster: HOST:PORT of its head, or auto.",
           metavar="ADDRESS|auto"),
    Option("--shards", click.IntRange(1), "Objects a tar file, for data sets too large for "
           "folders."),
    Option("--timeout", click.FloatRange(0.01), "Seconds a mesh may take.", default=600.0),
    Option("--seed", int, "Decides every chance, with the mesh's path.", default=0),
    "as_json",
)  # fmt: skip
@click.command(cls=Command)
@click.argument("meshes", metavar="MESHES...", nargs=-1, required=True,
                type=click.Path(path_type=Path))  # fmt: skip
def render(
    meshes: tuple[Path, ...], layout: str, image_size: int | None, as_json: bool, **flags: Any
) -> None:
    """Training renders of the meshes in folders, for Zero-1-to-3 or Zero123++.

    A mesh that cannot be drawn is left out and named in manifest.csv, which also has the licences.
    Exit codes: 0 all drawn, 3 some were left out.
    """
    from img2mesh.batch.renders import render_meshes
    from img2mesh.training.renders import Recipe

    hdri = None if flags["hdri"] is None else str(flags["hdri"].absolute())
    recipe = Recipe(
        layout,
        image_size or SIZES[layout],
        flags["views"],
        flags["rig"],
        hdri,
        flags["samples"],
        flags["seed"],
    )
    found = call(
        render_meshes, {**flags, "meshes": list(meshes)}, recipe=recipe,
        note=lambda line: click.echo(line, err=True),
    )  # fmt: skip
    if as_json:
        print_json(found)
    else:
        say(f"{found['drawn']} drawn, {found['there']} there, {found['failed']} left out")
    if found["failed"]:
        sys.exit(3)
