"""The command line: one thin function a command; each opens its own door when it is called.

Nothing heavy is imported here, so that ``--help`` answers at once. Results go to stdout, everything
said on the way to stderr.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from img2mesh.batch.command import batch
from img2mesh.core.runtime import STEADY
from img2mesh.flags import (
    AsJson,
    Assignments,
    CacheDir,
    Collision,
    CollisionHulls,
    CollisionVertices,
    CommercialOnly,
    Compress,
    Config,
    Delight,
    Device,
    Force,
    ForegroundRatio,
    Formats,
    Frame,
    From,
    Generator,
    GuidanceScale,
    Inputs,
    LodRatio,
    Lods,
    LowVram,
    Mask,
    McResolution,
    NoCache,
    NoRemoveBg,
    NormalMap,
    Offline,
    OrmMap,
    OutputDir,
    Photo,
    Pivot,
    Preset,
    Quiet,
    Remesh,
    Scale,
    Seed,
    Steps,
    TargetFaces,
    TextureFormat,
    TextureResolution,
    Turntable,
    Until,
    Verbose,
    Zip,
    settings_of,
)
from img2mesh.housekeeping import cache_app, models_app
from img2mesh.measuring import eval_app
from img2mesh.web.command import serve

#: When the command began; wall times count from here, libraries' loading included.
STARTED = time.perf_counter()

app = typer.Typer(
    name="img2mesh",
    help="One photo in, a clean, textured, engine-ready mesh out.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.add_typer(cache_app, name="cache")
app.add_typer(models_app, name="models")
app.add_typer(eval_app, name="eval")
app.command()(batch)
app.command()(serve)


@app.command()
def run(
    inputs: Inputs,
    output_dir: OutputDir = Path("outputs"),
    preset: Preset = "default",
    config: Config = None,
    assignments: Assignments = None,
    generator: Generator = None,
    mask: Mask = None,
    no_remove_bg: NoRemoveBg = False,
    foreground_ratio: ForegroundRatio = None,
    steps: Steps = None,
    guidance_scale: GuidanceScale = None,
    seed: Seed = None,
    mc_resolution: McResolution = None,
    target_faces: TargetFaces = None,
    remesh: Remesh = None,
    texture_resolution: TextureResolution = None,
    delight: Delight = False,
    formats: Formats = "glb",
    turntable: Turntable = False,
    frame: Frame = None,
    pivot: Pivot = None,
    scale: Scale = None,
    lods: Lods = None,
    lod_ratio: LodRatio = None,
    normal_map: NormalMap = None,
    orm_map: OrmMap = None,
    collision: Collision = None,
    collision_hulls: CollisionHulls = None,
    collision_vertices: CollisionVertices = None,
    texture_format: TextureFormat = "png",
    compress: Compress = None,
    archive: Zip = False,
    device: Device = "auto",
    low_vram: LowVram = False,
    offline: Offline = False,
    commercial_only: CommercialOnly = False,
    until: Until = "quality",
    first: From = None,
    force: Force = None,
    cache_dir: CacheDir = None,
    no_cache: NoCache = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Photo(s) to mesh: each input gets a folder with mesh.glb, preview.png and report.html."""
    settings = settings_of(locals())
    from img2mesh import commands

    request = commands.request_from(
        preset=preset,
        config=config,
        assignments=assignments,
        overrides=settings,
        device=device,
        low_vram=low_vram,
        offline=offline,
        commercial_only=commercial_only,
        until=until,
        first=first,
        force=force,
        cache_dir=cache_dir,
        no_cache=no_cache,
    )
    commands.run_jobs(
        commands.photo_jobs(inputs, mask),
        request,
        commands.wanted(formats, turntable, texture_format, compress, archive),
        output_dir,
        as_json=as_json,
        quiet=quiet,
        verbose=verbose,
        started=STARTED,
    )


@app.command()
def reconstruct(
    source: Annotated[Path, typer.Argument(metavar="INPUT", help="A 3x2 sheet or a folder.")],
    output_dir: OutputDir = Path("outputs"),
    rig: Annotated[
        str | None,
        typer.Option(help="Cameras of a sheet: zero123plus-v1.1 or zero123plus-v1.2."),
    ] = None,
    group: Annotated[
        str | None, typer.Option(help="Which list of cameras.json, such as views_v12.")
    ] = None,
    normals: Annotated[
        Path | None, typer.Option(help="A sheet of camera-space normals of the same views.")
    ] = None,
    photo: Photo = None,
    preset: Preset = "default",
    config: Config = None,
    assignments: Assignments = None,
    seed: Seed = None,
    mc_resolution: McResolution = None,
    target_faces: TargetFaces = None,
    remesh: Remesh = None,
    texture_resolution: TextureResolution = None,
    delight: Delight = False,
    formats: Formats = "glb",
    turntable: Turntable = False,
    frame: Frame = None,
    pivot: Pivot = None,
    scale: Scale = None,
    lods: Lods = None,
    lod_ratio: LodRatio = None,
    normal_map: NormalMap = None,
    orm_map: OrmMap = None,
    collision: Collision = None,
    collision_hulls: CollisionHulls = None,
    collision_vertices: CollisionVertices = None,
    texture_format: TextureFormat = "png",
    compress: Compress = None,
    archive: Zip = False,
    device: Device = "auto",
    until: Until = "quality",
    first: From = None,
    force: Force = None,
    cache_dir: CacheDir = None,
    no_cache: NoCache = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Posed views to mesh: enter the pipeline after view generation."""
    asked = settings_of(locals())
    # Nothing generates the views that are given: the seed is the fit's alone.
    settings = {k: v for k, v in asked.items() if not k.startswith(("views.", "refined."))}
    from img2mesh import commands, job

    request = commands.request_from(
        preset=preset,
        config=config,
        assignments=assignments,
        overrides=settings,
        device=device,
        until=until,
        first=first,
        force=force,
        cache_dir=cache_dir,
        no_cache=no_cache,
    )
    commands.run_jobs(
        [job.views_job(source, rig=rig, group=group, normals=normals, photo=photo)],
        request,
        commands.wanted(formats, turntable, texture_format, compress, archive),
        output_dir,
        as_json=as_json,
        quiet=quiet,
        verbose=verbose,
        started=STARTED,
    )


@app.command()
def plan(
    source: Annotated[str, typer.Argument(metavar="INPUT")],
    preset: Preset = "default",
    config: Config = None,
    assignments: Assignments = None,
    generator: Generator = None,
    mask: Mask = None,
    rig: Annotated[str | None, typer.Option(help="INPUT is a sheet drawn on this rig.")] = None,
    group: Annotated[str | None, typer.Option(help="INPUT is a folder of posed views.")] = None,
    until: Until = "quality",
    first: From = None,
    force: Force = None,
    cache_dir: CacheDir = None,
    as_json: AsJson = False,
) -> None:
    """Per stage: cached, or the one reason why it will run. Runs nothing."""
    settings = settings_of(locals())
    from img2mesh import commands

    request = commands.request_from(
        preset=preset,
        config=config,
        assignments=assignments,
        overrides=settings,
        until=until,
        first=first,
        force=force,
        cache_dir=cache_dir,
    )
    commands.show_plan(source, request, mask=mask, rig=rig, group=group, as_json=as_json)


@app.command()
def stages(
    mermaid: Annotated[bool, typer.Option("--mermaid", help="The DAG as a diagram.")] = False,
    as_json: AsJson = False,
) -> None:
    """The DAG: stages, their settings, defaults and versions."""
    from img2mesh import commands

    commands.show_stages(mermaid=mermaid, as_json=as_json)


@app.command()
def doctor(as_json: AsJson = False) -> None:
    """What works on this machine, and what to do about what does not."""
    from img2mesh import doctor as door

    if not door.show(door.examine(), as_json=as_json):
        raise typer.Exit(1)


def main(arguments: list[str] | None = None) -> None:
    """Entry point: exit codes 0 done, 1 a stage failed, 2 bad usage or input, 130 interrupted."""
    given = sys.argv[1:] if arguments is None else arguments
    if given[:1] == ["--version"]:
        import importlib.metadata

        sys.stdout.write(f"img2mesh {importlib.metadata.version('img2mesh')}\n")
        return
    from img2mesh.errors import Img2MeshError

    for name, value in STEADY.items():
        os.environ.setdefault(name, value)

    verbose = "-v" in given or "--verbose" in given
    try:
        app(args=_normalised(given), standalone_mode=True)
    except Img2MeshError as error:
        if verbose:
            raise
        if "--json" in given:
            sys.stdout.write(json.dumps({"error": str(error), "exit_code": error.exit_code}) + "\n")
        _complain(str(error))
        sys.exit(error.exit_code)


def _complain(sentence: str) -> None:
    sys.stderr.write(f"img2mesh: {sentence}\n")


def _normalised(given: list[str]) -> list[str]:
    """Accept ``--output_dir`` for ``--output-dir``, and ``--force`` with or without a stage."""
    out: list[Any] = []
    rest = iter(range(len(given)))
    for index in rest:
        argument = given[index]
        if argument == "--":
            return out + given[index:]
        if argument.startswith("--"):
            name, equals, value = argument.partition("=")
            argument = name.replace("_", "-") + equals + value
        if argument == "--force":
            following = given[index + 1] if index + 1 < len(given) else ""
            if following in _STAGE_NAMES:
                next(rest)
                argument = f"--force={following}"
            else:
                argument = "--force=all"
        out.append(argument)
    return out


# Only to tell `--force views photo.png` from `--force photo.png`; a test holds it to the pipeline.
_STAGE_NAMES = (
    "cutout", "views", "depths", "refined", "posed", "radiance", "surface", "asset", "engine",
    "quality",
)  # fmt: skip
