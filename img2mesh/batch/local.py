"""Worker processes on this machine."""

from __future__ import annotations

import queue
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from img2mesh.batch.scheduler import Executor
from img2mesh.worker.process import WorkerProcess
from img2mesh.worker.protocol import Message


class LocalExecutor(Executor):
    """``jobs`` slots, each a process of its own; see ``Executor``.

    Args:
        function: what a worker does with a task, as ``module:name``.
        jobs: how many.
        environment: variables for every worker.
        logs: folder for what the workers' libraries print.
        gpus: device numbers to deal out in turn; a worker sees only its own.
    """

    def __init__(
        self,
        function: str,
        *,
        jobs: int,
        environment: Mapping[str, str],
        logs: Path,
        gpus: Sequence[str] = (),
    ) -> None:
        self._function = function
        self._environment = dict(environment)
        self._logs = logs
        self._gpus = gpus
        self._messages: queue.Queue[tuple[int, WorkerProcess, Message]] = queue.Queue()
        self._workers: list[WorkerProcess | None] = [None] * jobs

    @property
    def slots(self) -> int:
        return len(self._workers)

    def start(self, slot: int) -> None:
        environment = dict(self._environment)
        if self._gpus:
            environment["CUDA_VISIBLE_DEVICES"] = self._gpus[slot % len(self._gpus)]
        self._workers[slot] = WorkerProcess(
            self._function,
            environment=environment,
            log=self._logs / f"worker-{slot + 1}.log",
            on_message=lambda worker, message: self._messages.put((slot, worker, message)),
        )

    def submit(self, slot: int, payload: Mapping[str, Any]) -> None:
        worker = self._workers[slot]
        assert worker is not None
        worker.send(payload)

    def stop(self, slot: int) -> None:
        worker, self._workers[slot] = self._workers[slot], None
        if worker is not None:
            worker.kill()

    def poll(self, seconds: float) -> tuple[int, Message] | None:
        with suppress(queue.Empty):
            slot, worker, message = self._messages.get(timeout=max(seconds, 0.0))
            while worker is not self._workers[slot]:  # it was stopped meanwhile
                slot, worker, message = self._messages.get_nowait()
            return slot, message
        return None

    def close(self) -> None:
        for slot in range(self.slots):
            self.stop(slot)
