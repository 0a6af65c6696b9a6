"""The worker process: one task after another, with what it loaded kept in memory.

``python -m img2mesh.batch.worker module:function`` reads a task a line and tells a message a line
(see :mod:`img2mesh.batch.executor`). ``function(payload, tell)`` returns what there is to know
about a finished task, a JSON object; ``tell(stage, fraction)`` may be called on the way.
"""

from __future__ import annotations

import errno
import importlib
import json
import os
import queue
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from typing import Any, TextIO

from img2mesh.errors import InputError, MissingExtraError

Tell = Callable[[str, float], None]
Function = Callable[[Mapping[str, Any], Tell], dict[str, Any]]

#: A disk in this state fails every item alike.
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}
_SECONDS_BETWEEN_NEWS = 0.25


def main(reference: str) -> None:
    """Serve until the pipe closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # What libraries print must not get between the messages.
    told = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    function = _resolve(reference)  # before there is a thread that would be in an exit's way
    tasks: queue.Queue[dict[str, Any]] = queue.Queue()
    threading.Thread(target=_receive, args=(tasks,), daemon=True).start()
    _send(told, kind="ready", host=socket.gethostname(), pid=os.getpid())
    while True:
        _serve(function, tasks.get(), told)


def _receive(tasks: queue.Queue[dict[str, Any]]) -> None:
    """Queue tasks; when the pipe closes the parent is gone, and so is the reason to be here.

    At once and in the middle of whatever is computed: a batch that is resumed must not find the
    orphans of the last one still writing.
    """
    for line in sys.stdin.buffer:
        tasks.put(json.loads(line))
    os._exit(0)


def _resolve(reference: str) -> Function:
    module, _, name = reference.partition(":")
    function: Function = getattr(importlib.import_module(module), name)
    return function


def _serve(function: Function, payload: dict[str, Any], told: TextIO) -> None:
    said, at = 0.0, ""

    def tell(stage: str, fraction: float) -> None:
        nonlocal said, at
        now = time.monotonic()
        if stage != at or now - said >= _SECONDS_BETWEEN_NEWS:
            said, at = now, stage
            _send(told, kind="stage", stage=stage, fraction=round(fraction, 3))

    try:
        result = function(payload, tell)
        _send(told, kind="done", result=result, rss=_rss())
    except (Exception, SystemExit) as error:
        traceback.print_exc()
        sys.stderr.flush()
        sentence = " ".join(str(error).split()) or type(error).__name__
        _send(told, kind="failed", error=sentence, why=_why(error), rss=_rss())


def _why(error: BaseException) -> str:
    """``full``: no item can be written; ``input``: this one is bad; ``setup``; or ``error``."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno in _FULL:
            return "full"
        cause = cause.__cause__ or cause.__context__
    if isinstance(error, MissingExtraError):
        return "setup"
    return "input" if isinstance(error, InputError) else "error"


def _rss() -> int:
    import psutil

    size: int = psutil.Process().memory_info().rss
    return size


def _send(told: TextIO, **message: object) -> None:
    try:
        told.write(json.dumps(message) + "\n")
        told.flush()
    except OSError:
        os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1])
