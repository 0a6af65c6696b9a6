"""What the engine does, told on stderr: a bar with an ETA a stage, plain lines in a log."""

from __future__ import annotations

import signal
import threading
from collections.abc import Mapping
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from img2mesh.graph import Finished, Progressed, Reused, Started, Waiting


class StageProgress:
    """Reads the runner's events; a context manager that owns the live display.

    Args:
        console: where to write (stderr).
        quiet: say nothing at all.
    """

    def __init__(self, console: Console, *, quiet: bool = False) -> None:
        self._console = console
        self._quiet = quiet
        self._task: Any = None
        self.ended_by = 0  # the signal that asked for the end
        self._handlers: dict[int, Any] = {}
        self._bar = Progress(
            SpinnerColumn(),
            TextColumn("[bold]{task.description:<9}[/]"),
            BarColumn(bar_width=30),
            TextColumn("{task.percentage:>3.0f} %"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("[dim]{task.fields[message]}[/]"),
            console=console,
            transient=True,
            disable=quiet or not console.is_terminal,
        )

    def __enter__(self) -> StageProgress:
        self._bar.start()
        if threading.current_thread() is threading.main_thread():
            for name in ("SIGINT", "SIGTERM", "SIGHUP"):  # the last is not on Windows
                number = getattr(signal, name, None)
                # What the caller had ignored (nohup) stays ignored.
                if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
                    self._handlers[number] = signal.signal(number, self._interrupt)
        return self

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        # A library's bare `except` may swallow the exception; the next event raises it again.
        self.ended_by = number
        raise KeyboardInterrupt

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.stop()
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        if self.ended_by and kind is not None and not issubclass(kind, KeyboardInterrupt):
            # A library that was loading calls it an ImportError.
            raise KeyboardInterrupt from error

    def say(self, text: str) -> None:
        """One line above the bars."""
        if not self._quiet:
            # Soft wrap: a path must come out in one piece to be copied.
            self._console.print(text, highlight=False, soft_wrap=True)

    def begin(self, source: Path, renamed: str | None) -> None:
        """Name the input, and say where its folder had to take another name."""
        self.say(f"[bold]{escape(str(source))}[/]")
        if renamed:
            self.say(f"[yellow]![/] {escape(renamed)}")

    def conclude(self, report: Mapping[str, Any]) -> None:
        """What to know of the result."""
        if not report.get("learned_weights", True):
            self.say(f"[dim]  views drawn by: {report['generator']}, nothing learned[/]")
        for warning in report["warnings"]:
            self.say(f"[yellow]![/] {escape(warning)}")

    def __call__(self, event: Any) -> None:
        """Take one event of the runner.

        Raises:
            KeyboardInterrupt: the end was asked for and something swallowed it.
        """
        if self.ended_by:
            raise KeyboardInterrupt
        match event:
            case Started():
                self._task = self._bar.add_task(event.stage, total=1.0, message="")
            case Progressed():
                if self._task is not None:
                    self._bar.update(self._task, completed=event.fraction, message=event.message)
            case Waiting():
                self.say(f"[yellow]…[/] {event.stage:<9} another process is at it; waiting")
            case Reused():
                self.say(f"[cyan]=[/] {event.stage:<9} [dim]reused[/]")
            case Finished():
                if self._task is not None:
                    self._bar.remove_task(self._task)
                    self._task = None
                self.say(f"[green]✓[/] {event.stage:<9} {event.seconds:6.1f} s")
