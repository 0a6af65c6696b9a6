"""The queue: photos are made one at a time, by one worker process that keeps its libraries loaded.

There is no thread of its own: whatever adds a photo, cancels one or brings a message of the worker
also starts the next. A photo that is cancelled while it is made costs the worker, which is ended at
once; stages and files are put in place by a rename, so nothing is left half done, and the next
photo starts a fresh worker.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from img2mesh.web import items
from img2mesh.web.items import Item
from img2mesh.web.uploads import discard
from img2mesh.worker.process import WorkerProcess
from img2mesh.worker.protocol import Message


class Queue:
    """See the module.

    Args:
        function: what the worker does with a photo, as ``module:name``.
        payload: what it gets besides ``source``.
        environment: variables for the worker.
        log: file for what its libraries print.
        clock: seconds, only ever more.
    """

    def __init__(
        self,
        function: str,
        payload: Mapping[str, Any],
        *,
        environment: Mapping[str, str],
        log: Path,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._function = function
        self._payload = dict(payload)
        self._environment = dict(environment)
        self._log = log
        self._clock = clock
        self._lock = threading.Lock()
        self._items: dict[str, Item] = {}  # in the order they came
        self._running: str | None = None
        self._worker: WorkerProcess | None = None
        self._ready = False
        self._closed = False

    def add(self, item: Item) -> None:
        """Put a photo at the end."""
        with self._lock:
            self._items[item.id] = item
            self._start_next()

    def cancel(self, name: str) -> bool:
        """Take a photo out, whether it waits or is being made; False if it had ended before."""
        with self._lock:
            item = self._items[name]
            if item.state in items.FINISHED:
                return False
            if name == self._running:
                self._end_worker()
            self._finish(items.cancelled(item))
            return True

    def find(self, name: str) -> Item | None:
        """A photo by its id."""
        with self._lock:
            return self._items.get(name)

    def as_json(self) -> list[dict[str, Any]]:
        """Every photo as the page gets it, in the order they came."""
        with self._lock:
            now = self._clock()
            ahead, cards = 0, []
            for item in self._items.values():
                cards.append(items.as_json(item, now, ahead=ahead))
                ahead += item.state not in items.FINISHED
            return cards

    def close(self) -> None:
        """End the worker and cancel what it will not make."""
        with self._lock:
            self._closed = True
            self._end_worker()
            for item in list(self._items.values()):
                if item.state not in items.FINISHED:
                    self._finish(items.cancelled(item))

    def _start_next(self) -> None:
        """Begin the next photo if none is being made; the lock is held."""
        if self._running is not None or self._closed:
            return
        following = next((i for i in self._items.values() if i.state == "waiting"), None)
        if following is None:
            return
        self._running = following.id
        self._items[following.id] = items.started(following, self._clock())
        if self._worker is None:
            self._worker = WorkerProcess(
                self._function,
                environment=self._environment,
                log=self._log,
                on_message=self._receive,
            )
        elif self._ready:
            self._send()

    def _send(self) -> None:
        assert self._worker is not None and self._running is not None
        photo = self._items[self._running].photo
        self._worker.send({**self._payload, "source": str(photo)})

    def _receive(self, worker: WorkerProcess, message: Message) -> None:
        """A message of a worker, from a thread of its own."""
        with self._lock:
            if worker is not self._worker:  # it was ended meanwhile
                return
            if message["kind"] == "ready":
                self._ready = True
                self._send()
                return
            if message["kind"] == "lost":
                self._worker, self._ready = None, False
            if self._running is None:
                return
            item = items.updated(self._items[self._running], message, self._clock())
            if item.state in items.FINISHED:
                self._finish(item)
            else:
                self._items[item.id] = item

    def _finish(self, item: Item) -> None:
        """An item has ended: keep what became of it, and go on; the lock is held."""
        self._items[item.id] = item
        if item.state != "done":  # run.json of one that is done names the photo
            discard(item.photo)
        if self._running == item.id:
            self._running = None
        self._start_next()

    def _end_worker(self) -> None:
        worker, self._worker, self._ready = self._worker, None, False
        if worker is not None:
            worker.kill()
