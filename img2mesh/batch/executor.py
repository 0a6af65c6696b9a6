"""What the scheduler needs of a machine or a cluster: slots, each with one worker process.

A worker is a process that reads tasks and tells messages, both as JSON objects:

``ready``   it can take a task; ``host``, ``pid``
``stage``   ``stage`` and ``fraction`` of the task it is at
``done``    ``result`` and ``rss``, the bytes of memory it now holds
``failed``  ``error`` (one sentence), ``why`` (``input``, ``setup``, ``full`` or ``error``), ``rss``
``lost``    told by the executor: the process is gone; ``error`` says how
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

Message = dict[str, Any]


class Executor(Protocol):
    """Slots that are filled with workers, here or elsewhere."""

    @property
    def slots(self) -> int:
        """How many workers there may be."""

    def start(self, slot: int) -> None:
        """Put a fresh worker into an empty slot; it tells ``ready`` when it is."""

    def submit(self, slot: int, payload: Mapping[str, Any]) -> None:
        """Give a ready worker a task."""

    def stop(self, slot: int) -> None:
        """End a slot's worker at once, whatever it does; nothing more is heard of it."""

    def poll(self, seconds: float) -> tuple[int, Message] | None:
        """The next message of a worker that still has its slot, waiting up to ``seconds``."""

    def close(self) -> None:
        """End every worker."""
