"""What this system has to tell of itself, whichever it is: no module here is POSIX's alone."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path


def cores() -> int:
    """CPUs this process may use."""
    if hasattr(os, "sched_getaffinity"):  # Linux alone
        return len(os.sched_getaffinity(0)) or 1
    return os.cpu_count() or 1


def began(process: int) -> float | None:
    """When a process of this machine began, in seconds; None if there is none of that number."""
    try:
        import psutil
    except ImportError:  # it imports on Linux what other systems lack
        return 0.0 if Path(f"/proc/{process}").exists() else None
    try:
        return float(psutil.Process(process).create_time())
    except (psutil.Error, ValueError, OverflowError):
        return None


def total_memory() -> int:
    """Bytes of memory of the machine."""
    import psutil

    total: int = psutil.virtual_memory().total
    return total


def peak_memory() -> int:
    """Most bytes of memory that this process has held; 0 where nothing tells."""
    try:
        import resource
    except ImportError:  # Windows
        return _peak_of_windows()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def release_memory() -> None:
    """Give back what C's allocator keeps of freed memory, where it can be told to (glibc)."""
    import ctypes

    with suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)


def _peak_of_windows() -> int:
    try:
        import psutil
    except ImportError:
        return 0
    held = psutil.Process().memory_info()
    return int(getattr(held, "peak_wset", held.rss))
