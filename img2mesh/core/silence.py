"""C libraries that talk past Python's streams, on the descriptors of the process."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Literal

#: One thread at a time: two that overlap would put each other's silence back for good.
_LOCKS = {1: threading.RLock(), 2: threading.RLock()}


@contextmanager
def muted(descriptor: Literal[1, 2]) -> Iterator[None]:
    """What is written to stdout (1) or stderr (2) meanwhile goes nowhere.

    It is the whole process that is silent, so this belongs around a single call of a library.
    """
    with _LOCKS[descriptor]:
        with suppress(AttributeError, OSError, ValueError):  # there is none, or it was closed
            (sys.stdout if descriptor == 1 else sys.stderr).flush()
        try:
            kept = os.dup(descriptor)
        except OSError:  # closed by the caller: nothing can be heard
            yield
            return
        nowhere = os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(nowhere, descriptor)
            yield
        finally:
            os.dup2(kept, descriptor)
            os.close(kept)
            os.close(nowhere)
