"""``img2mesh batch``: its flags; nothing heavy is imported before they are read."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from img2mesh.cli.cache import bytes_of
from img2mesh.cli.flags import (
    Command,
    Option,
    call,
    chosen,
    options,
    pipeline_options,
    settings_of,
)
from img2mesh.cli.single_file import named_file

OWN = (
    Option("--output-dir -o", Path, "The batch's folder: new or its own.", metavar="DIR",
           required=True),
    Option("--manifest", Path, "CSV or JSONL of inputs: path, mask, name, preset, settings such as "
           "radiance.grid. Paths are relative to the file."),
    Option("--jobs -j", click.IntRange(1), "Workers.  [default: as cores and memory allow]"),
    Option("--ray", str, "Use a Ray cluster: HOST:PORT of its head, or auto.",
           metavar="ADDRESS|auto"),
    Option("--gpus-per-worker", click.FloatRange(0), "With --ray: GPUs, or a part of one, a worker."
           "  [default: 0]"),
    Option("--threads-per-worker", click.IntRange(1), "Cores a worker computes on.", default=1),
    Option("--worker-memory", str, "What a worker may need, such as 4GB: decides how many there "
           "are, and one that holds more is replaced.", metavar="SIZE"),
    Option("--timeout", click.FloatRange(0.01), "Seconds an attempt may take.  [default: no "
           "limit]"),
    Option("--retries", click.IntRange(0), "Further attempts after a failure.", default=2),
    Option("--backoff", click.FloatRange(0), "Seconds before the second attempt; doubles with "
           "each.", default=2.0),
    Option("--resume", bool, "Do only what is missing or failed.", default=False),
    Option("--events", str, "Append events as JSON lines; - is stdout.", metavar="FILE|-"),
)  # fmt: skip


@pipeline_options
@options(*OWN)
@click.command(cls=Command)
@click.argument("inputs", metavar="[INPUT...]", nargs=-1)
def batch(
    inputs: tuple[str, ...],
    manifest: Path | None,
    output_dir: Path,
    worker_memory: str | None,
    resume: bool,
    **flags: Any,
) -> None:
    """Many photos to meshes: resumable, one failure never stops the rest.

    Each INPUT (files, folders, globs) gets a folder as `run` makes it; batch.jsonl has a line for
    each, index.html shows all. Exit codes: 0 all done, 3 some failed or were set aside, 2 bad
    usage, 1 it could not go on, 130 interrupted.
    """
    from img2mesh.batch import planning
    from img2mesh.batch.run import Output, run_batch
    from img2mesh.batch.scheduler import Policy
    from img2mesh.core.devices import require_device
    from img2mesh.errors import InputError
    from img2mesh.jobs.claims import require_writable
    from img2mesh.jobs.request import output_options, request_from

    if named_file(output_dir) is not None:
        raise InputError(f"-o {output_dir}: a batch makes a folder for each photo; name a folder")
    require_writable(output_dir)
    if flags["ray"] is None:  # else the workers' machines have it, or have not
        require_device(flags["device"])
    plan = planning.plan_photos(
        planning.entries_from(inputs, manifest),
        overrides=settings_of(flags),
        options=call(output_options, flags),
        quiet=flags["quiet"],
        **chosen(request_from, flags),
    )
    memory = bytes_of(worker_memory, "--worker-memory") if worker_memory else None
    workers = planning.Workers(
        flags["jobs"],
        flags["threads_per_worker"],
        memory,
        flags["ray"],
        flags["gpus_per_worker"],
        flags["device"],
        learned=plan.learned,
    )
    code = run_batch(
        plan,
        output_dir,
        workers.executor,
        call(Policy, flags, worker_memory=memory),
        call(Output, flags),
        resume=resume,
    )
    if code:
        sys.exit(code)
