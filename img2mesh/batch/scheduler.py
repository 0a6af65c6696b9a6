"""Hand tasks to workers until each has ended: retries, back-off, timeouts, replaced workers.

One loop for processes on this machine and for a cluster: it knows slots and messages only.
"""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from img2mesh.errors import Img2MeshError
from img2mesh.worker.protocol import Message

Status = Literal["done", "failed", "quarantined"]
_LONGEST_DELAY = 60.0
_LONGEST_POLL = 0.5
#: A slot whose workers die this often in a row before they are ready will not get better.
_FAILED_STARTS = 3


class Executor(Protocol):
    """Slots that are filled with workers, here or elsewhere."""

    @property
    def slots(self) -> int:
        """How many workers there may be."""

    def start(self, slot: int) -> None:
        """Put a fresh worker into an empty slot; ``ready`` comes when it is."""

    def submit(self, slot: int, payload: Mapping[str, Any]) -> None:
        """Give a ready worker a task."""

    def stop(self, slot: int) -> None:
        """End a slot's worker at once, whatever it does; no more messages come."""

    def poll(self, seconds: float) -> tuple[int, Message] | None:
        """The next message of a worker that still has its slot, waiting up to ``seconds``."""

    def close(self) -> None:
        """End every worker."""


@dataclass(frozen=True)
class Task:
    """Something to do; only its name matters here."""

    name: str
    payload: Mapping[str, Any]


@dataclass(frozen=True)
class Policy:
    """What to do when things go wrong.

    Attributes:
        retries: attempts after the first.
        backoff: seconds before the second attempt; doubles with each, up to a minute.
        timeout: seconds an attempt may take; None for ever.
        worker_memory: bytes; a worker that holds more is replaced before its next task.
    """

    retries: int = 2
    backoff: float = 2.0
    timeout: float | None = None
    worker_memory: int | None = None

    def delay(self, attempt: int) -> float:
        """Seconds to wait after a failed attempt, counted from 1."""
        return float(min(self.backoff * 2 ** (attempt - 1), _LONGEST_DELAY))


@dataclass(frozen=True)
class Ready:
    """A worker can take tasks."""

    slot: int
    host: str
    pid: int


@dataclass(frozen=True)
class Began:
    """A task's attempt was handed out."""

    slot: int
    name: str
    attempt: int


@dataclass(frozen=True)
class Staged:
    """A task's progress."""

    slot: int
    name: str
    stage: str
    fraction: float


@dataclass(frozen=True)
class Retrying:
    """An attempt failed and there will be another."""

    slot: int
    name: str
    attempt: int
    error: str
    delay: float


@dataclass(frozen=True)
class Replaced:
    """A worker was ended or ended itself; a fresh one takes its place."""

    slot: int
    reason: str


@dataclass(frozen=True)
class Ended:
    """A task is over.

    Attributes:
        slot: of the worker that had it last.
        task: the task.
        status: how it ended.
        errors: one sentence a failed attempt; the last is the reason where it is not done.
        seconds: that its last attempt took.
        host: machine of the last attempt.
        result: what the worker's function returned.
    """

    slot: int
    task: Task
    status: Status
    errors: tuple[str, ...]
    seconds: float
    host: str
    result: Mapping[str, Any]

    @property
    def attempts(self) -> int:
        """How often it was tried."""
        return len(self.errors) + (self.status == "done")


Event = Ready | Began | Staged | Retrying | Replaced | Ended


@dataclass(order=True)
class _Attempt:
    """A task with its history; ordered by when it may run."""

    due: float
    number: int
    task: Task = field(compare=False)
    errors: tuple[str, ...] = field(default=(), compare=False)


@dataclass
class _Slot:
    number: int
    ready: bool = False
    attempt: _Attempt | None = None
    since: float = 0.0
    host: str = ""
    failed_starts: int = 0


class Scheduler:
    """Runs tasks on an executor; see :meth:`run`."""

    def __init__(
        self,
        executor: Executor,
        policy: Policy,
        on_event: Callable[[Event], None] = lambda event: None,
    ) -> None:
        self._executor, self._policy, self._emit = executor, policy, on_event
        self._slots = [_Slot(number) for number in range(executor.slots)]
        self._retries: list[_Attempt] = []
        self._count = 0

    def run(self, tasks: Iterable[Task]) -> Iterator[Ended]:
        """Every task's end, as they come. The caller closes the executor.

        Raises:
            Img2MeshError: going on is useless: workers do not start, or the disk is full.
        """
        fresh = iter(tasks)
        for slot in self._slots:
            self._executor.start(slot.number)
        while True:
            more = self._submit_tasks(fresh)
            busy = any(slot.attempt for slot in self._slots)
            if not (more or busy or self._retries):
                return
            if received := self._executor.poll(self._poll_seconds()):
                number, message = received
                yield from self._receive(self._slots[number], message)
            yield from self._expire()

    def _submit_tasks(self, fresh: Iterator[Task]) -> bool:
        """Fill idle slots; False when there are no fresh tasks (left)."""
        now, more = time.monotonic(), True
        for slot in self._slots:
            if not slot.ready or slot.attempt is not None:
                continue
            if self._retries and self._retries[0].due <= now:
                attempt = heapq.heappop(self._retries)
            else:
                task = next(fresh, None)
                if task is None:
                    more = False
                    continue
                self._count += 1
                attempt = _Attempt(0.0, self._count, task)
            slot.attempt, slot.since = attempt, time.monotonic()
            self._emit(Began(slot.number, attempt.task.name, len(attempt.errors) + 1))
            self._executor.submit(slot.number, attempt.task.payload)
        return more

    def _poll_seconds(self) -> float:
        """Seconds until something is due whatever the workers say."""
        now = time.monotonic()
        deadlines = [_LONGEST_POLL]
        if self._retries and any(slot.ready and slot.attempt is None for slot in self._slots):
            deadlines.append(self._retries[0].due - now)
        if self._policy.timeout is not None:
            deadlines += [s.since + self._policy.timeout - now for s in self._slots if s.attempt]
        return max(min(deadlines), 0.0)

    def _receive(self, slot: _Slot, message: Message) -> Iterator[Ended]:
        match message["kind"]:
            case "ready":
                slot.ready, slot.failed_starts, slot.host = True, 0, message.get("host", "")
                self._emit(Ready(slot.number, slot.host, message.get("pid", 0)))
            case "stage" if slot.attempt is not None:
                name = slot.attempt.task.name
                self._emit(Staged(slot.number, name, message["stage"], message["fraction"]))
            case "done" if slot.attempt is not None:
                yield self._end(slot, "done", result=message["result"])
                self._recycle(slot, message["rss"])
            case "failed" if slot.attempt is not None:
                yield from self._failed(slot, message["error"], message["why"])
                self._recycle(slot, message["rss"])
            case "lost":
                yield from self._lost(slot, message["error"])

    def _lost(self, slot: _Slot, error: str) -> Iterator[Ended]:
        if not slot.ready:
            slot.failed_starts += 1
            if slot.failed_starts >= _FAILED_STARTS:
                raise Img2MeshError(f"the workers do not start: {error}")
        if slot.attempt is not None:
            yield from self._failed(slot, error, "error")
        self._replace(slot, error)

    def _expire(self) -> Iterator[Ended]:
        limit = self._policy.timeout
        for slot in self._slots:
            if limit is not None and slot.attempt and time.monotonic() - slot.since >= limit:
                error = f"it took longer than {limit:g} s (--timeout)"
                yield from self._failed(slot, error, "error")
                self._executor.stop(slot.number)
                self._replace(slot, error)

    def _recycle(self, slot: _Slot, rss: int) -> None:
        limit = self._policy.worker_memory
        if limit is not None and rss > limit:
            self._executor.stop(slot.number)
            self._replace(slot, f"it holds {rss / 1e6:.0f} MB, more than {limit / 1e6:.0f} MB")

    def _replace(self, slot: _Slot, reason: str) -> None:
        slot.ready = False
        self._emit(Replaced(slot.number, reason))
        self._executor.start(slot.number)

    def _failed(self, slot: _Slot, error: str, why: str) -> Iterator[Ended]:
        assert slot.attempt is not None
        if why == "full":
            raise Img2MeshError(f"{error}; make room, then the same command with --resume goes on")
        attempt = slot.attempt
        errors = (*attempt.errors, error)
        if why == "error" and len(errors) <= self._policy.retries:
            delay = self._policy.delay(len(errors))
            due = time.monotonic() + delay
            heapq.heappush(self._retries, _Attempt(due, attempt.number, attempt.task, errors))
            slot.attempt = None
            self._emit(Retrying(slot.number, attempt.task.name, len(errors), error, delay))
            return
        yield self._end(slot, "quarantined" if why == "input" else "failed", error=error)

    def _end(
        self,
        slot: _Slot,
        status: Status,
        *,
        result: Mapping[str, Any] | None = None,
        error: str | None = None,
    ) -> Ended:
        attempt, slot.attempt = slot.attempt, None
        assert attempt is not None
        ended = Ended(
            slot=slot.number,
            task=attempt.task,
            status=status,
            errors=attempt.errors if error is None else (*attempt.errors, error),
            seconds=round(time.monotonic() - slot.since, 3),
            host=slot.host,
            result=result or {},
        )
        self._emit(ended)
        return ended
