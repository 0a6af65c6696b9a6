"""What this machine has to give: cores, memory and GPUs, as containers limit them."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from img2mesh.core import system

#: Memory a worker is taken to need unless --worker-memory says otherwise. Measured peaks of the
#: geometric generator are 1.0 GB (draft) to 1.6 GB (high); decoding a huge picture adds up to 1 GB.
WORKER_BYTES = 2_500_000_000
#: Zero123++ in float32: U-Net, ControlNet, VAE and towers, and the activations of one step.
LEARNED_WORKER_BYTES = 12_000_000_000

_GROUP = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class WorkerCount:
    """How many workers, and the sentence that says why."""

    jobs: int
    reason: str


def cores() -> int:
    """CPUs this process may use: the affinity mask, and the control group's quota."""
    found = system.cores()
    with suppress(OSError, ValueError):
        quota, period = (_GROUP / "cpu.max").read_text().split()
        found = min(found, max(1, int(quota) // int(period)))
    return found


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


def worker_bytes(*, learned: bool) -> int:
    """Memory that one worker is taken to need."""
    return LEARNED_WORKER_BYTES if learned else WORKER_BYTES


def choose_jobs(
    *, requested: int | None, threads: int, worker_bytes: int, gpus: int = 0
) -> WorkerCount:
    """As many workers as requested, else one a GPU, else one a core; fewer if memory is short.

    Args:
        requested: ``--jobs``, if given.
        threads: cores a worker computes on.
        worker_bytes: memory that a worker is taken to need.
        gpus: devices to deal out.
    """
    if requested:
        jobs, reason = requested, "--jobs"
    elif gpus:
        jobs, reason = gpus, f"one for each of {gpus} GPU{'s' * (gpus > 1)}"
    else:
        count = cores()
        jobs, reason = max(1, count // threads), f"{count} core{'s' * (count > 1)}"
    free = free_memory()
    fit = max(1, free // worker_bytes)
    if fit < jobs:
        return WorkerCount(
            fit,
            f"not {jobs}: {free / 1e9:.1f} GB of memory are free and a worker is reckoned at "
            f"{worker_bytes / 1e9:.1f} GB; --worker-memory reckons otherwise",
        )
    return WorkerCount(jobs, reason)
