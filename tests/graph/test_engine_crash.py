"""Processes that die and processes that meet: kill -9 anywhere, two at once."""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from img2mesh.graph import Codec, Event, Graph, Run, Store, Waiting, stage
from tests.graph import toy
from tests.graph.toy import Number, Text

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="kills forked processes")

WORDS = 12  # files an entry
SEED = {"seed": toy.leaf(7)}


def graph_that_logs(log: Path, rest_s: float = 0.0) -> Graph:
    """Three stages that say when they start, write many files, and take their time."""

    def say(name: str) -> None:
        with log.open("a") as file:  # one short write: it is there or it is not
            file.write(f"{name}\n")
        time.sleep(rest_s)

    @stage(version=1)
    def first(seed: Number) -> Text:
        say("first")
        return Text(tuple(f"{seed.value}.{index}" for index in range(WORDS)))

    @stage(version=1)
    def second(first: Text, *, run: Run | None = None) -> Text:
        say("second")
        assert run is not None
        (run.scratch / "step").write_text("half way")
        return Text(tuple(word + "b" for word in first.words))

    @stage(version=1)
    def third(first: Text, second: Text) -> Text:
        say("third")
        return Text(first.words + second.words)

    return Graph(source={"seed": Number}, stages=[first, second, third])


def expected(value: int) -> Text:
    first = tuple(f"{value}.{index}" for index in range(WORDS))
    return Text(first + tuple(word + "b" for word in first))


def fork(work: Callable[[], object]) -> int:
    """Run in a process of its own; it ends with 0 unless the work raises."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    return child


def ended(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def each_line(call: Callable[[], None]) -> None:
    """Call it at every line of Python from here on."""

    def trace(*_: Any) -> Any:
        call()
        return trace

    sys.settrace(trace)


@pytest.mark.parametrize("how", ["at a line", "at a time"])
def test_kill_9_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    """After each kill the next run succeeds and redoes at most the interrupted stage."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)  # a kill is no power cut
    rng = random.Random(1)

    def work(store: Store, log: Path) -> None:
        outcome = toy.runner(store, graph=graph_that_logs(log, 0.002)).run("third", SEED)
        assert outcome.value == expected(7)

    lines = 0

    def count() -> None:
        nonlocal lines
        lines += 1

    work(Store(tmp_path / "warm"), tmp_path / "warm.log")  # what is imported late is now
    start = time.monotonic()
    work(Store(tmp_path / "timed"), tmp_path / "warm.log")
    seconds = time.monotonic() - start
    each_line(count)
    work(Store(tmp_path / "counted"), tmp_path / "warm.log")
    sys.settrace(None)

    finished: list[int] = []  # how many stages were through when the process died
    for kill in range(40 if how == "at a line" else 12):
        store, log = Store(tmp_path / f"cache-{kill}"), tmp_path / f"log-{kill}"

        last = rng.randrange(1, lines - 200)

        def life(left: int = last, store: Store = store, log: Path = log) -> None:
            def call() -> None:
                nonlocal left
                left -= 1
                if left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)

            if how == "at a line":
                each_line(call)
            work(store, log)

        child = fork(life)
        if how == "at a time":
            time.sleep(rng.uniform(0, seconds))
            os.kill(child, signal.SIGKILL)
        died = ended(child) == -signal.SIGKILL
        done = {item.stage for item in store.entries()}
        if died:
            finished.append(len(done))
        before = log.read_text().split() if log.exists() else []

        plan = toy.runner(store, graph=graph_that_logs(log)).plan("third", SEED)
        assert {one.stage for one in plan if one.cached} == done
        work(store, log)

        starts = log.read_text().split()
        assert not set(starts[len(before) :]) & done, "a finished stage ran again"
        assert len(starts) <= 3 + 1, f"more than the interrupted stage ran again: {starts}"
        assert store.verify() == []
        # A kill between a stage's commit and its sweep leaves its scratch folder, for `trim`.
        left = {item.stage for item in store.items()} - {"scratch"}
        assert left == {"first", "second", "third"}
        assert toy.leftovers(store) == []
    if how == "at a line":
        # The kills fell before, between and after the stages: the test tests what it says.
        assert len(finished) == 40
        assert min(finished.count(n) for n in (0, 1, 2)) >= 3


@pytest.mark.parametrize("moment", ["save", "manifest", "aside", "rename", "clean"])
def test_kill_9_at_each_step_of_a_commit(tmp_path: Path, moment: str) -> None:
    store = Store(tmp_path / "cache")
    toy.run(store)

    def die(*_: Any, **__: Any) -> Any:
        os.kill(os.getpid(), signal.SIGKILL)

    def work() -> None:
        import shutil

        codecs = dict(toy.CODECS)
        if moment == "save":
            codecs[Text] = Codec(1, lambda folder, text: die((folder / "a").touch()), toy.load_text)
        elif moment == "manifest":
            Path.write_bytes = die  # type: ignore[method-assign]
        elif moment == "clean":
            shutil.rmtree = die  # type: ignore[assignment]
        else:
            rename, calls = Path.rename, []

            def renamed(self: Path, target: Path) -> Path:
                calls.append(self)
                # The old entry goes aside first, then the new one comes.
                if len(calls) == {"aside": 1, "rename": 2}[moment]:
                    die()
                return rename(self, target)

            Path.rename = renamed  # type: ignore[method-assign, assignment]
        toy.run(store, codecs=codecs, force={"spelled"})

    assert ended(fork(work)) == -signal.SIGKILL
    missing = {"rename": ["spelled"]}.get(moment, [])  # in the blink between the two renames
    assert toy.run(store) == missing
    assert store.verify() == []
    assert toy.run(store) == []
    assert toy.leftovers(store) == []


def test_scratch_is_there_after_kill_9(tmp_path: Path) -> None:
    store = Store(tmp_path / "cache")

    def graph(last_step: int) -> Graph:
        @stage(version=1)
        def slow(seed: Number, *, run: Run | None = None) -> Number:
            assert run is not None
            step = run.scratch / "step"
            begun = int(step.read_text()) if step.exists() else 0
            for index in range(begun, 4):
                if index == last_step:
                    os.kill(os.getpid(), signal.SIGKILL)
                step.write_text(str(index + 1))
            return Number(begun)

        return Graph(source={"seed": Number}, stages=[slow])

    def work() -> None:
        toy.runner(store, graph=graph(3)).run("slow", {"seed": toy.leaf(1)})

    assert ended(fork(work)) == -signal.SIGKILL
    outcome = toy.runner(store, graph=graph(99)).run("slow", {"seed": toy.leaf(1)})
    assert outcome.value == Number(3)  # where it was killed
    assert [item.stage for item in store.items()] == ["slow"]


def test_two_processes_at_once_do_the_work_once(tmp_path: Path) -> None:
    store = Store(tmp_path / "cache")
    log = tmp_path / "log"
    count = 3

    def work(number: int) -> None:
        told: list[Event] = []
        runner = toy.runner(store, graph=graph_that_logs(log, 0.1), on_event=told.append)
        outcome = runner.run("third", SEED)
        assert outcome.value == expected(7)
        waits = sum(isinstance(event, Waiting) for event in told)
        (tmp_path / f"waits-{number}").write_text(str(waits))

    children = [fork(lambda number=number: work(number)) for number in range(count)]
    assert [ended(child) for child in children] == [0] * count
    assert sorted(log.read_text().split()) == ["first", "second", "third"]
    assert sum(int((tmp_path / f"waits-{n}").read_text()) for n in range(count)) >= count - 1
    assert store.verify() == []
    assert toy.leftovers(store) == []


def test_a_waiting_process_takes_over_from_one_that_dies(tmp_path: Path) -> None:
    store = Store(tmp_path / "cache")
    log = tmp_path / "log"
    slow = fork(
        lambda: toy.runner(store, graph=graph_that_logs(log, 30)).run(
            "third", {"seed": toy.leaf(7)}
        )
    )
    while not (log.exists() and log.read_text()):
        time.sleep(0.01)
    told: list[Event] = []

    def listen(event: Event) -> None:
        told.append(event)
        if isinstance(event, Waiting):
            os.kill(slow, signal.SIGKILL)

    runner = toy.runner(store, graph=graph_that_logs(log), on_event=listen)
    assert runner.run("third", SEED).value == expected(7)
    assert ended(slow) == -signal.SIGKILL
    assert log.read_text().split() == ["first", "first", "second", "third"]
    assert [event.stage for event in told if isinstance(event, Waiting)] == ["first"]
