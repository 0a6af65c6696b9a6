"""A batch from its list of inputs to its exit code."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from types import FrameType
from typing import Any

from rich.console import Console

from img2mesh.batch import history, sheet
from img2mesh.batch.display import Display, EventLog, Tally, show_summary
from img2mesh.batch.folder import Folder, JsonLines, explained, now, open_folder
from img2mesh.batch.items import Item
from img2mesh.batch.scheduler import Ended, Event, Executor, Policy, Scheduler, Task
from img2mesh.errors import InputError

INTERRUPTED = 130
SOME_FAILED = 3
_PROBLEMS_SHOWN = 20


@dataclass(frozen=True)
class Plan:
    """What to do.

    Attributes:
        items: what there is to do, each with a name of its own.
        payload: what a worker gets of an item, apart from its name, folder and batch.
        settings: a digest of what decides an item's result, beside its input.
        record: what batch.json says of the batch.
        learned: whether any item needs a learned generator's memory.
    """

    items: Sequence[Item]
    payload: Callable[[Item], Mapping[str, Any]]
    settings: Callable[[Item], str]
    record: Mapping[str, Any]
    learned: bool = False


@dataclass(frozen=True)
class Output:
    """What to print: ``events`` is a file or ``-`` for JSON lines.

    With ``as_json`` stdout gets one object in the end, and stderr the events instead of a display
    unless they have a place of their own or it is to be ``quiet``.
    """

    as_json: bool = False
    quiet: bool = False
    events: str | None = None


def run_batch(
    plan: Plan,
    root: Path,
    executor_for: Callable[[Folder, int], tuple[Executor, str]],
    policy: Policy,
    output: Output,
    *,
    resume: bool = False,
) -> int:
    """Do all items; what is finished is in the journal whatever happens.

    Args:
        plan: what to do.
        root: the output folder.
        executor_for: given the open folder and the number of items to do, what does them and a
            sentence about it.
        policy: retries, timeouts, memory.
        output: what to print.
        resume: go on with what is in the folder.

    Returns:
        the exit code: 0 all done, 3 some failed, 130 interrupted.

    Raises:
        InputError: the folder is in use or another batch's.
        Img2MeshError: it cannot go on: the disk is full, or workers do not start.
    """
    if output.as_json and output.events == "-":
        raise InputError("--json and --events - both want stdout; give --events a file")
    inputs = history.inputs_digest(plan.items)
    console = Console(stderr=True)
    with open_folder(root, inputs=inputs, resume=resume) as folder, explained(root):
        if not resume:
            folder.forget()
        previous = history.read_history(folder.journal)
        todo, finished = _split(plan, previous, folder)
        folder.describe(inputs=inputs, items=len(plan.items), settings=plan.record)
        tally = Tally(total=len(plan.items), skipped=len(plan.items) - len(todo))
        problems = _problems_before(finished)
        interrupted = False
        events = output.events or ("stderr" if output.as_json and not output.quiet else None)
        quiet = output.quiet or events == "stderr"
        log = EventLog(events, tally)
        with closing(log), closing(sheet.ContactSheet(folder)) as page:
            page.add_missing()
            if todo:
                executor, sentence = executor_for(folder, len(todo))
                log.write("batch", items=tally.total, to_do=len(todo), sentence=sentence)
                if not quiet:
                    console.print(sentence, highlight=False, soft_wrap=True)
                recorder = _Recorder(plan, folder, page, problems)
                with closing(executor), Display(console, tally, quiet=quiet) as display:
                    listeners: list[Callable[[Event], None]] = [tally, display, log]
                    interrupted = _work(todo, plan, folder, executor, policy, recorder, listeners)
            page.draw()
        summary = tally.summary() | {
            "settled_before": {s: _count(finished, s) for s in ("done", "quarantined")},
            "exit_code": _exit_code(tally, problems, interrupted),
            "output_dir": str(root),
            "journal": str(folder.journal),
            "index": str(folder.sheet),
        }
    _conclude(console, output, summary, problems, interrupted)
    return int(summary["exit_code"])


def _split(
    plan: Plan, previous: Mapping[str, history.PreviousRun], folder: Folder
) -> tuple[list[Item], dict[str, history.PreviousRun]]:
    """Items to do, and those that ended well or hopelessly before."""
    todo: list[Item] = []
    finished: dict[str, history.PreviousRun] = {}
    for item in plan.items:
        before = previous.get(item.name)
        if before is not None and history.is_finished(
            item, before, plan.settings(item), folder.root
        ):
            finished[item.name] = before
        else:
            todo.append(item)
    return todo, finished


def _count(finished: Mapping[str, history.PreviousRun], status: str) -> int:
    return sum(before.status == status for before in finished.values())


def _problems_before(finished: Mapping[str, history.PreviousRun]) -> dict[str, str]:
    bad = ((name, before) for name, before in finished.items() if before.status != "done")
    return {n: f"{p.status} before: {p.error}" for n, p in islice(bad, _PROBLEMS_SHOWN)}


def _exit_code(tally: Tally, problems: Mapping[str, str], interrupted: bool) -> int:
    if interrupted:
        return INTERRUPTED
    return SOME_FAILED if problems or tally.counts["failed"] or tally.counts["quarantined"] else 0


@dataclass(frozen=True)
class _Recorder:
    """Writes down how an item ended: journal last, because only that makes it true."""

    plan: Plan
    folder: Folder
    page: sheet.ContactSheet
    problems: dict[str, str]

    def record(self, item: Item, stamps: list[Any], ended: Ended, journal: JsonLines) -> None:
        source = str(item.entry.source.absolute())
        line: dict[str, Any] = {
            "item": item.name,
            "status": ended.status,
            "input": source,
            "seconds": ended.seconds,
            "attempts": ended.attempts,
            "ended": now(),
            "host": ended.host,
            "settings": self.plan.settings(item),
            "stamps": stamps,
        }
        if item.entry.mask is not None:
            line["mask"] = str(item.entry.mask.absolute())
        if ended.errors:
            line["errors"] = list(ended.errors)
        if ended.status != "done":
            line["error"] = ended.errors[-1]
            if len(self.problems) < _PROBLEMS_SHOWN:
                self.problems[item.name] = f"{ended.status}: {ended.errors[-1]}"
        if ended.status == "quarantined":
            where = f" ({item.entry.origin})" if item.entry.origin not in ("", source) else ""
            self.folder.quarantine(item.name, source + where, ended.errors[-1])
        elif ended.status == "done":
            self.folder.release(item.name)
            line |= _journal_fields(ended.result)
        self.page.add(line, ended.result.get("thumbnail"))
        journal.append(line)


def _journal_fields(result: Mapping[str, Any]) -> dict[str, Any]:
    """What the journal keeps of what :func:`img2mesh.worker.task.run` returned."""
    kept = {name: result[name] for name in ("digest", "quality", "warnings", "stage_seconds")}
    return kept | {"files": sorted(result["files"]), "cached": sum(result["cached"].values())}


def _work(
    todo: Sequence[Item],
    plan: Plan,
    folder: Folder,
    executor: Executor,
    policy: Policy,
    recorder: _Recorder,
    listeners: Sequence[Callable[[Event], None]],
) -> bool:
    """Do the items; True if the user or the system asked to stop."""
    current: dict[str, tuple[Item, list[Any]]] = {}

    def tasks() -> Iterator[Task]:
        for item in todo:
            # Before the work: a file that is changed meanwhile is another file next time.
            stamps = [history.stamp(item.entry.source), history.stamp(item.entry.mask)]
            current[item.name] = (item, stamps)
            place = {"name": item.name, "folder": str((folder.root / item.name).absolute())}
            yield Task(item.name, {**plan.payload(item), **place, "batch": folder.id})

    def on_event(event: Event) -> None:
        for listener in listeners:
            listener(event)

    with closing(JsonLines(folder.journal)) as journal:
        try:
            with _interruptible():
                for ended in Scheduler(executor, policy, on_event).run(tasks()):
                    item, stamps = current.pop(ended.task.name)
                    recorder.record(item, stamps, ended, journal)
        except KeyboardInterrupt:
            return True
    return False


@contextmanager
def _interruptible() -> Iterator[None]:
    """SIGTERM, as a cluster's own scheduler sends it, stops a batch as Ctrl-C does; so does SIGHUP.

    What the caller had ignored (``nohup``) stays ignored.
    """

    def stop(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    numbers = [getattr(signal, name, None) for name in ("SIGTERM", "SIGHUP")]  # no HUP on Windows
    before = {
        number: signal.signal(number, stop)
        for number in numbers
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _conclude(
    console: Console,
    output: Output,
    summary: Mapping[str, Any],
    problems: Mapping[str, str],
    interrupted: bool,
) -> None:
    if not (output.quiet or output.as_json):
        show_summary(console, summary, problems)
    if interrupted:
        sys.stderr.write(
            "img2mesh: interrupted; nothing finished is lost, the same command with --resume goes "
            "on from here\n"
        )
    if output.as_json:
        sys.stdout.write(json.dumps({**summary, "problems": problems}, indent=1) + "\n")
    elif output.events == "-":
        sys.stdout.write(json.dumps({"event": "summary", **summary}) + "\n")
    else:
        sys.stdout.write(f"{'index':<10}{summary['index']}\n{'journal':<10}{summary['journal']}\n")
    sys.stdout.flush()
