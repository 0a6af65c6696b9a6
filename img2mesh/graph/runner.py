"""``Runner``: say what would run and why; then run it, reusing everything that can be."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, Generic, TypeVar

from img2mesh.errors import Img2MeshError, InputError, StageFailedError
from img2mesh.graph import events
from img2mesh.graph.events import Event, Planned, Progressed, Reason, explain_miss
from img2mesh.graph.graph import Graph
from img2mesh.graph.manifest import ENGINE, Manifest, Unusable, fingerprint, scan
from img2mesh.graph.stage import Run, Stage, unknown
from img2mesh.graph.store import RESERVED, Store, explained, locked

T = TypeVar("T")
_PAST = 200  # most recent results of a stage to look for one of the same leaf; 20 ms to read


@dataclass(frozen=True)
class Codec(Generic[T]):
    """How a type lies in a folder.

    Later stages get the stored form even in the run that made it: resumed runs end in equal bytes.
    """

    version: int  # of the files' format
    save: Callable[[Path, T], None]
    load: Callable[[Path], T]


@dataclass(frozen=True)
class Leaf(Generic[T]):
    """Something from outside: the digest of its content, and how to load it when it is needed."""

    digest: str
    load: Callable[[], T]


@dataclass(frozen=True)
class Outcome:
    """What became of a stage (or a given leaf, whose key is empty)."""

    stage: str
    key: str
    cached: bool
    load: Callable[[], Any]  # the result; read from disk when first asked for
    digest: str  # of the content
    folder: Path | None = None  # in the store; None without one
    seconds: float = 0.0  # that making it took, whenever that was
    notes: tuple[str, ...] = ()  # what the stage wanted the user to know, also on reuse
    value = property(lambda self: self.load())


@dataclass
class _Step:
    """A stage with its recipe, and what a look into the store said."""

    stage: Stage
    recipe: dict[str, Any]
    leaves: dict[str, str]
    found: Manifest | Unusable | None
    plan: Planned


@dataclass
class Runner:
    """A graph with its settings, its cache and its listener; InputError if they do not fit."""

    graph: Graph
    store: Store | None  # None for a temporary one, gone with the runner
    codecs: Mapping[type, Codec[Any]]  # for the output of every stage
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # all, once made
    device: str = "auto"  # handed to the stages; never in a key
    low_memory: bool = False  # handed to the stages; never in a key
    on_event: Callable[[Event], None] | None = None
    force: Collection[str] = frozenset()  # stages to run again though their results are cached
    versions: Mapping[str, str] = field(default_factory=dict)  # of packages, for the record
    explain: bool = True  # else every miss is called a first run: nobody looks through the cache
    room: Callable[[], Any] = tempfile.TemporaryDirectory  # makes the temporary store
    outcomes: dict[str, Outcome] = field(default_factory=dict, init=False)  # by stage, last run

    def __post_init__(self) -> None:
        given = self.settings or {}
        for name in [*given, *self.force]:
            if name not in self.graph.stages:
                raise InputError(unknown("stage", name, self.graph.stages))
        for name, one in self.graph.stages.items():
            if one.output not in self.codecs or name in RESERVED:
                raise Img2MeshError(f"{one.where} needs a codec, and no name of {RESERVED}")
        self.settings = {n: s.resolve(given.get(n, {})) for n, s in self.graph.stages.items()}
        self._room = None if self.store else self.room()
        self._store = self.store or Store(self._room.name if self._room else "")
        self._emit = self.on_event or (lambda event: None)

    def plan(self, target: str, given: Mapping[str, Leaf[Any]]) -> list[Planned]:
        """Say per stage whether it is cached, or the one reason why it will run. Runs nothing."""
        return [step.plan for step in self._survey(target, given)]

    def run(self, target: str, given: Mapping[str, Leaf[Any]]) -> Outcome:
        """Make the target, and everything on the way from what is given that is not there.

        ``given`` are leaves; one with a stage's name enters in the middle of the graph.
        Img2MeshError if a stage fails; CacheError if the cache cannot be read or written.
        """
        self.outcomes = {}
        done = {n: Outcome(n, "", True, cache(leaf.load), leaf.digest) for n, leaf in given.items()}
        with self._store.desk() as room:
            steps = self._survey(target, given)
            for step in steps:
                self._store.touch(step.stage.name, step.plan.key)  # and trim keeps its hands off
                self._emit(step.plan)
            for step in steps:
                inputs = {name: done[name] for name in step.stage.inputs}
                made = self._reused(step, inputs) or self._made(step, inputs, room)
                done[step.stage.name] = self.outcomes[step.stage.name] = made
        return done[target]

    def _survey(self, target: str, given: Mapping[str, Leaf[Any]]) -> list[_Step]:
        """Every step's recipe, entry, and reason to run if there is one."""
        refs = {name: f"leaf:{leaf.digest}" for name, leaf in given.items()}
        leaves = {name: {name: leaf.digest} for name, leaf in given.items()}
        done: dict[str, _Step] = {}
        for name in self.graph.needed(target, given):
            one, settings = self.graph.stages[name], self.settings[name]
            recipe = {"engine": ENGINE, "stage": name, "version": one.version}
            recipe |= {"settings": settings, "inputs": {i: refs[i] for i in one.inputs}}
            recipe |= {"identity": dict(one.identity(**settings)) if one.identity else {}}
            key = refs[name] = fingerprint(recipe)
            leaves[name] = {k: v for i in one.inputs for k, v in leaves[i].items()}
            found = self._store.look(name, key, self.codecs[one.output].version)
            reason = self._reason(one, recipe, leaves[name], found, done)
            plan = Planned(name, key, reason is None, reason)
            done[name] = _Step(one, recipe, leaves[name], found, plan)
        return list(done.values())

    def _reason(self, one: Stage, recipe: Any, leaves: Any, found: Any, up: Any) -> Reason | None:
        name, upstream = one.name, {i: up[i] for i in one.inputs if i in up}
        running = next((i for i, step in upstream.items() if not step.plan.cached), "")
        if name in self.force:
            return Reason("forced")
        if isinstance(found, Unusable):
            return Reason(found.kind, old=found.detail)
        if found is None and self._room:
            return Reason("no_cache")
        if found is None:
            items = self._store.items(name)[:-_PAST:-1] if self.explain else ()
            return explain_miss((item.manifest for item in items), recipe, leaves, running)
        for i, step in upstream.items():
            if step.plan.cached and step.found.digest != found.used[i]:
                return Reason("inputs", i)
        return Reason("upstream", running) if running else None

    def _reused(self, step: _Step, inputs: Mapping[str, Outcome]) -> Outcome | None:
        """The cached result, if it is healthy and was made from these very inputs."""
        found, name = step.found, step.stage.name
        if not isinstance(found, Manifest) or name in self.force:
            return None
        if found.used != {i: one.digest for i, one in inputs.items()}:
            return None
        self._emit(events.Reused(name, step.plan.key))
        return self._outcome(step, found, cached=True)

    def _made(self, step: _Step, inputs: Mapping[str, Outcome], room: Path) -> Outcome:
        """Make and commit the result, unless another process does so first."""
        one, key, store, emit = step.stage, step.plan.key, self._store, self._emit
        name, codec = one.name, self.codecs[one.output]
        with locked(store.root / "locks" / key, lambda: emit(events.Waiting(name, key))):
            step.found = store.look(name, key, codec.version)
            if isinstance(step.found, Unusable):
                store.quarantine(name, key)
            elif done := self._reused(step, inputs):
                return done
            used = {i: outcome.digest for i, outcome in inputs.items()}
            scratch = store.folder("scratch", key, f"-{fingerprint(used)[:8]}")
            if name in self.force:
                shutil.rmtree(scratch, ignore_errors=True)
            folder = room / key
            with explained(room):  # before the work: a read-only cache says so at once
                folder.mkdir(parents=True)
            with _blamed(name):
                values = [outcome.load() for outcome in inputs.values()]
                tell = lambda f, m: emit(Progressed(name, key, f, m))  # noqa: E731
                run = Run(self.device, scratch, tell, self.low_memory)
                emit(events.Started(name, key))
                start = time.perf_counter()
                where = {"run": run} if one.takes_run else {}
                value = one.function(*values, **self.settings[name], **where)
                if isinstance(one.output, type) and not isinstance(value, one.output):
                    raise TypeError(f"made {type(value).__name__}, not {one.output.__name__}")
                seconds = round(time.perf_counter() - start, 3)
                with explained(folder):
                    codec.save(folder, value)
                    files = scan(folder)
            made = Manifest(
                step.recipe, used, step.leaves, codec.version, files, fingerprint(files), seconds,
                self.device, dict(self.versions), run.notes, datetime.now(UTC).isoformat(),
            )  # fmt: skip
            store.commit(folder, made)
            shutil.rmtree(scratch, ignore_errors=True)
        emit(events.Finished(name, key, seconds, tuple(run.notes)))
        return self._outcome(step, made, cached=False)

    def _outcome(self, step: _Step, made: Manifest, *, cached: bool) -> Outcome:
        name, key, codec = step.plan.stage, step.plan.key, self.codecs[step.stage.output]
        folder = self._store.folder(name, key)
        load = cache(lambda: codec.load(folder))
        shown, notes = None if self._room else folder, tuple(made.notes)
        return Outcome(name, key, cached, load, made.digest, shown, made.seconds, notes)


@contextmanager
def _blamed(stage: str) -> Iterator[None]:
    """Errors of ours pass; any other becomes one sentence that names the stage."""
    try:
        yield
    except Img2MeshError:
        raise
    except Exception as error:
        cause = " ".join(f"{type(error).__name__}: {error}".split()).rstrip(":")
        raise StageFailedError(f"stage {stage} failed: {cause}") from error
