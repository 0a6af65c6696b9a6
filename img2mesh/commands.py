"""What the commands do once their flags are read."""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
import traceback
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from img2mesh import delivery, job, multiview, packing, settings
from img2mesh.errors import Img2MeshError, InputError
from img2mesh.graph import Store
from img2mesh.pipeline import PIPELINE
from img2mesh.progress import StageProgress


def request_from(
    *,
    preset: str = "default",
    config: Path | None = None,
    assignments: Sequence[str] | None = None,
    overrides: Mapping[str, Any] | None = None,
    device: str = "auto",
    low_vram: bool = False,
    offline: bool = False,
    commercial_only: bool = False,
    until: str = job.LAST_STAGE,
    first: str | None = None,
    force: str | None = None,
    cache_dir: Path | None = None,
    no_cache: bool = False,
) -> job.Request:
    """Flags to a request; ``overrides`` maps ``stage.setting`` to a value or None (not given).

    Raises:
        InputError: anything the pipeline does not know.
    """
    flags: settings.Settings = {}
    for target, value in (overrides or {}).items():
        if value is not None:
            stage, _, name = target.partition(".")
            flags.setdefault(stage, {})[name] = value
    layers = [settings.load_preset(preset)]
    if config is not None:
        layers.append(settings.load_config(config))
    forced: frozenset[str] = frozenset()
    if force is not None:
        forced = frozenset(PIPELINE.order if force == "all" else [job.known_stage(force)])
    if first is not None:
        forced |= job.stages_from(first)
    if device.split(":")[0] not in ("auto", "cpu", "cuda", "mps"):
        raise InputError(f"unknown device {device!r}; use auto, cpu, cuda, cuda:N or mps")
    resolved = settings.resolve(PIPELINE, *layers, flags, assignments=assignments or ())
    generator = resolved.get("views", {}).get("generator", "geometric")
    if commercial_only:
        multiview.require_commercial(generator)
    if offline:
        # A run downloads nothing anyway; this holds third-party libraries to it too.
        os.environ["HF_HUB_OFFLINE"] = os.environ["TRANSFORMERS_OFFLINE"] = "1"
    return job.Request(
        settings=resolved,
        preset=preset,
        device=device,
        low_memory=low_vram,
        until=job.known_stage(until),
        force=forced,
        cache_dir=None if no_cache else (cache_dir or job.default_cache_dir()),
    )


def wanted(
    formats: str,
    turntable: bool,
    texture_format: str = "png",
    compress: str | None = None,
    archive: bool = False,
) -> packing.Wanted:
    """The flags that choose files, checked.

    Raises:
        InputError: a mesh format, texture format or compression there is not.
    """
    names = [name.strip().lower().lstrip(".") for name in formats.split(",") if name.strip()]
    texture = texture_format.lower().replace("jpg", "jpeg")
    return packing.Wanted(
        tuple(dict.fromkeys(["glb", *names])), turntable, texture, compress, archive
    )


def photo_jobs(inputs: Sequence[str], mask: Path | None) -> list[job.Job]:
    """One job a picture.

    Raises:
        InputError: nothing to do, or one mask for several pictures.
    """
    paths = job.photo_paths(inputs)
    if mask is not None and len(paths) > 1:
        raise InputError(f"--mask fits one picture, but {len(paths)} were given")
    return [job.photo_job(path, mask=mask) for path in paths]


def run_jobs(
    jobs: Sequence[job.Job],
    request: job.Request,
    files: packing.Wanted,
    output_dir: Path,
    *,
    as_json: bool = False,
    quiet: bool = False,
    verbose: bool = False,
    started: float | None = None,
) -> None:
    """Run each job, write its folder, say where; a failed one does not stop the others.

    ``started`` is when the command began, so that the first job's time holds its loading too.

    Raises:
        Img2MeshError: the only job failed.
        SystemExit: some of several failed; the code of the worst.
    """
    console = Console(stderr=True)
    reports: list[dict[str, Any]] = []
    worst = 0
    for work in jobs:
        try:
            begun, started = started or time.perf_counter(), None
            done = _run_job(work, request, files, output_dir, console, quiet=quiet, begun=begun)
        except KeyboardInterrupt:
            sys.stderr.write(
                "img2mesh: interrupted; nothing is lost, the same command goes on from here\n"
            )
            sys.exit(130)
        except Img2MeshError as error:
            if len(jobs) == 1:
                raise
            worst = max(worst, error.exit_code)
            reports.append({"input": str(work.source), "error": str(error)})
            sys.stderr.write(f"img2mesh: {work.source}: {error}\n")
            if verbose:
                traceback.print_exc()
            continue
        reports.append(
            done.report | {"files": {name: str(path) for name, path in done.files.items()}}
        )
        if not as_json:
            _tell(done)
    if as_json:
        _print_json(reports[0] if len(jobs) == 1 else {"results": reports})
    if worst:
        sys.exit(worst)


def _run_job(
    work: job.Job,
    request: job.Request,
    files: packing.Wanted,
    output_dir: Path,
    console: Console,
    *,
    quiet: bool,
    begun: float,
) -> delivery.Delivered:
    folder, renamed = delivery.output_folder(output_dir, work)
    with ExitStack() as stack:
        if request.cache_dir is None:
            # Without a cache the stages still hand files to each other, in a folder that goes.
            room = stack.enter_context(tempfile.TemporaryDirectory(prefix="img2mesh-"))
            request = replace(request, cache_dir=Path(room))
        progress = stack.enter_context(StageProgress(console, quiet=quiet))
        progress.say(f"[bold]{escape(str(work.source))}[/]")
        if renamed:
            progress.say(f"[yellow]![/] {escape(renamed)}")
        runner = job.runner_for(request, progress)
        runner.run(request.until, work.given)
        done = delivery.deliver(
            runner, work, request, files, folder, seconds=time.perf_counter() - begun
        )
        if not done.report.get("learned_weights", True):
            progress.say(f"[dim]  views drawn by: {done.report['generator']}, nothing learned[/]")
        for warning in done.report["warnings"]:
            progress.say(f"[yellow]![/] {escape(warning)}")
    return done


def _tell(done: delivery.Delivered) -> None:
    """The result on stdout: paths a script can read, most wanted first."""
    names = {
        "mesh": "mesh", **{f"mesh_lod{k}": f"lod {k}" for k in range(1, 9)},
        "obj": "obj", "ply": "ply", "stl": "stl", "usdz": "usdz",
        "mesh_collision": "collision", "mesh_meshopt": "meshopt", "archive": "zip",
        "preview": "preview", "parts": "parts", "turntable": "turntable", "page": "report",
    }  # fmt: skip
    shown = [name for name in names if name in done.files] or ["report"]
    for name in shown:
        sys.stdout.write(f"{names.get(name, name):<10}{done.files[name]}\n")
    sys.stdout.write(f"{'wall time':<10}{done.report['seconds_this_run']:.1f} s\n")
    sys.stdout.flush()


def _print_json(value: object) -> None:
    sys.stdout.write(json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def show_plan(
    source: str,
    request: job.Request,
    *,
    mask: Path | None,
    rig: str | None,
    group: str | None,
    as_json: bool,
) -> None:
    """Print what would run and why."""
    if rig or group:
        works = [job.views_job(Path(source), rig=rig, group=group)]
    else:
        works = photo_jobs([source], mask)
    rows: list[dict[str, Any]] = [
        {
            "input": str(work.source),
            "stage": step.stage,
            "cached": step.cached,
            "reason": step.reason.sentence if step.reason else None,
            "key": step.key,
        }
        for work in works
        for step in job.runner_for(request).plan(request.until, work.given)
    ]
    if as_json:
        _print_json(rows)
        return
    table = Table("stage", "", "why", "key", box=None, pad_edge=False)
    for row in rows:
        state = "[cyan]cached[/]" if row["cached"] else "[yellow]runs[/]"
        table.add_row(row["stage"], state, row["reason"] or "", f"[dim]{row['key'][:12]}[/]")
    Console().print(table)


def show_stages(*, mermaid: bool, as_json: bool) -> None:
    """Print the DAG."""
    if mermaid:
        sys.stdout.write(PIPELINE.mermaid() + "\n")
        return
    described: list[dict[str, Any]] = [
        {
            "stage": stage.name,
            "version": stage.version,
            "inputs": list(stage.inputs),
            "summary": (stage.doc or "").strip().splitlines()[0],
            "settings": {name: setting.default for name, setting in stage.settings.items()},
        }
        for stage in (PIPELINE.stages[name] for name in PIPELINE.order)
    ]
    if as_json:
        _print_json(described)
        return
    console = Console()
    for entry in described:
        inputs = " + ".join(entry["inputs"])
        console.print(
            f"[bold]{entry['stage']}[/] [dim]v{entry['version']}[/]  ← {inputs}\n"
            f"  {entry['summary']}",
            highlight=False,
        )
        for name, default in entry["settings"].items():
            console.print(f"    {entry['stage']}.{name} = {default!r}", highlight=False)


def _store(cache_dir: Path | None) -> Store:
    return Store(cache_dir or job.default_cache_dir())


def cache_list(cache_dir: Path | None, *, as_json: bool) -> None:
    """Print every entry."""
    entries = _store(cache_dir).entries()
    if as_json:
        _print_json(
            [
                {"stage": e.stage, "key": e.key, "bytes": e.size, "last_used": e.used}
                for e in entries
            ]
        )
        return
    table = Table("stage", "key", "size", "last used", box=None, pad_edge=False)
    for entry in entries:
        used = time.strftime("%Y-%m-%d %H:%M", time.localtime(entry.used))
        table.add_row(entry.stage, entry.key[:12], _megabytes(entry.size), used)
    Console().print(table)
    total = sum(entry.size for entry in entries)
    sys.stdout.write(f"{len(entries)} entries, {_megabytes(total)}\n")


def cache_show(cache_dir: Path | None, key: str) -> None:
    """Print the manifest of the entry whose key begins so."""
    item = _store(cache_dir).show(key)
    _print_json({"folder": str(item.folder), **asdict(item.manifest)})


def cache_verify(cache_dir: Path | None, *, as_json: bool) -> None:
    """Check every byte; exit 1 if anything was damaged."""
    damaged = _store(cache_dir).verify()
    if as_json:
        found = [{"stage": i.stage, "key": i.key, "wrong": wrong} for i, wrong in damaged]
        _print_json({"damaged": found})
    elif damaged:
        for item, wrong in damaged:
            sys.stdout.write(f"quarantined {item.stage} {item.key[:12]}: {wrong}\n")
    else:
        sys.stdout.write("every entry is intact\n")
    if damaged:
        sys.exit(1)


def cache_trim(cache_dir: Path | None, keep: str) -> None:
    """Delete what was used longest ago until the rest fits ``keep``."""
    removed = _store(cache_dir).trim(bytes_of(keep, "--keep"))
    freed = sum(entry.size for entry in removed)
    sys.stdout.write(f"removed {len(removed)} entries, {_megabytes(freed)}\n")


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB"


def bytes_of(text: str, flag: str) -> int:
    """A size such as 4GB in bytes.

    Raises:
        InputError: not a size; names the flag that took it.
    """
    units = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
    number = text.strip().rstrip("BbKkMmGgTt").strip()
    unit = text.strip()[len(number) :].strip().upper()
    try:
        size = int(float(number) * units[unit])
    except (ValueError, KeyError, OverflowError):
        size = -1
    if size < 0:
        raise InputError(f"{flag} takes a size such as 500MB or 20GB, got {text!r}")
    return size
