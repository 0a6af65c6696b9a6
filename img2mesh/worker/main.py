"""The worker process: one task after another, with what it loaded kept in memory.

``python -m img2mesh.worker.main module:function`` reads tasks and writes messages as
:mod:`img2mesh.worker.protocol` says; ``function`` is a ``protocol.Function``.
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
from typing import Any, TextIO

from img2mesh.errors import InputError, MissingExtraError
from img2mesh.worker.protocol import Function, Why

#: A disk in this state fails every item alike.
_FULL = {errno.ENOSPC, errno.EROFS, getattr(errno, "EDQUOT", errno.ENOSPC)}
_SECONDS_BETWEEN_MESSAGES = 0.25


def main(reference: str) -> None:
    """Serve until the pipe closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # What libraries print must not get between the messages.
    messages = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    function = _resolve(reference)  # before there is a thread that would be in an exit's way
    tasks: queue.Queue[dict[str, Any]] = queue.Queue()
    threading.Thread(target=_receive, args=(tasks,), daemon=True).start()
    _send(messages, kind="ready", host=socket.gethostname(), pid=os.getpid())
    while True:
        _do(function, tasks.get(), messages)


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


def _do(function: Function, payload: dict[str, Any], messages: TextIO) -> None:
    sent, last = 0.0, ""

    def report_progress(stage: str, fraction: float) -> None:
        nonlocal sent, last
        now = time.monotonic()
        if stage != last or now - sent >= _SECONDS_BETWEEN_MESSAGES:
            sent, last = now, stage
            _send(messages, kind="stage", stage=stage, fraction=round(fraction, 3))

    try:
        result = function(payload, report_progress)
        _send(messages, kind="done", result=result, rss=_rss())
    except (Exception, SystemExit) as error:
        traceback.print_exc()
        sys.stderr.flush()
        sentence = " ".join(str(error).split()) or type(error).__name__
        _send(messages, kind="failed", error=sentence, why=_why(error), rss=_rss())


def _why(error: BaseException) -> Why:
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


def _send(messages: TextIO, **message: object) -> None:
    try:
        messages.write(json.dumps(message) + "\n")
        messages.flush()
    except OSError:
        os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1])
