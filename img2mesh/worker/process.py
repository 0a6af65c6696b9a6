"""One worker process and the pipes to it: tasks in, messages out, as JSON lines."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from img2mesh.worker.protocol import Message

_TAIL = 4096  # bytes at the end of a dead worker's log that are looked at


class WorkerProcess:
    """A process running :mod:`img2mesh.worker.main`.

    Args:
        function: what it does with a task, as ``module:name``.
        environment: variables besides this process' own.
        log: file for what its libraries print; started anew.
        on_message: called from a thread with this object and every message, in the end ``lost``;
            also with what was on its way when the process was killed.
    """

    def __init__(
        self,
        function: str,
        *,
        environment: Mapping[str, str],
        log: Path,
        on_message: Callable[[WorkerProcess, Message], None],
    ) -> None:
        log.parent.mkdir(parents=True, exist_ok=True)
        self._log = log
        self._on_message = on_message
        with log.open("wb") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "img2mesh.worker.main", function],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env={**os.environ, **environment},
                # Ctrl-C is the parent's to answer; a worker that catches it half-way would report
                # a failure that is none.
                start_new_session=True,
            )
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def send(self, payload: Mapping[str, Any]) -> None:
        """Hand over a task; if the process is gone, ``lost`` comes anyway."""
        assert self._process.stdin is not None
        with suppress(OSError):
            self._process.stdin.write(json.dumps(payload).encode() + b"\n")
            self._process.stdin.flush()

    def kill(self) -> None:
        """End it at once and wait until it is gone."""
        self._process.kill()
        self._process.wait()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            with suppress(ValueError):  # a line torn by the process' end
                self._on_message(self, json.loads(line))
        reason = self._exit_reason(self._process.wait())
        self._on_message(self, {"kind": "lost", "error": reason})

    def _exit_reason(self, code: int) -> str:
        if code < 0:
            with suppress(ValueError):
                name = signal.Signals(-code).name
                likely = ", most likely because memory ran out" if name == "SIGKILL" else ""
                return f"the worker was ended by {name}{likely}"
        with suppress(OSError):
            text = self._log.read_bytes()[-_TAIL:].decode("utf-8", "replace").strip()
            if text:
                return f"the worker ended with code {code}: {text.splitlines()[-1][:300]}"
        return f"the worker ended with code {code}"
