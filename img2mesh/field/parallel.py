"""The same work on many parts, on every core, with the same bytes on however many."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import torch

from img2mesh.core.runtime import threads

Part = TypeVar("Part")
Result = TypeVar("Result")


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
