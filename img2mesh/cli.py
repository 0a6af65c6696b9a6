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
cache_app = typer.Typer(help="Look into, check and trim the stage cache.", no_args_is_help=True)
app.add_typer(cache_app, name="cache")

INPUT, OUTPUT, RECIPE, RUNNING = "Input", "Output", "Recipe", "Running"

OutputDir = Annotated[
    Path, typer.Option("--output-dir", "-o", help="Where each input gets its own folder.")
]
Preset = Annotated[str, typer.Option(help="A file in configs/: draft, default, high, game.")]
Config = Annotated[Path | None, typer.Option(help="A TOML file with one table a stage.")]
Assignments = Annotated[
    list[str] | None, typer.Option("--set", metavar="STAGE.SETTING=VALUE", help="Any setting.")
]
Seed = Annotated[int | None, typer.Option(help="Seed of everything random.  [default: 42]")]
McResolution = Annotated[
    int | None, typer.Option(help="Marching-cubes grid along the longest side; 0: the field's.")
]
TargetFaces = Annotated[int | None, typer.Option(help="Triangles of the final mesh.")]
TextureResolution = Annotated[int | None, typer.Option(help="Side of the texture in pixels.")]
Formats = Annotated[
    str, typer.Option("--format", help="Comma-separated: glb, obj, ply, stl, usdz (glb always).")
]
Turntable = Annotated[bool, typer.Option(help="Also write turntable.webp.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps: where, never what.")]
Frame = Annotated[
    str | None, typer.Option(help="asset (+y up, sized and placed) or world (the cameras' own).")
]
Pivot = Annotated[str | None, typer.Option(help="base or centre.")]
Scale = Annotated[float | None, typer.Option(help="Largest extent in metres.")]
Until = Annotated[str, typer.Option(help="Stop after this stage.")]
From = Annotated[str | None, typer.Option("--from", help="Run this stage and all after it again.")]
Force = Annotated[
    str | None, typer.Option(metavar="[STAGE]", help="Run a stage again; without a name, all.")
]
CacheDir = Annotated[Path | None, typer.Option(help="Stage cache.  [default: $IMG2MESH_CACHE]")]
NoCache = Annotated[bool, typer.Option("--no-cache", help="Keep nothing between runs.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Only results and errors.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Tracebacks and details.")]
Inputs = Annotated[list[str], typer.Argument(metavar="INPUT...", help="Files, folders, globs.")]
Mask = Annotated[Path | None, typer.Option(help="A picture of the object's mask.")]
Generator = Annotated[
    str | None,
    typer.Option(help="geometric (the default: a weight-free prior) or a learned model's name."),
]
NoRemoveBg = Annotated[
    bool, typer.Option("--no-remove-bg", "--no-rembg", help="Take the picture as it is.")
]
ForegroundRatio = Annotated[
    float | None, typer.Option(help="Object's longest side as a share of the frame, 0.85.")
]


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
    seed: Seed = None,
    mc_resolution: McResolution = None,
    target_faces: TargetFaces = None,
    texture_resolution: TextureResolution = None,
    formats: Formats = "glb",
    turntable: Turntable = False,
    frame: Frame = None,
    pivot: Pivot = None,
    scale: Scale = None,
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
    """Photo(s) to mesh: each input gets a folder with mesh.glb, preview.png and report.html."""
    from img2mesh import commands

    request = commands.request_from(
        preset=preset,
        config=config,
        assignments=assignments,
        overrides={
            "cutout.foreground_ratio": foreground_ratio,
            "cutout.remove_background": False if no_remove_bg else None,
            "views.generator": generator,
            "views.seed": seed,
            "radiance.seed": seed,
            "surface.resolution": mc_resolution,
            "surface.target_faces": target_faces,
            "asset.texture_resolution": texture_resolution,
            "asset.frame": frame,
            "asset.pivot": pivot,
            "asset.scale": scale,
        },
        device=device,
        until=until,
        first=first,
        force=force,
        cache_dir=cache_dir,
        no_cache=no_cache,
    )
    commands.run_jobs(
        commands.photo_jobs(inputs, mask),
        request,
        commands.wanted(formats, turntable),
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
    preset: Preset = "default",
    config: Config = None,
    assignments: Assignments = None,
    seed: Seed = None,
    mc_resolution: McResolution = None,
    target_faces: TargetFaces = None,
    texture_resolution: TextureResolution = None,
    formats: Formats = "glb",
    turntable: Turntable = False,
    frame: Frame = None,
    pivot: Pivot = None,
    scale: Scale = None,
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
    from img2mesh import commands, job

    request = commands.request_from(
        preset=preset,
        config=config,
        assignments=assignments,
        overrides={
            "radiance.seed": seed,
            "surface.resolution": mc_resolution,
            "surface.target_faces": target_faces,
            "asset.texture_resolution": texture_resolution,
            "asset.frame": frame,
            "asset.pivot": pivot,
            "asset.scale": scale,
        },
        device=device,
        until=until,
        first=first,
        force=force,
        cache_dir=cache_dir,
        no_cache=no_cache,
    )
    commands.run_jobs(
        [job.views_job(source, rig=rig, group=group, normals=normals)],
        request,
        commands.wanted(formats, turntable),
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
    from img2mesh import commands

    request = commands.request_from(
        preset=preset,
        config=config,
        assignments=assignments,
        overrides={"views.generator": generator},
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


@cache_app.command("list")
def cache_list(cache_dir: CacheDir = None, as_json: AsJson = False) -> None:
    """Every entry: stage, key, size, last use."""
    from img2mesh import commands

    commands.cache_list(cache_dir, as_json=as_json)


@cache_app.command("show")
def cache_show(key: str, cache_dir: CacheDir = None) -> None:
    """One entry's manifest, by the beginning of its key."""
    from img2mesh import commands

    commands.cache_show(cache_dir, key)


@cache_app.command("verify")
def cache_verify(cache_dir: CacheDir = None, as_json: AsJson = False) -> None:
    """Check every byte; damaged entries go to quarantine and are made again when needed."""
    from img2mesh import commands

    commands.cache_verify(cache_dir, as_json=as_json)


@cache_app.command("trim")
def cache_trim(
    keep: Annotated[str, typer.Option(help="How much to keep: 500MB, 20GB; 0 empties it.")],
    cache_dir: CacheDir = None,
) -> None:
    """Delete the entries used longest ago until the rest fits."""
    from img2mesh import commands

    commands.cache_trim(cache_dir, keep)


def main(arguments: list[str] | None = None) -> None:
    """Entry point: exit codes 0 done, 1 a stage failed, 2 bad usage or input, 130 interrupted."""
    given = sys.argv[1:] if arguments is None else arguments
    if given[:1] == ["--version"]:
        import importlib.metadata

        sys.stdout.write(f"img2mesh {importlib.metadata.version('img2mesh')}\n")
        return
    from img2mesh.errors import Img2MeshError

    # Idle OpenMP threads that spin slow a busy machine down by up to 13 times (measured with two
    # torch threads on two loaded cores); must be set before torch is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("GOMP_SPINCOUNT", "0")

    verbose = "-v" in given or "--verbose" in given
    try:
        app(args=_normalised(given), standalone_mode=True)
    except KeyboardInterrupt:
        _complain("interrupted; nothing is lost: the same command goes on from here")
        sys.exit(130)
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
    "cutout", "views", "depths", "refined", "radiance", "surface", "asset", "quality",
)  # fmt: skip


if __name__ == "__main__":
    main()
