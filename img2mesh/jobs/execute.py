"""``execute``: the one way a job runs, for the commands, batches, the web app and Python alike."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path

from img2mesh.artifacts.codecs import CODECS
from img2mesh.core.failures import told, write_log
from img2mesh.core.leftovers import temporary
from img2mesh.errors import CacheError, StageFailedError
from img2mesh.graph import Event, Runner, Store
from img2mesh.jobs.claims import require_ours, require_writable
from img2mesh.jobs.delivery import Delivered, deliver
from img2mesh.jobs.early import require_possible, require_writers
from img2mesh.jobs.job import Job
from img2mesh.jobs.records import versions
from img2mesh.jobs.request import OutputOptions, Request


def execute(
    job: Job,
    request: Request,
    options: OutputOptions,
    folder: Path,
    on_event: Callable[[Event], None] | None = None,
    *,
    began: float | None = None,
) -> Delivered:
    """Run a job up to the stage that was asked for, and write its folder.

    Args:
        job: the input.
        request: settings, cache, device, last stage.
        options: which files to leave.
        folder: where they go; see :func:`img2mesh.jobs.claims.claimed`.
        on_event: called with everything that the engine does.
        began: when the work on the job began, by ``time.perf_counter``; now if not given.

    Raises:
        InputError: the input cannot be used.
        Img2MeshError: a stage failed, or a file could not be written.
    """
    began = time.perf_counter() if began is None else began
    require_writable(folder)
    require_ours(folder)
    require_writers(options, request)
    cached = request.cache_dir is not None
    with ExitStack() as stack:
        if request.cache_dir is None:
            # Without a cache the stages still hand files to each other, in a folder that goes.
            folder_of_stages = temporary("img2mesh-")
            request = replace(request, cache_dir=Path(stack.enter_context(folder_of_stages)))
        # Why a result is not in the cache is asked by nobody here, and the answer costs a look at
        # every entry: seconds an item once there are ten thousand.
        runner = runner_for(request, on_event, explain=False)
        try:
            runner.run(request.until, job.given)
        except StageFailedError as error:
            _blame_cache(error, request.cache_dir)
            log = write_log(error, folder)
            raise StageFailedError(told(str(error), log)) from error.__cause__
        seconds = time.perf_counter() - began
        return deliver(runner, job, request, options, folder, seconds=seconds, cached=cached)


def _blame_cache(error: StageFailedError, cache_dir: Path | None) -> None:
    """A stage that failed because its disk was full, or the cache deleted, is no broken stage.

    Raises:
        CacheError: it was so.
    """
    assert cache_dir is not None
    # Libraries tell of a full disk in exceptions of their own.
    full = any(words in str(error) for words in ("No space left", "quota exceeded"))
    if full or not cache_dir.exists():
        what = "the disk is full" if full else "it was deleted meanwhile"
        raise CacheError(
            f"the cache cannot be used at {cache_dir}: {what}; make room, choose another "
            "--cache-dir, or do without one: --no-cache"
        ) from error.__cause__


def runner_for(
    request: Request, on_event: Callable[[Event], None] | None = None, *, explain: bool = True
) -> Runner:
    """The engine, set up for a request; without ``explain`` it does not search for reasons.

    Raises:
        InputError: something that makes the work impossible here.
    """
    require_possible(request)
    store = None if request.cache_dir is None else Store(request.cache_dir)
    return Runner(
        request.graph,
        store,
        CODECS,
        request.settings,
        device=request.device,
        low_memory=request.low_memory,
        versions=versions(),
        on_event=on_event,
        force=request.force,
        explain=explain,
        room=partial(temporary, "img2mesh-"),
    )
