"""The body of ``img2mesh render``: a folder of meshes -> a data set, by many workers.

One bad mesh never stops the rest; a second run draws what is missing. ``manifest.csv`` names every
mesh with its licence and what became of it, ``valid_paths.json`` those that were drawn.
"""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

from img2mesh.batch import machine
from img2mesh.batch.scheduler import Event, Executor, Policy, Scheduler, Task
from img2mesh.core.runtime import with_threads
from img2mesh.errors import InputError
from img2mesh.training.catalog import Entry, read_catalog
from img2mesh.training.renders import Recipe, payload
from img2mesh.training.shards import pack, packed_names

FUNCTION = "img2mesh.training.renders:work"
#: Memory a worker needs: libraries, one mesh with its rays.
_WORKER_BYTES = 1_200_000_000
_RECIPE, _MANIFEST, _VALID = "render.json", "manifest.csv", "valid_paths.json"
_COLUMNS = ("name", "path", "licence", "author", "class", "split", "status", "reason")


def render_meshes(
    meshes: list[Path],
    out: Path,
    recipe: Recipe,
    *,
    jobs: int | None = None,
    ray: str | None = None,
    shards: int | None = None,
    timeout: float | None = 600.0,
    retries: int = 1,
    note: Callable[[str], None] = lambda line: None,
) -> dict[str, int]:
    """Draw every mesh of some folders that is not drawn yet.

    Args:
        meshes: folders, see :func:`img2mesh.training.catalog.read_catalog`.
        out: the data set: a folder an object.
        recipe: what all objects have in common; a data set keeps its own.
        jobs: workers; by default as cores and memory allow.
        ray: address of a Ray cluster, or ``auto``; its machines must see the same folders.
        shards: put so many objects each into one tar, see :mod:`img2mesh.training.shards`, and
            delete their folders.
        timeout: seconds an attempt may take.
        retries: attempts after one that failed for no fault of the mesh.
        note: told about the progress in lines.

    Returns:
        ``drawn`` in this run, ``there`` before, ``failed``.

    Raises:
        InputError: no meshes, or ``out`` is a data set of another recipe, or one in shards and
            none were asked for.
        Img2MeshError: the disk is full, or workers do not start.
    """
    entries = _named(meshes)
    out.mkdir(parents=True, exist_ok=True)
    _keep_recipe(out / _RECIPE, recipe)
    packer = _Packer(out, entries, shards)
    todo = {name: e for name, e in entries.items() if not packer.has(name)}
    there = len(entries) - len(todo)
    reasons: dict[str, str] = {}
    drawn = 0
    if todo:
        executor, sentence = _executor(len(todo), jobs, ray, out)
        note(sentence)
        tasks = (Task(name, payload(entry, out / name, recipe)) for name, entry in todo.items())
        policy = Policy(retries=retries, timeout=timeout)
        with closing(executor):
            for number, ended in enumerate(Scheduler(executor, policy, _silent).run(tasks), 1):
                if ended.status == "done":
                    drawn += 1
                    packer.add(ended.task.name)
                else:
                    reasons[ended.task.name] = ended.errors[-1]
                    note(f"{ended.task.name} is left out: {ended.errors[-1]}")
                if number % max(len(todo) // 20, 1) == 0 or number == len(todo):
                    note(f"{number} of {len(todo)} meshes, {len(reasons)} left out")
    packer.finish()
    _write_manifest(out, entries, reasons, packer)
    return {"drawn": drawn, "there": there, "failed": len(reasons)}


class _Packer:
    """Turns whole folders into shards as they come, where that was asked for.

    An object is first whole in its folder, then whole in a shard, and only then is the folder
    deleted: a run may end anywhere, and at most one shard of a split is not packed yet.
    """

    def __init__(self, out: Path, entries: dict[str, Entry], objects: int | None) -> None:
        self._out, self._entries, self._objects = out, entries, objects
        self._packed = packed_names(out)
        if self._packed and objects is None:
            raise InputError(f"{out} keeps its objects in shards: give --shards again")
        self._ready: dict[str, dict[str, str]] = {}
        for name in entries:
            if (out / name).is_dir():
                self.add(name)

    def has(self, name: str) -> bool:
        """Whether an object is drawn, in a folder or a shard."""
        return name in self._packed or (self._out / name).is_dir()

    def add(self, name: str) -> None:
        """An object is whole in its folder."""
        if name in self._packed:  # the run ended between packing and deleting
            shutil.rmtree(self._out / name)
        elif self._objects is not None:
            entry = self._entries[name]
            ready = self._ready.setdefault(entry.split, {})
            ready[name] = entry.licence
            if len(ready) >= self._objects:
                self._pack(entry.split)

    def finish(self) -> None:
        """Pack what is left."""
        for split in [s for s, ready in self._ready.items() if ready]:
            self._pack(split)

    def _pack(self, split: str) -> None:
        ready = self._ready.pop(split)
        pack(self._out, split, ready)
        self._packed |= ready.keys()
        for name in ready:
            shutil.rmtree(self._out / name)


def _named(meshes: list[Path]) -> dict[str, Entry]:
    """Every mesh by a name of its own."""
    entries: dict[str, Entry] = {}
    for folder in meshes:
        for entry in read_catalog(folder):
            name = entry.name
            if name in entries:
                name = f"{folder.name}--{name}"
            if name in entries:
                raise InputError(f"two meshes are called {name}: give their folders other names")
            entries[name] = entry
    return entries


def _keep_recipe(file: Path, recipe: Recipe) -> None:
    wanted: dict[str, Any] = asdict(recipe)
    if file.exists():
        kept = json.loads(file.read_text(encoding="utf-8"))
        if other := [k for k in wanted if kept.get(k) != wanted[k]]:
            raise InputError(
                f"{file.parent} is a data set with {other[0]} {kept.get(other[0])!r}, asked for is "
                f"{wanted[other[0]]!r}: choose another folder"
            )
    file.write_text(json.dumps(wanted, indent=1), encoding="utf-8")


def _executor(items: int, jobs: int | None, ray: str | None, out: Path) -> tuple[Executor, str]:
    # Rays are cast on every core of the affinity unless the workers share them out.
    environment = dict(with_threads(1))
    if ray is not None:
        from img2mesh.batch.cluster import RayExecutor

        cluster = RayExecutor(
            FUNCTION, address=ray, jobs=jobs, most=items, threads=1, gpus=0.0,
            environment=environment,
        )  # fmt: skip
        return cluster, cluster.sentence
    from img2mesh.batch.local import LocalExecutor

    chosen = machine.choose_jobs(requested=jobs, threads=1, worker_bytes=_WORKER_BYTES, gpus=0)
    count = min(chosen.jobs, items)
    local = LocalExecutor(FUNCTION, jobs=count, environment=environment, logs=out / "logs")
    return local, f"{items} meshes on {count} worker{'s' * (count > 1)} ({chosen.reason})"


def _write_manifest(
    out: Path, entries: dict[str, Entry], reasons: dict[str, str], packer: _Packer
) -> None:
    """What became of every mesh. Paths of renders are relative to the data set."""
    drawn = [name for name in entries if (out / name).is_dir()]
    aside = out / f".{_MANIFEST}.part"
    with aside.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(_COLUMNS)
        for name, e in entries.items():
            reason = reasons.get(name, "")
            status = "done" if packer.has(name) else "failed"
            writer.writerow([name, e.path, e.licence, e.author, e.kind, e.split, status, reason])
    aside.replace(out / _MANIFEST)
    (out / _VALID).write_text(json.dumps(drawn), encoding="utf-8")


def _silent(event: Event) -> None:
    """The lines of ``note`` say enough."""
