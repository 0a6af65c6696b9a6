"""``img2mesh batch``: its flags; nothing heavy is imported before they are read."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

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
    ForegroundRatio,
    Formats,
    Generator,
    GuidanceScale,
    LodRatio,
    Lods,
    LowVram,
    McResolution,
    NoCache,
    NoRemoveBg,
    NormalMap,
    Offline,
    OrmMap,
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

OutputDir = Annotated[
    Path,
    typer.Option("--output-dir", "-o", metavar="DIR", help="The batch's folder: new or its own."),
]
Inputs = Annotated[
    list[str] | None, typer.Argument(metavar="[INPUT...]", help="Files, folders, globs.")
]
Manifest = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="CSV or JSONL of inputs: path, mask, name, preset, settings such as "
        "radiance.grid. Paths are relative to the file.",
    ),
]
Jobs = Annotated[
    int | None,
    typer.Option("--jobs", "-j", min=1, help="Workers.  [default: as cores and memory allow]"),
]
Ray = Annotated[
    str | None,
    typer.Option(metavar="ADDRESS|auto", help="Use a Ray cluster: HOST:PORT of its head, or auto."),
]
GpusPerWorker = Annotated[
    float | None,
    typer.Option(min=0.0, help="With --ray: GPUs, or a part of one, a worker.  [default: 0]"),
]
Threads = Annotated[
    int,
    typer.Option("--threads-per-worker", min=1, help="Cores a worker computes on."),
]
WorkerMemory = Annotated[
    str | None,
    typer.Option(
        metavar="SIZE",
        help="What a worker may need, such as 4GB: decides how many there are, and one that "
        "holds more is replaced.",
    ),
]
Timeout = Annotated[
    float | None, typer.Option(min=0.01, help="Seconds an attempt may take.  [default: no limit]")
]
Retries = Annotated[int, typer.Option(min=0, help="Further attempts after a failure.")]
Backoff = Annotated[
    float, typer.Option(min=0.0, help="Seconds before the second attempt; doubles with each.")
]
Resume = Annotated[bool, typer.Option("--resume", help="Do only what is missing or failed.")]
Events = Annotated[
    str | None, typer.Option(metavar="FILE|-", help="Append events as JSON lines; - is stdout.")
]


def batch(
    output_dir: OutputDir,
    inputs: Inputs = None,
    manifest: Manifest = None,
    jobs: Jobs = None,
    ray: Ray = None,
    gpus_per_worker: GpusPerWorker = None,
    threads_per_worker: Threads = 1,
    worker_memory: WorkerMemory = None,
    timeout: Timeout = None,
    retries: Retries = 2,
    backoff: Backoff = 2.0,
    resume: Resume = False,
    preset: Preset = "default",
    config: Config = None,
    assignments: Assignments = None,
    generator: Generator = None,
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
    cache_dir: CacheDir = None,
    no_cache: NoCache = False,
    events: Events = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Many photos to meshes: resumable, one failure never stops the rest.

    Each input gets a folder as `run` makes it; batch.jsonl has a line for each, index.html shows
    all. Exit codes: 0 all done, 3 some failed or were set aside, 2 bad usage, 1 it could not go
    on, 130 interrupted.
    """
    settings = settings_of(locals())
    from img2mesh import commands
    from img2mesh.batch import planning
    from img2mesh.batch.run import Output, run_batch
    from img2mesh.batch.scheduler import Policy
    from img2mesh.jobs.request import output_options

    plan = planning.plan_photos(
        planning.entries_from(inputs or [], manifest),
        preset=preset,
        config=config,
        assignments=assignments or [],
        overrides=settings,
        options=output_options(formats, turntable, texture_format, compress, archive),
        device=device,
        low_vram=low_vram,
        offline=offline,
        commercial_only=commercial_only,
        until=until,
        cache_dir=cache_dir,
        no_cache=no_cache,
        quiet=quiet,
    )
    memory = commands.bytes_of(worker_memory, "--worker-memory") if worker_memory else None
    workers = planning.Workers(
        jobs, threads_per_worker, memory, ray, gpus_per_worker, device, learned=plan.learned
    )
    code = run_batch(
        plan,
        output_dir,
        workers.executor,
        Policy(retries, backoff, timeout, memory),
        Output(as_json, quiet, events),
        resume=resume,
    )
    if code:
        raise typer.Exit(code)
