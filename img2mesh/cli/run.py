"""``img2mesh run`` and ``img2mesh reconstruct``: jobs one after the other, each told as it goes."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from img2mesh.cli.flags import Command, call, pipeline_options, settings_of
from img2mesh.cli.output import print_json, say
from img2mesh.cli.single_file import STDIN, alone, named_file, piped_job, placed, staging

if TYPE_CHECKING:
    from img2mesh.jobs.delivery import Delivered
    from img2mesh.jobs.job import Job
    from img2mesh.jobs.request import Request

#: When the command began; wall times count from here, libraries' loading included.
STARTED = time.perf_counter()


@pipeline_options
@click.command(cls=Command)
@click.argument("inputs", metavar="[INPUT...]", nargs=-1)
def run(inputs: tuple[str, ...], mask: Path | None, **flags: Any) -> None:
    """Photo(s) to mesh: each INPUT (a file, a folder or a glob) gets a folder.

    In it are mesh.glb, preview.png and report.html; `-o chair.glb` writes that file alone, and the
    INPUT `-` is a picture on standard input. With --text the photo is drawn first.
    """
    settings = settings_of(flags)
    drawn = drawn_job(inputs, mask, flags, settings)
    run_jobs(lambda: drawn or photo_jobs(inputs, mask), flags, settings)


@pipeline_options
@click.command(cls=Command)
@click.argument("source", metavar="INPUT", type=click.Path(path_type=Path))
def reconstruct(source: Path, **flags: Any) -> None:
    """Posed views to mesh: enter the pipeline after view generation.

    INPUT is a sheet, a folder with transforms.json or cameras.json, or, with --rig, the folder that
    SyncDreamer, MVDream, Wonder3D or Era3D wrote.
    """
    from img2mesh.errors import InputError
    from img2mesh.jobs.job import views_job

    if str(source) == STDIN:
        raise InputError("`-` is one photo, for `run`: name the sheet or the folder of views")
    # Nothing generates the views that are given: the seed is the fit's alone.
    asked = settings_of(flags).items()
    settings = {k: v for k, v in asked if not k.startswith(("views.", "refined."))}
    run_jobs(lambda: [call(views_job, flags, source)], flags, settings)


def drawn_job(
    inputs: Sequence[str], mask: Path | None, flags: dict[str, Any], settings: dict[str, Any]
) -> list[Job]:
    """The job of ``--text``, if that was given; flags and settings then take its road.

    Raises:
        InputError: ``--text`` with an INPUT, a mask of it, or a model of ``--text`` without it.
        UsageError: neither text nor INPUT.
    """
    from img2mesh.errors import InputError
    from img2mesh.jobs.job import text_job

    if flags["text"] is None:
        if flags["text_model"] is not None:
            raise InputError("--text-model chooses what draws --text, which was not given")
        if not inputs:
            raise click.UsageError("Missing argument 'INPUT...': a photo, or --text PROMPT.")
        return []
    if inputs or mask:
        raise InputError("--text draws the photo itself: leave out INPUT and --mask")
    job = text_job(flags["text"])
    flags["route"] = "text"
    own = {"model": flags["text_model"], "seed": flags["seed"]}
    settings |= {f"photo.{name}": value for name, value in own.items()}
    for flag, stage in (("refiner", "refined"), ("texture_refiner", "asset")):
        if flags[flag] is not None:
            settings[f"{stage}.refiner_prompt"] = job.text
    return [job]


def photo_jobs(inputs: Sequence[str], mask: Path | None) -> list[Job]:
    """One job a picture; ``-`` is standard input.

    Raises:
        InputError: nothing to do, or one mask for several pictures.
    """
    from img2mesh.errors import InputError
    from img2mesh.io.listing import list_photos
    from img2mesh.jobs.job import photo_job, refused_job

    piped = [piped_job(mask)] if STDIN in inputs else []
    paths = list_photos(name for name in inputs if name != STDIN)
    several = len(piped) + len(paths) > 1
    if mask is not None and several:
        raise InputError(f"--mask fits one picture, but {len(piped) + len(paths)} were given")

    def job_of(path: Path) -> Job:
        try:
            return photo_job(path, mask=mask)
        except InputError as error:
            if not several:
                raise
            return refused_job(path, error)

    return [*piped, *map(job_of, paths)]


def request_of(flags: Mapping[str, Any], settings: Mapping[str, Any]) -> Request:
    """What the flags ask for.

    Raises:
        InputError: anything the pipeline does not know.
    """
    from img2mesh.jobs.request import request_from

    return call(request_from, flags, overrides=settings)


def run_jobs(
    given: Callable[[], Sequence[Job]], flags: Mapping[str, Any], settings: Mapping[str, Any]
) -> None:
    """Run each job, write its folder, say where; a failed one does not stop the others.

    Args:
        given: reads the inputs, which may take minutes: asked once nothing else can be wrong.
        flags: of the command line.
        settings: what they set.

    Raises:
        Img2MeshError: the only job failed.
        SystemExit: some of several failed; the code of the worst.
    """
    from rich.console import Console

    from img2mesh.cli.progress import StageProgress
    from img2mesh.errors import Img2MeshError
    from img2mesh.jobs.claims import claimed, require_writable
    from img2mesh.jobs.early import require_possible, require_writers
    from img2mesh.jobs.execute import execute
    from img2mesh.jobs.request import output_options

    request, options = request_of(flags, settings), call(output_options, flags)
    reports: list[dict[str, Any]] = []
    file = named_file(flags["output_dir"])
    require_possible(request)
    require_writers(options, request)
    require_writable(flags["output_dir"] if file is None else file.parent)
    jobs = given()
    if file is not None:
        request, options = alone(file, len(jobs), request, options)
    worst, began = 0, STARTED  # the first job's time holds what was loaded for it
    for job in jobs:
        progress = StageProgress(Console(stderr=True), quiet=flags["quiet"])
        try:
            with progress, ExitStack() as stack:
                root = flags["output_dir"] if file is None else stack.enter_context(staging(file))
                claim = claimed(root, job, request, options)
                folder, renamed = stack.enter_context(claim)
                progress.begin(job.source, renamed)
                stack.enter_context(redirect_stdout(sys.stderr))  # what libraries print
                done = execute(job, request, options, folder, progress, began=began)
                if file is not None:
                    done = placed(done, file)
                progress.conclude(done.report)
        except Img2MeshError as error:
            if len(jobs) == 1:
                raise
            worst = max(worst, error.exit_code)
            reports.append({"input": str(job.source), "error": str(error)})
            sys.stderr.write(f"img2mesh: {job.source}: {error}\n")
            if flags["verbose"]:
                import traceback

                traceback.print_exc()
        except KeyboardInterrupt:
            lost = "nothing is kept without a cache"
            on = "nothing is lost, the same command goes on from here"
            sys.stderr.write(f"img2mesh: interrupted; {lost if flags['no_cache'] else on}\n")
            sys.exit(128 + (progress.ended_by or 2))
        else:
            files = {name: str(path) for name, path in done.files.items()}
            reports.append(done.report | {"files": files})
            if not flags["as_json"]:
                _tell(done)
        began = time.perf_counter()
    if flags["as_json"]:
        print_json(reports[0] if len(jobs) == 1 else {"results": reports})
    if worst:
        sys.exit(worst)


def _tell(done: Delivered) -> None:
    """The result on stdout: paths a script can read, most wanted first."""
    names = {
        "mesh": "mesh", **{f"mesh_lod{k}": f"lod {k}" for k in range(1, 9)},
        "obj": "obj", "ply": "ply", "stl": "stl", "3mf": "3mf", "usdz": "usdz",
        "gltf": "gltf",
        "mesh_collision": "collision", "mesh_meshopt": "meshopt", "archive": "zip",
        "preview": "preview", "parts": "parts", "turntable": "turntable", "page": "report",
    }  # fmt: skip
    shown = [name for name in names if name in done.files] or ["report"]
    for name in shown:
        say(f"{names.get(name, name):<10}{done.files[name]}")
    say(f"{'wall time':<10}{done.report['seconds_this_run']:.1f} s")
    sys.stdout.flush()
