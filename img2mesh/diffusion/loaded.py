"""The one loaded model of this process: read at its first use, kept for the next picture.

Reading a published checkpoint takes longer than drawing with it, and a photo is drawn from once or
twice.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from img2mesh.errors import InputError

M = TypeVar("M")

#: How often a model was read in this process.
reads = 0
_kept: tuple[Hashable, Any] | None = None
_lock = threading.RLock()


@contextmanager
def loaded(key: Hashable, read: Callable[[], M]) -> Iterator[M]:
    """The model of a key, for one thread at a time.

    One is kept; another key takes its room. What failed is not kept, so that memory that ran out
    is free again.

    Args:
        key: all that makes it another model: kind, files and their content, place.
        read: reads it.
    """
    global _kept, reads
    with _lock:
        if _kept is None or _kept[0] != key:
            forget()
            _kept, reads = (key, read()), reads + 1
        model: M = _kept[1]
        try:
            yield model
        except InputError:
            raise
        except BaseException:
            forget()
            raise


def forget() -> None:
    """Free the memory of the model that is kept."""
    global _kept
    with _lock:
        _kept = None
