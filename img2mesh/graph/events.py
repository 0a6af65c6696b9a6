"""What a runner tells while it works. Command line, batch and web are readers of this stream."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from img2mesh.graph.reasons import Reason


@dataclass(frozen=True)
class Planned:
    """What will become of a stage; told for every stage before the first one runs.

    ``upstream`` is the cautious reason: should the upstream result come out the same as before,
    the stage is reused after all.
    """

    stage: str
    key: str
    cached: bool
    reason: Reason | None

    def __str__(self) -> str:
        told = f"runs, {self.reason.sentence}" if self.reason else f"cached {self.key[:8]}"
        return f"{self.stage}: {told}"


@dataclass(frozen=True)
class Waiting:
    """Another process is making this very result."""

    stage: str
    key: str


@dataclass(frozen=True)
class Started:
    """The stage's function is about to be called."""

    stage: str
    key: str


@dataclass(frozen=True)
class Progressed:
    """``fraction`` in [0, 1] of the stage is done."""

    stage: str
    fraction: float
    message: str = ""


@dataclass(frozen=True)
class Reused:
    """The result was in the cache."""

    stage: str
    key: str
    folder: Path


@dataclass(frozen=True)
class Finished:
    """The result was made, and stored where there is a store."""

    stage: str
    key: str
    seconds: float
    folder: Path | None
    notes: tuple[str, ...] = ()


Event = Planned | Waiting | Started | Progressed | Reused | Finished
