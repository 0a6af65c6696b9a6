"""The desk: a second worker process for what must not wait behind a making.

It finds outlines, tells plans and writes further formats, one question after another. It starts
with the first question; if it dies, so does only the question it was at.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from img2mesh.errors import Img2MeshError, InputError
from img2mesh.worker.process import WorkerProcess
from img2mesh.worker.protocol import Message

Answer = Future[dict[str, Any]]


class Desk:
    """See the module.

    Args:
        function: what answers a question, as ``module:name``.
        environment: variables for the process.
        log: file for what its libraries print.
    """

    def __init__(self, function: str, *, environment: Mapping[str, str], log: Path) -> None:
        self._function = function
        self._environment = dict(environment)
        self._log = log
        self._lock = threading.Lock()
        self._asked: deque[tuple[Mapping[str, Any], Answer]] = deque()
        self._worker: WorkerProcess | None = None
        self._ready = self._busy = self._closed = False

    def warm(self, payload: Mapping[str, Any]) -> None:
        """Start the process and load what it needs, since somebody is about to ask."""
        with self._lock:
            running = self._worker is not None
        if not running:
            self.ask("warm", payload)

    def ask(self, verb: str, payload: Mapping[str, Any]) -> Answer:
        """Ask; the future's exception is an InputError or Img2MeshError with one sentence."""
        answer: Answer = Future()
        with self._lock:
            self._asked.append(({**payload, "verb": verb}, answer))
            self._start()
            self._next()
        return answer

    def close(self) -> None:
        """End the process; what was asked is never answered."""
        with self._lock:
            self._closed = True
            worker, self._worker = self._worker, None
            waiting = [answer for _, answer in self._asked]
            self._asked.clear()
        if worker is not None:
            worker.kill()
        for answer in waiting:
            answer.cancel()

    def _start(self) -> None:
        if self._worker is None and not self._closed:
            self._ready = self._busy = False
            self._worker = WorkerProcess(
                self._function,
                environment=self._environment,
                log=self._log,
                on_message=self._receive,
            )

    def _next(self) -> None:
        """Hand over the first question if the process is free; the lock is held."""
        if self._worker is not None and self._ready and not self._busy and self._asked:
            self._busy = True
            self._worker.send(self._asked[0][0])

    def _receive(self, worker: WorkerProcess, message: Message) -> None:
        """A message, from a thread of its own; futures are told without the lock."""
        answer: Answer | None = None
        with self._lock:
            if worker is not self._worker:
                return
            kind = message["kind"]
            if kind == "ready":
                self._ready = True
            elif kind in ("done", "failed", "lost"):
                if self._asked and (self._busy or kind == "lost"):
                    answer = self._asked.popleft()[1]
                self._busy = False
                if kind == "lost":
                    self._worker = None
                    if self._asked:
                        self._start()
            self._next()
        if answer is None or answer.cancelled():
            return
        if message["kind"] == "done":
            answer.set_result(message["result"])
        else:
            mild = message.get("why") in ("input", "setup")
            answer.set_exception((InputError if mild else Img2MeshError)(str(message["error"])))
