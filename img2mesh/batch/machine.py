"""What this machine has to give: cores, memory and GPUs, as containers limit them."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

#: Memory a worker is reckoned at unless --worker-memory says otherwise. Measured peaks of the
#: geometric generator are 1.0 GB (draft) to 1.6 GB (high); decoding a huge picture adds up to 1 GB.
WORKER_BYTES = 2_500_000_000
#: Zero123++ in float32: U-Net, ControlNet, VAE and towers, and the activations of one step.
LEARNED_WORKER_BYTES = 12_000_000_000

_GROUP = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class Shape:
    """How many workers, and the sentence that says why."""

    jobs: int
    reason: str


def cores() -> int:
    """CPUs this process may use: the affinity mask, and the control group's quota."""
    found = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    with suppress(OSError, ValueError):
        quota, period = (_GROUP / "cpu.max").read_text().split()
        found = min(found or 1, max(1, int(quota) // int(period)))
    return found or 1


def free_memory() -> int:
    """Bytes that can still be used: of the machine, or of the control group if that is less."""
    import psutil

    free: int = psutil.virtual_memory().available
    with suppress(OSError, ValueError):
        limit = int((_GROUP / "memory.max").read_text())
        used = int((_GROUP / "memory.current").read_text())
        free = min(free, max(0, limit - used))
    return free


def gpus() -> list[str]:
    """NVIDIA devices by number, without loading torch; ``CUDA_VISIBLE_DEVICES`` is obeyed."""
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is not None:
        return [name.strip() for name in chosen.split(",") if name.strip() not in ("", "-1")]
    found = Path("/dev").glob("nvidia[0-9]*")
    return sorted((p.name.removeprefix("nvidia") for p in found), key=int)


def choose_jobs(*, threads: int, worker_bytes: int, gpus: int = 0) -> Shape:
    """Workers this machine carries: one a GPU if there are any, else as cores and memory allow."""
    if gpus:
        return Shape(gpus, f"one for each of {gpus} GPU{'s' * (gpus > 1)}")
    by_cores = max(1, cores() // threads)
    free = free_memory()
    by_memory = max(1, free // worker_bytes)
    each = f"{worker_bytes / 1e9:.1f} GB a worker"
    reason = f"{cores()} core{'s' * (cores() > 1)}, {free / 1e9:.1f} GB free, {each}"
    return Shape(min(by_cores, by_memory), reason)
