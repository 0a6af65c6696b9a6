"""``Runner``: say what would run and why; then run it, reusing everything that can be."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache, partial
from importlib import metadata
from pathlib import Path
from typing import Any, Generic, TypeVar

from img2mesh.errors import CacheError, Img2MeshError, InputError
from img2mesh.graph.events import Event, Finished, Planned, Progressed, Reused, Started, Waiting
from img2mesh.graph.graph import Graph
from img2mesh.graph.keys import fingerprint, stage_key
from img2mesh.graph.locks import Desk, explained
from img2mesh.graph.manifest import Manifest, Unusable, seal
from img2mesh.graph.reasons import Reason, explain_miss
from img2mesh.graph.run import Run
from img2mesh.graph.stage import Stage, unknown
from img2mesh.graph.store import RESERVED, Store

T = TypeVar("T")


@dataclass(frozen=True)
class Codec(Generic[T]):
    """How a type lies in a folder; ``version`` changes with the format of the files.

    ``exact``: whether ``load`` gives back what ``save`` was given, bit for bit. If not (8-bit
    pictures of float arrays), later stages get the stored form even in the run that made it, so
    that a resumed run ends in the same bytes as one in one go.
    """

    version: int
    save: Callable[[Path, T], None]
    load: Callable[[Path], T]
    exact: bool = True


@dataclass(frozen=True)
class Leaf(Generic[T]):
    """Something from outside: the digest of its content, and how to load it when it is needed."""

    digest: str
    load: Callable[[], T]


@dataclass(frozen=True, eq=False)
class Outcome:
    """What became of a stage (or a given leaf, whose key is empty)."""

    stage: str
    key: str
    cached: bool
    seconds: float  # that making it took, whenever that was
    folder: Path | None  # in the store; None without one
    notes: tuple[str, ...]  # what the stage wanted the user to know, also on reuse
    digest: str  # of the content
    load: Callable[[], Any] = field(repr=False)  # the result; read from disk when first asked

    @property
    def value(self) -> Any:
        """The result, as from ``load()``."""
        return self.load()


@dataclass
class _Step:
    """A stage with its recipe, and what a look into the store said."""

    stage: Stage
    key: str
    settings: Mapping[str, Any]
    identity: Mapping[str, str]
    refs: Mapping[str, str]
    leaves: Mapping[str, str]
    entry: Manifest | None = None
    reason: Reason | None = None

    def planned(self) -> Planned:
        return Planned(self.stage.name, self.key, self.reason is None, self.reason)


class Runner:
    """A graph with its settings, its cache and its listener.

    Args:
        graph: the stages.
        store: the cache; None to keep everything in memory.
        codecs: type → codec, for the output of every stage.
        settings: stage → setting → value, where it is not the default.
        device: handed to the stages; never in a key.
        on_event: called with every event.
        force: stages to run again though their results are cached.
        packages: distributions whose versions the manifests record.

    Raises:
        InputError: a stage or setting that does not exist, or a value that does not fit.
        Img2MeshError: a stage which cannot be stored.
    """

    def __init__(
        self,
        graph: Graph,
        store: Store | None,
        codecs: Mapping[type, Codec[Any]],
        settings: Mapping[str, Mapping[str, Any]] | None = None,
        device: str = "auto",
        on_event: Callable[[Event], None] | None = None,
        force: Collection[str] = frozenset(),
        packages: Collection[str] = ("img2mesh", "numpy"),
    ) -> None:
        settings = settings or {}
        for name in [*settings, *force]:
            if name not in graph.stages:
                raise InputError(unknown("stage", name, graph.stages))
        for name, one in graph.stages.items():
            if one.output not in codecs or name in RESERVED:
                raise Img2MeshError(f"{one.where} needs a codec, and no name of {RESERVED}")
        self.graph, self.codecs, self.device = graph, codecs, device
        self.room = None if store else tempfile.TemporaryDirectory(prefix="img2mesh-")
        self.store = store or Store(self.room.name if self.room else "")
        self.settings = {
            name: one.resolve(settings.get(name, {})) for name, one in graph.stages.items()
        }
        self.emit: Callable[[Event], None] = on_event or (lambda event: None)
        self.force, self.packages = frozenset(force), packages
        self.outcomes: dict[str, Outcome] = {}

    def plan(self, target: str, given: Mapping[str, Leaf[Any]]) -> list[Planned]:
        """Say per stage whether it is cached, or the one reason why it will run. Runs nothing.

        Args:
            target: the artifact wanted.
            given: leaves, by name; a stage's name enters in the middle of the graph.
        """
        return [step.planned() for step in self._judged(self._steps(target, given))]

    def run(self, target: str, given: Mapping[str, Leaf[Any]]) -> Outcome:
        """Make the target, and everything on the way to it that is not there.

        Raises:
            CacheError: the cache cannot be read or written.
            Img2MeshError: a stage failed.
        """
        steps = self._steps(target, given)
        with self.store.desk([step.key for step in steps]) as desk:
            work = _Work(self, given, desk)
            self.outcomes = work.outcomes
            for step in self._judged(steps):
                self.emit(step.planned())
            for step in steps:
                work.ensure(step)
        return work.known[target]

    def _steps(self, target: str, given: Mapping[str, Leaf[Any]]) -> list[_Step]:
        refs = {name: f"leaf:{leaf.digest}" for name, leaf in given.items()}
        leaves = {name: {name: leaf.digest} for name, leaf in given.items()}
        steps = []
        for name in self.graph.needed(target, given):
            one, settings = self.graph.stages[name], self.settings[name]
            identity = dict(one.identity(**settings)) if one.identity else {}
            inputs = {i: refs[i] for i in one.inputs}
            refs[name] = stage_key(name, one.version, settings, identity, inputs)
            leaves[name] = {k: v for i in one.inputs for k, v in leaves[i].items()}
            steps.append(_Step(one, refs[name], settings, identity, inputs, leaves[name]))
        return steps

    def _judged(self, steps: list[_Step]) -> list[_Step]:
        """Find each step's healthy entry, and the reason to run it if there is one."""
        done: dict[str, _Step] = {}
        for step in steps:
            found = self.look(step)
            step.entry = found if isinstance(found, Manifest) else None
            step.reason = self._reason(step, found, done)
            done[step.stage.name] = step
        return steps

    def _reason(
        self, step: _Step, found: Manifest | Unusable | None, done: Mapping[str, _Step]
    ) -> Reason | None:
        running = [i for i in step.refs if i in done and done[i].reason]
        if step.stage.name in self.force:
            return Reason("forced")
        if isinstance(found, Unusable):
            return Reason(found.kind, old=found.detail)
        if found is None and self.room:
            return Reason("no_cache")
        if found is None:
            recipe = (step.stage.version, step.settings, step.identity, step.refs, step.leaves)
            return explain_miss(self.store.recent(step.stage.name), *recipe, running)
        known = {i: one.entry.digest for i, one in done.items() if one.entry and not one.reason}
        stale = _stale_input(found, known)
        if stale:
            return Reason("input", stale)
        return Reason("upstream", running[0]) if running else None

    def look(self, step: _Step) -> Manifest | Unusable | None:
        codec = self.codecs[step.stage.output]
        return self.store.look(step.stage.name, step.key, codec.version)


class _Work:
    """One run: what it was given, what has been made so far, and the desk it writes at."""

    def __init__(self, runner: Runner, given: Mapping[str, Leaf[Any]], desk: Desk) -> None:
        self.runner, self.store, self.desk = runner, runner.store, desk
        self.steps: dict[str, _Step] = {}
        self.outcomes: dict[str, Outcome] = {}
        self.known = {
            name: Outcome(name, "", True, 0.0, None, (), leaf.digest, cache(leaf.load))
            for name, leaf in given.items()
        }

    def ensure(self, step: _Step) -> None:
        """Reuse the step's result, or make it."""
        self.steps[step.stage.name] = step
        if self._reuse(step, step.entry):
            return
        waiting = Waiting(step.stage.name, step.key)
        with self.store.lock(step.key, partial(self.runner.emit, waiting)):
            found = self.runner.look(step)  # another process may have made it meanwhile
            if isinstance(found, Unusable):
                self.store.quarantine(step.stage.name, step.key)
            if not isinstance(found, Manifest) or not self._reuse(step, found):
                self._make(step)

    def _reuse(self, step: _Step, entry: Manifest | None) -> bool:
        name = step.stage.name
        if entry is None or name in self.runner.force:
            return False
        if _stale_input(entry, {i: self.known[i].digest for i in step.refs}):
            return False
        self._done(step, entry, cached=True)
        self.store.touch(name, step.key)
        self.runner.emit(Reused(name, step.key, self.store.folder(name, step.key)))
        return True

    def _make(self, step: _Step) -> None:
        """Call the stage's function and commit what it made. Hold the key's lock."""
        one, runner, key = step.stage, self.runner, step.key
        codec = runner.codecs[one.output]
        folder = self.desk.new_folder()  # before the work: a read-only cache says so at once
        values = [self._value(name) for name in one.inputs]
        inputs = {i: {"ref": r, "digest": self.known[i].digest} for i, r in step.refs.items()}
        scratch = self.store.scratch(key, fingerprint(inputs))
        if one.name in runner.force:
            shutil.rmtree(scratch, ignore_errors=True)
        run = Run(
            runner.device,
            scratch=scratch,
            on_progress=lambda done, message: runner.emit(Progressed(one.name, done, message)),
        )
        runner.emit(Started(one.name, key))
        start = time.perf_counter()
        with _blamed(one):
            where = {"run": run} if one.takes_run else {}
            value = one.function(*values, **step.settings, **where)
            if isinstance(one.output, type) and not isinstance(value, one.output):
                raise TypeError(f"made {type(value).__name__}, not {one.output.__name__}")
        seconds = round(time.perf_counter() - start, 3)
        with _blamed(one), explained(folder):
            codec.save(folder, value)
            files, digest = seal(folder)
        made = Manifest(
            stage=one.name,
            version=one.version,
            key=key,
            settings=dict(step.settings),
            identity=dict(step.identity),
            inputs=inputs,
            leaves=dict(step.leaves),
            codec=codec.version,
            files=files,
            digest=digest,
            seconds=seconds,
            device=runner.device,
            packages=_versions(runner.packages),
            notes=list(run.notes),
            created=datetime.now(UTC).isoformat(timespec="seconds"),
        )
        entry = self.store.commit(self.desk, folder, made)
        same = codec.exact and entry.digest == digest
        self._done(step, entry, cached=False, load=(lambda: value) if same else None)
        shutil.rmtree(scratch, ignore_errors=True)
        done = self.outcomes[one.name]
        runner.emit(Finished(one.name, key, seconds, done.folder, done.notes))

    def _done(
        self, step: _Step, entry: Manifest, *, cached: bool, load: Callable[[], Any] | None = None
    ) -> None:
        name = step.stage.name
        folder = self.store.folder(name, step.key)
        read = cache(partial(_read, self.runner.codecs[step.stage.output], folder))
        shown = None if self.runner.room else folder
        notes = tuple(entry.notes)
        self.known[name] = self.outcomes[name] = Outcome(
            name, step.key, cached, entry.seconds, shown, notes, entry.digest, load or read
        )

    def _value(self, name: str) -> Any:
        """An input. What turns out to be unreadable, or was trimmed meanwhile, is made anew."""
        try:
            return self.known[name].load()
        except CacheError:
            if name not in self.steps:
                raise
            self.store.quarantine(name, self.steps[name].key)
            self._make(self.steps[name])
            return self.known[name].load()


def _read(codec: Codec[Any], folder: Path) -> Any:
    try:
        return codec.load(folder)
    except Exception as error:
        cause = f"{type(error).__name__}: {error}"
        raise CacheError(f"the cached result at {folder} cannot be read: {cause}") from error


def _stale_input(entry: Manifest, digests: Mapping[str, str]) -> str | None:
    """The input whose present content is not the one the entry was made from."""
    for name, used in entry.inputs.items():
        if digests.get(name, used["digest"]) != used["digest"]:
            return name
    return None


@contextmanager
def _blamed(stage: Stage) -> Iterator[None]:
    """Errors of ours pass; any other becomes one sentence that names the stage."""
    try:
        yield
    except Img2MeshError:
        raise
    except Exception as error:
        cause = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        raise Img2MeshError(f"stage {stage.name} failed: {cause}") from error


def _versions(packages: Collection[str]) -> dict[str, str]:
    found = {}
    for name in packages:
        with suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found
