"""The queue: photos are made one at a time, by one worker process that keeps its libraries loaded.

There is no thread of its own: whatever adds a photo, cancels one or brings a message of a worker
also starts the next. A photo that is cancelled while it is made costs the worker, which is ended at
once; stages and files are put in place by a rename, so nothing is left half done, and the next
photo starts a fresh worker. Outlines come from the desk, so they need not wait for a making.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import CancelledError
from dataclasses import replace
from pathlib import Path
from typing import Any

from img2mesh.errors import Img2MeshError, InputError
from img2mesh.web import cards, items, places, progress
from img2mesh.web.desk import Answer, Desk
from img2mesh.web.items import FINISHED, Item, Version
from img2mesh.worker.process import WorkerProcess
from img2mesh.worker.protocol import Message

#: Photos that may wait.
WAITING = 200


class FullError(InputError):
    """There is no room for another photo now."""


class Queue:
    """See the module.

    Args:
        function: what the worker does with a photo, as ``module:name``.
        task: a version's wish as the worker gets it: :func:`img2mesh.worker.task.encode`'s parts.
        desk: who finds outlines.
        root: the output folder.
        environment: variables for the worker.
        log: file for what its libraries print.
        stages: in order, those of the whole.
        past: photos that were made before this server's life, the oldest first.
        clock: seconds, only ever more.
    """

    def __init__(
        self,
        function: str,
        task: Callable[[Mapping[str, Any]], Mapping[str, Any]],
        desk: Desk,
        root: Path,
        *,
        environment: Mapping[str, str],
        log: Path,
        stages: tuple[str, ...],
        past: tuple[Item, ...] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.desk = desk
        self.task = task
        self._function = function
        self._root = root
        self._environment = dict(environment)
        self._log = log
        self._stages = stages
        self._clock = clock
        self._expected: dict[str, float] = dict(progress.USUAL)
        self._lock = threading.RLock()
        self._revision = 1
        self._items = {item.id: replace(item, revision=1) for item in past}  # the oldest first
        self._removed: dict[str, int] = {}  # id: revision
        self._running: str | None = None
        self._worker: WorkerProcess | None = None
        self._ready = False
        self._closed = False

    # What people ask for

    def add(self, item: Item) -> None:
        """Put a photo at the end.

        Raises:
            FullError: too many wait.
        """
        with self._lock:
            self.require_room()
            self._store(item)
            self._cut(item)

    def require_room(self) -> None:
        """Refuse another photo where too many wait.

        Raises:
            FullError: too many do.
        """
        with self._lock:
            open_ = sum(item.last.state not in FINISHED for item in self._items.values())
        if open_ >= WAITING:
            raise FullError(f"{open_} photos wait here already: try again when some are done")

    def answer(self, key: str, wish: Mapping[str, Any]) -> bool:
        """The owner says what the object is; a photo that is done gets a new version of it.

        Args:
            key: the photo's id.
            wish: ``accept``, ``box``, ``whole`` or ``mask``.
        """
        with self._lock:
            item = self._items[key]
            if item.last.state in ("cutting", "running", "waiting"):
                return False
            if item.last.state != "asking":
                return self.again(key, _with_cut(item.last.wish, wish))
            if wish.get("accept") and item.outline.get("refused"):
                return False
            item = item.becoming(wish=_with_cut(item.last.wish, wish))
            if wish.get("accept"):
                self._wait(item)
            else:
                self._cut(item)
            return True

    def again(self, key: str, wish: Mapping[str, Any], *, retry: bool = False) -> bool:
        """Make a further version with another wish; False while one is under way.

        With ``retry`` a version that came to nothing is replaced by the new one.
        """
        with self._lock:
            item = self._items[key]
            if item.last.state not in FINISHED or self._closed:
                return False
            kept = item.versions
            if retry and item.last.state in ("failed", "cancelled"):
                kept = kept[:-1]
            number = max((one.number for one in kept), default=0) + 1
            cut_anew = not item.outline or _cut_of(wish) != _cut_of(item.last.wish)
            item = replace(item, versions=(*kept, Version(number, wish)))
            if cut_anew or item.outline.get("refused"):
                self._cut(item)
            else:
                self._wait(item)
            return True

    def cancel(self, key: str) -> bool:
        """Take a photo out, whether it waits or is being made; False if it had ended before."""
        with self._lock:
            item = self._items[key]
            if item.last.state in FINISHED:
                return False
            if key == self._running:
                self._end_worker()
            self._finish(item.becoming(state="cancelled"))
            return True

    def remove(self, key: str) -> Item:
        """Forget a photo that has ended, or end it first."""
        with self._lock:
            self.cancel(key)
            item = self._items.pop(key)
            self._revision += 1
            self._removed[key] = self._revision
            places.discard(item.photo)
            return item

    def find(self, key: str) -> Item | None:
        """A photo by its id."""
        with self._lock:
            return self._items.get(key)

    def all(self) -> list[Item]:
        """Every photo, the oldest first."""
        with self._lock:
            return list(self._items.values())

    @property
    def revision(self) -> int:
        """Grows with every change."""
        with self._lock:
            return self._revision

    def changed(self, since: int) -> tuple[int, list[dict[str, Any]], list[str]]:
        """(revision, cards that changed after ``since`` in the order they came, removed ids)."""
        with self._lock:
            now = self._clock()
            ahead, told = 0, []
            for item in self._items.values():
                # What waits is told whenever it is asked for: others before it may have gone.
                moving = item.last.state in ("waiting", "running")
                if item.revision > since or moving:
                    told.append(self._card(item, now, ahead))
                ahead += item.last.state in ("waiting", "running")
            gone = [key for key, when in self._removed.items() if when > since]
            return self._revision, told, gone

    def card(self, key: str) -> dict[str, Any] | None:
        """One photo as the page gets it, or None."""
        with self._lock:
            ahead = 0
            for item in self._items.values():
                if item.id == key:
                    return self._card(item, self._clock(), ahead)
                ahead += item.last.state in ("waiting", "running")
            return None

    def usual_seconds(self) -> dict[str, float]:
        """What each stage is expected to take."""
        with self._lock:
            return dict(self._expected)

    def payload(self, item: Item, version: Version) -> dict[str, Any]:
        """A version as the desk or the worker gets it."""
        mask = version.wish.get("mask")
        return {
            **self.task(version.wish),
            "source": str(item.photo),
            "mask": str(item.photo.parent / mask) if mask else None,
        }

    def close(self) -> bool:
        """End the workers and cancel what will not be made; False if that was done before."""
        with self._lock:
            if self._closed:
                return False
            self._closed = True
            self._end_worker()
            for item in list(self._items.values()):
                if item.last.state not in FINISHED:
                    self._finish(item.becoming(state="cancelled"))
                    if len(item.versions) == 1:
                        places.discard(item.photo)
        self.desk.close()
        return True

    # What happens

    def _card(self, item: Item, now: float, ahead: int) -> dict[str, Any]:
        return cards.card(item, now, ahead=ahead, stages=self._stages, expected=self._expected)

    def _store(self, item: Item) -> Item:
        self._revision += 1
        item = replace(item, revision=self._revision)
        self._items[item.id] = item
        return item

    def _cut(self, item: Item) -> None:
        """Ask the desk for the outline; the lock is held."""
        item = self._store(item.becoming(state="cutting"))
        number = item.last.number
        asked = self.desk.ask("outline", self.payload(item, item.last))
        asked.add_done_callback(lambda answer: self._outlined(item.id, number, answer))

    def _outlined(self, key: str, number: int, answer: Answer) -> None:
        """The desk has answered."""
        with self._lock:
            item = self._items.get(key)
            if item is None or item.last.number != number or item.last.state != "cutting":
                return
            try:
                told = answer.result()
            except CancelledError:
                return
            except Img2MeshError as error:
                failed = items.sentence(item.photo, str(error))
                self._finish(item.becoming(state="failed", error=failed))
                return
            refused = items.sentence(item.photo, told.get("refused", ""))
            item = replace(item, outline={**told, "refused": refused})
            doubted = not told["sure"] or "box" in item.last.wish
            if item.asks and (refused or doubted):
                self._store(item.becoming(state="asking"))
            elif refused:
                self._finish(item.becoming(state="failed", error=refused))
            else:
                self._wait(item)

    def _wait(self, item: Item) -> None:
        self._store(item.becoming(state="waiting"))
        self._start_next()

    def _start_next(self) -> None:
        """Begin the next photo if none is being made; the lock is held."""
        if self._running is not None or self._closed:
            return
        following = next((i for i in self._items.values() if i.last.state == "waiting"), None)
        if following is None:
            return
        self._running = following.id
        self._store(following.becoming(state="running", since=self._clock()))
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
        item = self._items[self._running]
        where = {"output_dir": str(self._root), "name": places.name_for(self._root, item)}
        self._worker.send({**self.payload(item, item.last), **where})

    def _receive(self, worker: WorkerProcess, message: Message) -> None:
        """A message of a worker, from a thread of its own."""
        if message["kind"] == "done":
            message = {**message, "result": places.with_sums(message["result"])}
        with self._lock:
            if worker is not self._worker:  # it was ended meanwhile
                return
            if message["kind"] == "ready":
                self._ready = True
                if self._running is not None:
                    self._send()
                return
            if message["kind"] == "lost":
                self._worker, self._ready = None, False
            if self._running is None:
                return
            item = self._items[self._running]
            last = items.updated(item.last, message, self._clock(), item.photo)
            item = replace(item, versions=(*item.versions[:-1], last))
            if last.state in FINISHED:
                self._finish(item)
            else:
                self._store(item)

    def _finish(self, item: Item) -> None:
        """A version has ended: keep what became of it, and go on; the lock is held."""
        item = self._store(item)
        if item.last.state == "done":
            self._expected = progress.learned_from(self._expected, item.last)
            self._take_over(item)
            places.remember(item)
        if self._running == item.id:
            self._running = None
        self._start_next()

    def _take_over(self, item: Item) -> None:
        """Whatever else was in the folder that a version was now written to is no more."""
        folder = item.last.result["folder"]
        for other in list(self._items.values()):
            kept = tuple(
                version
                for version in other.versions
                if version.result.get("folder") != folder
                or (other.id == item.id and version.number == item.last.number)
            )
            if not kept:
                self.remove(other.id)
            elif kept != other.versions:
                self._store(replace(other, versions=kept))

    def _end_worker(self) -> None:
        worker, self._worker, self._ready = self._worker, None, False
        if worker is not None:
            worker.kill()


_CUT = ("box", "whole", "mask", "accept")


def _cut_of(wish: Mapping[str, Any]) -> dict[str, Any]:
    return {name: wish[name] for name in ("box", "whole", "mask") if name in wish}


def _with_cut(wish: Mapping[str, Any], answer: Mapping[str, Any]) -> dict[str, Any]:
    """The wish with another cutout; accepting keeps the one that was shown."""
    if answer.get("accept"):
        return {**wish, "accept": True}
    return {**{k: v for k, v in wish.items() if k not in _CUT}, **answer}
