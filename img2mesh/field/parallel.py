"""The same work on many parts, on every core, with the same bytes on however many."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import torch

from img2mesh.core.runtime import threads

#: Numbers worked on at once, so that what is between two steps stays in the cache of a core, and
#: so that a GPU has enough to do; its memory holds some dozens of such arrays.
_AT_ONCE_CPU, _AT_ONCE_GPU = 1 << 19, 1 << 24

Part = TypeVar("Part")
Result = TypeVar("Result")


def split(count: int, size: int, device: torch.device) -> list[tuple[int, int]]:
    """First and last of so many things, a part at a time; ``size`` numbers belong to each thing."""
    room = _AT_ONCE_CPU if device.type == "cpu" else _AT_ONCE_GPU
    step = max(1, room // max(1, size))
    return [(begin, min(begin + step, count)) for begin in range(0, count, step)]


def each(
    work: Callable[[Part], Result], parts: Sequence[Part], device: torch.device
) -> list[Result]:
    """The results of work on every part, in order.

    Parts must not write what others read. Each is computed by one torch thread, so that nothing is
    summed in another order. A GPU is kept busy by one thread.
    """
    workers = 1 if device.type != "cpu" else min(threads(), len(parts))
    if workers < 2:
        return [work(part) for part in parts]
    with ThreadPoolExecutor(workers, initializer=_calm) as pool:
        return list(pool.map(work, parts))


@contextmanager
def calm_torch() -> Iterator[None]:
    """One torch thread and no denormals while fitting.

    The tensors are small: more threads mostly wait for each other, badly so on a busy machine, and
    reductions split over threads would make the bytes depend on their number.
    """
    before = torch.get_num_threads()
    _calm()
    try:
        yield
    finally:
        torch.set_num_threads(before)
        torch.set_flush_denormal(False)


def _calm() -> None:
    """Both are settings of the thread that asks for them."""
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
