"""What is known of one photo: an immutable value, and how a message of the worker changes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

FINISHED = ("done", "failed", "cancelled")


@dataclass(frozen=True)
class Item:
    """A photo in the queue.

    Attributes:
        id: unguessable; the address of its files.
        photo: where it was stored.
        state: ``waiting``, ``running``, ``done``, ``failed`` or ``cancelled``.
        stage: what is being done; empty while the worker starts.
        fraction: of the stage that is done.
        since: when the stage began, by a clock that only goes forward.
        seconds: what the stages before it took here, which is nothing for those in the cache.
        error: the one sentence of a failure.
        result: what :func:`img2mesh.worker.task.run` returned.
    """

    id: str
    photo: Path
    state: str = "waiting"
    stage: str = ""
    fraction: float = 0.0
    since: float = 0.0
    seconds: Mapping[str, float] = field(default_factory=dict)
    error: str = ""
    result: Mapping[str, Any] = field(default_factory=dict)


def started(item: Item, now: float) -> Item:
    """The item when its turn comes."""
    return replace(item, state="running", since=now)


def updated(item: Item, message: Mapping[str, Any], now: float) -> Item:
    """The item after a message of its worker; see :mod:`img2mesh.worker.protocol`."""
    match message["kind"]:
        case "stage" if message["stage"] == item.stage:
            return replace(item, fraction=message["fraction"])
        case "stage":
            return replace(
                _with_stage_time(item, now),
                stage=message["stage"],
                fraction=message["fraction"],
                since=now,
            )
        case "done":
            return replace(_with_stage_time(item, now), state="done", result=message["result"])
        case "failed" | "lost":
            return replace(item, state="failed", error=_sentence(item, str(message["error"])))
    return item


def cancelled(item: Item) -> Item:
    """The item when nobody wants it any more."""
    return replace(item, state="cancelled")


def _with_stage_time(item: Item, now: float) -> Item:
    """The item when the stage that it was at is over."""
    if not item.stage:
        return item
    return replace(item, seconds={**item.seconds, item.stage: round(now - item.since, 1)})


def _sentence(item: Item, error: str) -> str:
    """The error, with the photo called what its owner calls it."""
    return error.replace(str(item.photo), item.photo.name)


def seconds_left(fraction: float, elapsed: float) -> float | None:
    """What a stage still takes if it goes on as it did; None while that says nothing."""
    if not 0.03 <= fraction < 1 or elapsed < 1:
        return None
    return elapsed * (1 - fraction) / fraction


def drawn_by(generator: str, *, learned: bool, licences: tuple[str, ...] = ()) -> str:
    """Who drew the sides that the photo does not show: what nobody may take for something else."""
    if learned:
        terms = ", ".join(licences) or "licence not stated"
        return f"{generator}: a learned model ({terms}); unseen sides are its guess"
    return (
        f"{generator}: weight-free, nothing learned; unseen sides are a guess from the photo's "
        "outline and colours"
    )


def as_json(item: Item, now: float, *, ahead: int) -> dict[str, Any]:
    """The item as the page gets it; ``ahead`` others come before it."""
    card: dict[str, Any] = {"id": item.id, "name": item.photo.name, "state": item.state}
    match item.state:
        case "waiting":
            card |= {"ahead": ahead}
        case "running":
            left = seconds_left(item.fraction, now - item.since)
            card |= {
                "stage": item.stage,
                "fraction": item.fraction,
                "seconds_left": None if left is None else round(left),
                "seconds": dict(item.seconds),
            }
        case "failed":
            card |= {"error": item.error, "stage": item.stage}
        case "done":
            card |= {"seconds": dict(item.seconds), **_outcome(item.result)}
    return card


def _outcome(result: Mapping[str, Any]) -> dict[str, Any]:
    quality = result["quality"]
    generator = str(quality.get("generator", "unknown"))
    learned = bool(quality.get("learned_weights"))
    licences = tuple(map(str, quality.get("licences") or ()))
    return {
        "folder": result["folder"],
        "files": result["files"],
        "drawn_by": drawn_by(generator, learned=learned, licences=licences),
        "report": {
            **quality,
            "seconds_this_run": result["seconds"],
            "cached": result["cached"],
        },
        "warnings": result["warnings"],
    }
