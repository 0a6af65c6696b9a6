"""Environment variables that must be set before torch is loaded: steady numbers, polite threads."""

from __future__ import annotations

import os

STEADY = {
    # Idle OpenMP threads that spin slow a busy machine down by up to 13 times (measured with two
    # torch threads on two loaded cores).
    "OMP_WAIT_POLICY": "PASSIVE",
    "GOMP_SPINCOUNT": "0",
    # Fewer threads on a busy machine would sum in another order: other last bits, other bytes.
    "MKL_DYNAMIC": "FALSE",
    "OMP_DYNAMIC": "FALSE",
    # The same sums whatever the alignment of the memory they were given.
    "MKL_CBWR": "AUTO,STRICT",
}


ROOMY = {
    # glibc hands large blocks back to the system at once and asks for them anew, which costs a
    # long-lived worker 300 000 page faults an item (measured, draft preset), 7 % of its time.
    "MALLOC_MMAP_THRESHOLD_": str(32 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(512 << 20),
    "MALLOC_TOP_PAD_": str(64 << 20),
}


def with_threads(count: int) -> dict[str, str]:
    """``STEADY`` for a worker process whose libraries compute on ``count`` threads each."""
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
    return STEADY | ROOMY | dict.fromkeys((*names, "OPENCV_FOR_THREADS_NUM"), str(count))


def threads() -> int:
    """How many threads this process may compute on: what its libraries were told, or every core."""
    told = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0]
    return max(1, int(told)) if told.strip().isdigit() else os.cpu_count() or 1
