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
from img2mesh.batch.executor import Executor
from img2mesh.batch.folder import Folder, Lines, now, opened, written
from img2mesh.batch.items import Item
from img2mesh.batch.scheduler import Ended, Event, Policy, Scheduler, Task
from img2mesh.errors import InputError

INTERRUPTED = 130
SOME_FAILED = 3
_PROBLEMS_SHOWN = 20


@dataclass(frozen=True)
class Plan:
    """What to do.

    Attributes:
        items: what there is to do, each with a name of its own.
        payload: what a worker is told of an item, apart from its name, folder and batch.
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
class Voice:
    """How to tell: ``events`` is a file or ``-`` for JSON lines.

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
    voice: Voice,
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
        voice: how to tell.
        resume: go on with what is in the folder.

    Returns:
        the exit code: 0 all done, 3 some failed, 130 interrupted.

    Raises:
        InputError: the folder is in use or another batch's.
        Img2MeshError: it cannot go on: the disk is full, or workers do not start.
    """
    if voice.as_json and voice.events == "-":
        raise InputError("--json and --events - both want stdout; give --events a file")
    inputs = history.inputs_digest(plan.items)
    console = Console(stderr=True)
    with opened(root, inputs=inputs, resume=resume) as folder, written(root):
        if not resume:
            folder.forget()
        past = history.read_history(folder.journal)
        todo, settled = _split(plan, past, folder)
        folder.describe(inputs=inputs, items=len(plan.items), settings=plan.record)
        tally = Tally(total=len(plan.items), skipped=len(plan.items) - len(todo))
        problems = _problems_before(settled)
        interrupted = False
        events = voice.events or ("stderr" if voice.as_json and not voice.quiet else None)
        quiet = voice.quiet or events == "stderr"
        log = EventLog(events, tally)
        with closing(log), closing(sheet.ContactSheet(folder)) as page:
            page.mend()
            if todo:
                executor, sentence = executor_for(folder, len(todo))
                log.tell("batch", items=tally.total, to_do=len(todo), sentence=sentence)
                if not quiet:
                    console.print(sentence, highlight=False, soft_wrap=True)
                keeper = _Keeper(plan, folder, page, tally, problems)
                with closing(executor), Display(console, tally, quiet=quiet) as display:
                    interrupted = _work(
                        todo, plan, folder, executor, policy, keeper, [display, log]
                    )
            page.draw()
        summary = tally.summary() | {
            "settled_before": {s: _count(settled, s) for s in ("done", "quarantined")},
            "exit_code": _exit_code(tally, problems, interrupted),
            "output_dir": str(root),
            "journal": str(folder.journal),
            "index": str(folder.sheet),
        }
    _conclude(console, voice, summary, problems, interrupted)
    return int(summary["exit_code"])


def _split(
    plan: Plan, past: Mapping[str, history.Past], folder: Folder
) -> tuple[list[Item], dict[str, history.Past]]:
    """Items to do, and those that ended well or hopelessly before."""
    todo: list[Item] = []
    settled: dict[str, history.Past] = {}
    for item in plan.items:
        before = past.get(item.name)
        if history.settled(item, before, plan.settings(item), folder.root):
            assert before is not None
            settled[item.name] = before
        else:
            todo.append(item)
    return todo, settled


def _count(settled: Mapping[str, history.Past], status: str) -> int:
    return sum(past.status == status for past in settled.values())


def _problems_before(settled: Mapping[str, history.Past]) -> dict[str, str]:
    bad = ((name, past) for name, past in settled.items() if past.status != "done")
    return {n: f"{p.status} before: {p.error}" for n, p in islice(bad, _PROBLEMS_SHOWN)}


def _exit_code(tally: Tally, problems: Mapping[str, str], interrupted: bool) -> int:
    if interrupted:
        return INTERRUPTED
    return SOME_FAILED if problems or tally.counts["failed"] or tally.counts["quarantined"] else 0


@dataclass(frozen=True)
class _Keeper:
    """Writes down how an item ended: journal last, because only that makes it true."""

    plan: Plan
    folder: Folder
    page: sheet.ContactSheet
    tally: Tally
    problems: dict[str, str]

    def keep(self, item: Item, stamps: list[Any], ended: Ended, journal: Lines) -> None:
        result = dict(ended.result)
        thumbnail = result.pop("thumbnail", None)
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
        if ended.errors:
            line["errors"] = list(ended.errors)
        if ended.status != "done":
            line["error"] = ended.errors[-1]
            if len(self.problems) < _PROBLEMS_SHOWN:
                self.problems[item.name] = f"{ended.status}: {ended.errors[-1]}"
        if ended.status == "quarantined":
            said = f" ({item.entry.origin})" if item.entry.origin not in ("", source) else ""
            self.folder.set_aside(item.name, source + said, ended.errors[-1])
        elif ended.status == "done":
            self.folder.release(item.name)
        line |= result
        self.page.add(line, thumbnail)
        journal.append(line)


def _work(
    todo: Sequence[Item],
    plan: Plan,
    folder: Folder,
    executor: Executor,
    policy: Policy,
    keeper: _Keeper,
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

    def tell(event: Event) -> None:
        keeper.tally(event)
        for listener in listeners:
            listener(event)

    with closing(Lines(folder.journal)) as journal:
        try:
            with _interruptible():
                for ended in Scheduler(executor, policy, tell).run(tasks()):
                    item, stamps = current.pop(ended.task.name)
                    keeper.keep(item, stamps, ended, journal)
        except KeyboardInterrupt:
            return True
    return False


@contextmanager
def _interruptible() -> Iterator[None]:
    """SIGTERM, the word of a cluster's own scheduler, stops a batch as Ctrl-C does."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _conclude(
    console: Console,
    voice: Voice,
    summary: Mapping[str, Any],
    problems: Mapping[str, str],
    interrupted: bool,
) -> None:
    if not (voice.quiet or voice.as_json):
        show_summary(console, summary, problems)
    if interrupted:
        sys.stderr.write(
            "img2mesh: interrupted; nothing finished is lost, the same command with --resume goes "
            "on from here\n"
        )
    if voice.as_json:
        sys.stdout.write(json.dumps({**summary, "problems": problems}, indent=1) + "\n")
    elif voice.events == "-":
        sys.stdout.write(json.dumps({"event": "summary", **summary}) + "\n")
    else:
        sys.stdout.write(f"{'index':<10}{summary['index']}\n{'journal':<10}{summary['journal']}\n")
    sys.stdout.flush()
