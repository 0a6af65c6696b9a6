"""What a batch does, shown on stderr: a bar with an ETA, a line a worker, failures as they come."""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn
from rich.table import Table

from img2mesh.batch.scheduler import Began, Ended, Event, Ready, Replaced, Retrying, Staged

#: Worker lines on a terminal; of a larger cluster only these are shown.
_LINES = 16
_RECENT = 200  # items whose mean is taken for the rest
_SECONDS_BETWEEN_LINES = 30.0


@dataclass
class Tally:
    """Counts of a batch; ``skipped`` were settled before it began."""

    total: int
    skipped: int = 0
    counts: dict[str, int] = field(
        default_factory=lambda: {"done": 0, "failed": 0, "quarantined": 0}
    )
    seconds: list[float] = field(default_factory=list)
    began: float = field(default_factory=time.monotonic)
    running: dict[int, float | None] = field(default_factory=dict)  # slot → since when, if at work

    def __call__(self, event: Event) -> None:
        """Take one event of the scheduler."""
        if isinstance(event, Began):
            self.running[event.slot] = time.monotonic()
        elif isinstance(event, Ended | Retrying | Replaced) and event.slot in self.running:
            self.running[event.slot] = None
        if isinstance(event, Ended):
            self.counts[event.status] += 1
            if event.status == "done":
                self.seconds.append(event.seconds)

    @property
    def ended(self) -> int:
        """Items that ended now."""
        return sum(self.counts.values())

    @property
    def elapsed(self) -> float:
        """Seconds since the batch began."""
        return time.monotonic() - self.began

    @property
    def left(self) -> float | None:
        """Seconds to go if all take as long as the last ones did; None before the first is done.

        Bad inputs end at once and say nothing of the others; what has begun is partly done.
        """
        remaining = self.total - self.skipped - self.ended
        if not self.seconds:
            return None
        each = statistics.fmean(self.seconds[-_RECENT:])
        spent = [time.monotonic() - since for since in self.running.values() if since is not None]
        work = each * remaining - sum(min(one, each) for one in spent)
        return max(work, 0.0) / max(1, min(len(self.running), remaining))

    def summary(self) -> dict[str, Any]:
        """The numbers for people and scripts."""
        return {
            "items": self.total,
            **self.counts,
            "skipped": self.skipped,
            "seconds": round(self.elapsed, 3),
            "median_item_seconds": round(statistics.median(self.seconds), 3)
            if self.seconds
            else None,
            "items_per_minute": round(60 * self.ended / self.elapsed, 2) if self.ended else 0.0,
        }


class Display:
    """Reads the scheduler's events; a context manager that owns the live display."""

    def __init__(self, console: Console, tally: Tally, *, quiet: bool = False) -> None:
        self._console, self._tally, self._quiet = console, tally, quiet
        self._printed = self._drawn = time.monotonic()
        self._began: dict[int, float] = {}
        self._bars = Progress(
            SpinnerColumn(),
            TextColumn("{task.fields[label]:<10}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[text]}"),
            console=console,
            transient=True,
            refresh_per_second=4,
            disable=quiet or not console.is_terminal,
        )
        self._overall = self._bars.add_task(
            "", total=max(tally.total - tally.skipped, 1), label="[bold]batch[/]", text=self._line()
        )
        self._rows: dict[int, Any] = {}

    def __enter__(self) -> Display:
        self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bars.stop()

    def print(self, text: str) -> None:
        """One line above the bars."""
        if not self._quiet:
            self._console.print(text, highlight=False, soft_wrap=True)

    def __call__(self, event: Event) -> None:
        """Take one event of the scheduler."""
        if self._quiet:
            return
        match event:
            case Ready():
                where = f"{event.host}, process {event.pid}"
                self._row(event.slot, f"[dim]ready ({escape(where)})[/]")
            case Began():
                self._began[event.slot] = time.monotonic()
                self._row(event.slot, f"{escape(event.name)}  [dim]starts[/]")
            case Staged():
                spent = time.monotonic() - self._began.get(event.slot, time.monotonic())
                text = f"{escape(event.name)}  [dim]{event.stage}  {spent:.0f} s[/]"
                self._row(event.slot, text, event.fraction)
                if time.monotonic() - self._drawn >= 1.0:
                    self._drawn = time.monotonic()
                    self._bars.update(self._overall, text=self._line())
            case Retrying():
                again = f"attempt {event.attempt} failed, another in {event.delay:.0f} s"
                self.print(f"[yellow]↻[/] {escape(event.name)}: {again}: {escape(event.error)}")
            case Replaced():
                self._row(event.slot, "[dim]starting afresh[/]")
                self.print(f"[dim]  worker {event.slot + 1} is replaced: {escape(event.reason)}[/]")
            case Ended():
                self._ended(event)

    def _ended(self, event: Ended) -> None:
        self._row(event.slot, "[dim]idle[/]")
        marks = {"failed": "[red]✗[/]", "quarantined": "[magenta]⊘[/]"}
        if event.status in marks:
            name, reason = escape(event.task.name), escape(event.errors[-1])
            self.print(f"{marks[event.status]} {name} {event.status}: {reason}")
        self._bars.update(self._overall, completed=self._tally.ended, text=self._line())
        if self._console.is_terminal:
            return
        over = self._tally.ended + self._tally.skipped == self._tally.total
        if over or time.monotonic() - self._printed >= _SECONDS_BETWEEN_LINES:
            self._printed = time.monotonic()
            self.print(f"  {self._line()}")

    def _line(self) -> str:
        tally = self._tally
        parts = [f"{tally.ended + tally.skipped} of {tally.total}"]
        parts += [f"{n} {name}" for name, n in tally.counts.items() if n and name != "done"]
        if left := tally.left:
            parts.append(f"{_duration(left)} left")
        return ", ".join(parts)

    def _row(self, slot: int, text: str, fraction: float = 0.0) -> None:
        if self._bars.disable or slot >= _LINES:
            return
        if slot not in self._rows:
            label = f"worker {slot + 1}"
            self._rows[slot] = self._bars.add_task("", total=1.0, label=label, text="")
        self._bars.update(self._rows[slot], completed=fraction, text=text)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"


def show_summary(console: Console, summary: Mapping[str, Any], problems: Mapping[str, str]) -> None:
    """The table at the end, and the first few of what went wrong."""
    table = Table("done", "failed", "quarantined", "skipped", "time", "median", "throughput")
    median = summary["median_item_seconds"]
    table.add_row(
        *(str(summary[name]) for name in ("done", "failed", "quarantined", "skipped")),
        _duration(summary["seconds"]),
        "" if median is None else f"{median:.1f} s",
        f"{summary['items_per_minute']:.1f} a minute",
    )
    console.print(table)
    for name, reason in problems.items():
        console.print(f"  {escape(name)}: {escape(reason)}", highlight=False, soft_wrap=True)
    before = summary["settled_before"]["quarantined"]
    more = summary["failed"] + summary["quarantined"] + before - len(problems)
    if problems and more > 0:
        console.print(f"  and {more} more in batch.jsonl", highlight=False)


class EventLog:
    """Events as JSON lines, for scripts that watch.

    Args:
        target: a file, ``-`` for stdout, ``stderr``, or None for nowhere.
        tally: of the batch, to say how far it is.
    """

    def __init__(self, target: str | None, tally: Tally) -> None:
        self._tally = tally
        self._file: TextIO | None = None
        self._own = False
        if target in ("-", "stderr"):
            self._file = sys.stdout if target == "-" else sys.stderr
        elif target is not None:
            self._own = True
            self._file = Path(target).open("a", encoding="utf-8")  # noqa: SIM115

    def __call__(self, event: Event) -> None:
        """Take one event of the scheduler."""
        if isinstance(event, Ended):
            self.write(
                "ended", slot=event.slot, name=event.task.name, status=event.status,
                attempts=event.attempts, seconds=event.seconds,
                error=event.errors[-1] if event.status != "done" else None,
                ended=self._tally.ended + self._tally.skipped, items=self._tally.total,
                seconds_left=None if self._tally.left is None else round(self._tally.left, 1),
            )  # fmt: skip
        else:
            self.write(type(event).__name__.lower(), **asdict(event))

    def write(self, kind: str, **facts: object) -> None:
        """One line."""
        if self._file is not None:
            line = {"event": kind, "time": round(time.time(), 3), **facts}
            self._file.write(json.dumps(line, ensure_ascii=False) + "\n")
            self._file.flush()

    def close(self) -> None:
        """Close the file."""
        if self._own and self._file is not None:
            self._file.close()
