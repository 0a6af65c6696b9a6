"""What a watcher is told: how far it is, how long it will take, and failures as they come."""

from __future__ import annotations

import io
import time

import pytest
from rich.console import Console

from img2mesh.batch.display import Display, Tally, show_summary
from img2mesh.batch.scheduler import (
    Began,
    Ended,
    Event,
    Ready,
    Replaced,
    Retrying,
    Staged,
    Status,
    Task,
)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


def ended(slot: int, name: str, status: Status, seconds: float) -> Ended:
    errors = () if status == "done" else ("it is a poem",)
    return Ended(slot, Task(name, {}), status, errors, seconds, "here", {})


def test_time_left_is_that_of_good_items_on_all_workers(clock: list[float]) -> None:
    tally = Tally(total=12, skipped=2)
    tally(Began(0, "a", 1))
    tally(Began(1, "b", 1))
    assert tally.left is None
    tally(ended(0, "a", "quarantined", 0.1))
    assert tally.left is None, "a bad input says nothing of the others"
    tally(Began(0, "c", 1))
    clock[0] += 20
    tally(ended(1, "b", "done", 20.0))
    tally(Began(1, "d", 1))
    # 8 to go at 20 s each, one of them 20 s old, on two workers.
    assert tally.left == pytest.approx((8 * 20 - 20) / 2)
    clock[0] += 5
    assert tally.left == pytest.approx((8 * 20 - 20 - 5) / 2), "it counts down meanwhile"
    tally(Retrying(1, "d", 1, "it fell", 2.0))
    assert tally.left == pytest.approx((8 * 20 - 20) / 2), "what an attempt did is lost"
    tally(Replaced(0, "it fell"))
    assert tally.left == pytest.approx(8 * 20 / 2)


def test_the_last_item_has_one_worker(clock: list[float]) -> None:
    tally = Tally(total=3)
    for slot, name in enumerate("ab"):
        tally(Began(slot, name, 1))
    for slot, name in enumerate("ab"):
        tally(ended(slot, name, "done", 10.0))
    tally(Began(0, "c", 1))
    clock[0] += 4
    assert tally.left == pytest.approx(6)
    clock[0] += 60
    assert tally.left == 0


def told(events: list[Event], *, terminal: bool) -> str:
    tally = Tally(total=4)
    file = io.StringIO()
    console = Console(file=file, force_terminal=terminal, width=120, color_system=None)
    with Display(console, tally) as display:
        for event in events:
            tally(event)
            display(event)
    return file.getvalue()


EVENTS: list[Event] = [
    Ready(0, "here", 7),
    Began(0, "a", 1),
    Staged(0, "a", "radiance", 0.5),
    ended(0, "a", "done", 5.0),
    Began(0, "b", 1),
    ended(0, "b", "quarantined", 0.1),
    Began(0, "[c]", 1),
    Retrying(0, "[c]", 1, "the worker was ended", 2.0),
    Replaced(0, "the worker was ended"),
    Began(0, "[c]", 2),
    ended(0, "[c]", "failed", 1.0),
    Began(0, "d", 1),
    ended(0, "d", "done", 5.0),
]


def test_failures_are_told_as_they_come() -> None:
    lines = told(EVENTS, terminal=False).splitlines()
    assert lines == [
        "⊘ b quarantined: it is a poem",
        "↻ [c]: attempt 1 failed, another in 2 s: the worker was ended",
        "  worker 1 is replaced: the worker was ended",
        "✗ [c] failed: it is a poem",
        "  4 of 4, 1 failed, 1 quarantined",
    ]


def test_a_terminal_shows_every_worker_and_the_time_left() -> None:
    text = told(
        EVENTS[:3] + EVENTS[:2] + EVENTS[3:6] + [Staged(0, "d", "asset", 0.1)], terminal=True
    )
    assert "batch" in text and "worker 1" in text and "d  asset" in text
    assert "2 of 4, 1 quarantined" in text and "s left" in text


def test_the_summary_names_the_first_and_counts_the_rest() -> None:
    summary = Tally(total=9).summary() | {"failed": 3, "settled_before": {"quarantined": 2}}
    file = io.StringIO()
    show_summary(Console(file=file, width=120), summary, {"a": "failed: it is a poem"})
    assert "a: failed: it is a poem" in file.getvalue() and "and 4 more" in file.getvalue()
