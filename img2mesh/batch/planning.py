"""Flags and manifests to a plan and its workers, with everything checked before work starts."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from img2mesh import multiview
from img2mesh.batch import history, machine, manifest
from img2mesh.batch.folder import Folder
from img2mesh.batch.items import Entry, Item, from_inputs, name_items
from img2mesh.batch.run import Plan
from img2mesh.batch.scheduler import Executor
from img2mesh.core.runtime import with_threads
from img2mesh.errors import InputError
from img2mesh.jobs.early import require_possible, require_writers
from img2mesh.jobs.records import versions
from img2mesh.jobs.request import OutputOptions, Request, generator_of, request_from
from img2mesh.pipeline import PIPELINE
from img2mesh.worker import task

#: Parts of a request that say where and how, and never what comes out.
_WHERE = ("device", "low_memory", "cache_dir", "force")


def entries_from(inputs: Sequence[str], listed: Path | None) -> list[Entry]:
    """What the user named, by argument or in a manifest.

    Raises:
        InputError: nothing, or something that cannot be read.
    """
    entries = from_inputs(inputs)
    if listed is not None:
        entries += manifest.read_manifest(listed)
    if not entries:
        raise InputError("nothing to do: name files, folders or globs, or give a --manifest")
    return entries


def plan_photos(
    entries: Sequence[Entry],
    *,
    preset: str,
    assignments: Sequence[str],
    options: OutputOptions,
    offline: bool,
    quiet: bool = False,
    **flags: Any,
) -> Plan:
    """The plan for photos; ``flags`` are :func:`img2mesh.jobs.request.request_from`'s.

    Raises:
        InputError: a setting, preset or name that cannot be; a manifest's is named by its line.
    """
    items, duplicates = name_items(entries)
    if duplicates and not quiet:
        again, kept = duplicates[0]
        count = len(duplicates) - 1
        more = f", and {count} more like that" if count else ""
        sys.stderr.write(f"img2mesh: {again.source} is {kept.source} again{more}; done once\n")
    encoded: dict[tuple[str, tuple[str, ...]], dict[str, Any]] = {}
    digests: dict[tuple[str, tuple[str, ...]], str] = {}

    def key(item: Item) -> tuple[str, tuple[str, ...]]:
        return (item.entry.preset or preset, item.entry.assignments)

    for item in items:
        chosen = key(item)
        if chosen in encoded:
            continue
        try:
            request = request_from(
                preset=chosen[0],
                assignments=[*assignments, *chosen[1]],
                offline=offline,
                **flags,
            )
            _check_backends(request)
            require_possible(request, here=False)
            require_writers(options, request)
        except InputError as error:
            if item.entry.preset or item.entry.assignments:
                raise InputError(f"{item.entry.origin}: {error}") from error
            raise
        parts = encoded[chosen] = task.encode(request, options)
        what = {k: v for k, v in parts["request"].items() if k not in _WHERE}
        # "wanted" is what journals of earlier versions were written with.
        digests[chosen] = history.fingerprint({"request": what, "wanted": parts["options"]})

    def payload(item: Item) -> dict[str, Any]:
        entry = item.entry
        return {
            **encoded[key(item)],
            "source": str(entry.source.absolute()),
            "mask": None if entry.mask is None else str(entry.mask.absolute()),
            "offline": offline,
        }

    return Plan(
        items=items,
        payload=payload,
        settings=lambda item: digests[key(item)],
        record={"preset": preset, "settings": _shown(encoded), "versions": versions()},
        learned=any(_learned(parts["request"]["settings"]) for parts in encoded.values()),
    )


def _shown(encoded: Mapping[Any, Mapping[str, Any]]) -> Mapping[str, Any]:
    """The settings of the first item, for people; a manifest may say others of some."""
    first: Mapping[str, Any] = next(iter(encoded.values()), {"request": {}})
    return dict(first["request"].get("settings", {}))


def _learned(given: Mapping[str, Mapping[str, Any]]) -> bool:
    return not multiview.embedded(generator_of(given))


def _check_backends(request: Request) -> None:
    """Find out now, not ten thousand times, that a checkpoint is not there."""
    for name, stage in PIPELINE.stages.items():
        if stage.identity is not None:
            stage.identity(**stage.resolve(request.settings.get(name, {})))


@dataclass(frozen=True)
class Workers:
    """Where the workers live and how many there are."""

    jobs: int | None
    threads: int
    memory: int | None
    ray: str | None
    gpus_each: float | None
    device: str
    function: str = task.FUNCTION
    learned: bool = False

    def executor(self, folder: Folder, items: int) -> tuple[Executor, str]:
        """What does ``items`` items, and a sentence about it.

        Raises:
            InputError: the cluster cannot be reached or lacks what was asked for.
        """
        environment: Mapping[str, str] = with_threads(self.threads)
        if self.ray is not None:
            from img2mesh.batch.cluster import RayExecutor

            cluster = RayExecutor(
                self.function,
                address=self.ray,
                jobs=self.jobs,
                most=items,
                threads=self.threads,
                gpus=self.gpus_each or 0.0,
                environment=environment,
            )
            return cluster, cluster.sentence
        if self.gpus_each is not None:
            raise InputError("--gpus-per-worker is for --ray; here every GPU gets its workers")
        from img2mesh.batch.local import LocalExecutor

        gpus = machine.gpus() if self.device in ("auto", "cuda") else []
        chosen = machine.choose_jobs(
            requested=self.jobs,
            threads=self.threads,
            worker_bytes=self.memory or machine.worker_bytes(learned=self.learned),
            gpus=len(gpus),
        )
        jobs = min(chosen.jobs, items)
        why = chosen.reason if jobs == chosen.jobs else "one an item"
        sentence = f"{items} item{'s' * (items > 1)} on {jobs} worker{'s' * (jobs > 1)} ({why})"
        executor = LocalExecutor(
            self.function, jobs=jobs, environment=environment, logs=folder.logs, gpus=gpus
        )
        return executor, sentence
