"""Whatever becomes of an attempt, a worker or the batch itself: every item ends once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from img2mesh.batch.run import Output
from img2mesh.batch.scheduler import Policy
from img2mesh.errors import Img2MeshError, InputError
from tests.batch.fakes import ROOT, attempts, batch, journal


def test_good_bad_and_failing_items(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    verbs = {"a": "ok", "b": "bad", "c": "fail 9", "d": "ok", "e": "exit 1"}
    code = batch(tmp_path, verbs, output=Output(as_json=True, quiet=True))
    assert code == 3
    lines = {line["item"]: line for line in journal(tmp_path)}
    status = {name: line["status"] for name, line in lines.items()}
    assert status == {"a": "done", "b": "quarantined", "c": "failed", "d": "done", "e": "done"}
    assert lines["b"]["attempts"] == 1, "a bad input is as bad the second time"
    assert lines["c"]["attempts"] == 3 and lines["c"]["errors"] == ["a stage failed"] * 3
    assert lines["e"]["attempts"] == 2, "a library that exits costs one attempt"
    reason = (tmp_path / "out" / "quarantine" / "b.txt").read_text()
    assert str(tmp_path / "in" / "b") in reason and "the picture is a poem" in reason
    assert (tmp_path / "in" / "b").read_text() == "bad", "the input stays where it is"
    summary = json.loads(capsys.readouterr().out)
    assert (summary["done"], summary["failed"], summary["quarantined"]) == (3, 1, 1)
    assert summary["exit_code"] == 3 and set(summary["problems"]) == {"b", "c"}


def test_all_done_is_zero(tmp_path: Path) -> None:
    assert batch(tmp_path, {"a": "ok", "b": "ok"}) == 0


def test_a_killed_worker_costs_one_attempt_of_one_item(tmp_path: Path) -> None:
    verbs = {f"item{i}": "ok" for i in range(8)} | {"killer": "crash 1", "murderer": "crash 9"}
    assert batch(tmp_path, verbs) == 3
    lines = {line["item"]: line for line in journal(tmp_path)}
    assert lines["killer"]["status"] == "done" and lines["killer"]["attempts"] == 2
    assert "SIGKILL" in lines["killer"]["errors"][0]
    assert lines["murderer"]["status"] == "failed" and lines["murderer"]["attempts"] == 3
    for i in range(8):
        assert lines[f"item{i}"]["attempts"] == 1, "others do not notice"


def test_a_slow_attempt_is_ended_and_its_worker_replaced(tmp_path: Path) -> None:
    verbs = {"slow": "sleep 60", "quick": "ok", "later": "ok"}
    policy = Policy(retries=1, backoff=0.01, timeout=1.0)
    assert batch(tmp_path, verbs, jobs=1, policy=policy) == 3
    lines = {line["item"]: line for line in journal(tmp_path)}
    assert lines["slow"]["status"] == "failed" and lines["slow"]["attempts"] == 2
    assert "longer than 1 s" in lines["slow"]["error"]
    assert lines["quick"]["status"] == lines["later"]["status"] == "done"
    assert len(set(attempts(tmp_path, "slow"))) == 2, "in processes of their own"


def test_a_worker_that_holds_too_much_is_replaced_between_items(tmp_path: Path) -> None:
    verbs = {"fat": f"fat {200_000_000}", "next": "ok", "last": "ok"}
    policy = Policy(worker_memory=150_000_000)
    assert batch(tmp_path, verbs, jobs=1, policy=policy) == 0
    assert attempts(tmp_path, "fat") != attempts(tmp_path, "next")
    assert attempts(tmp_path, "next") == attempts(tmp_path, "last"), "a slim one is kept"


def test_back_off_doubles_and_has_an_end() -> None:
    policy = Policy(backoff=2.0)
    assert [policy.delay(n) for n in (1, 2, 3, 4)] == [2.0, 4.0, 8.0, 16.0]
    assert policy.delay(50) == 60.0


def test_retries_wait_for_the_back_off(tmp_path: Path) -> None:
    events = tmp_path / "events.jsonl"
    output = Output(quiet=True, events=str(events))
    policy = Policy(retries=2, backoff=0.2)
    assert batch(tmp_path, {"a": "fail 2", "b": "ok"}, policy=policy, output=output) == 0
    told = [json.loads(line) for line in events.read_text().splitlines()]
    times = [e["time"] for e in told if e["event"] == "began" and e["name"] == "a"]
    assert times[1] - times[0] >= 0.2 and times[2] - times[1] >= 0.4
    assert [e["attempts"] for e in told if e["event"] == "ended" and e["name"] == "a"] == [3]


def test_a_full_disk_stops_the_batch_with_one_sentence(tmp_path: Path) -> None:
    verbs = {"a": "ok", "b": "full", "c": "ok"}
    with pytest.raises(Img2MeshError, match=r"No space left.*--resume") as caught:
        batch(tmp_path, verbs, jobs=1)
    assert caught.value.exit_code == 1
    assert [line["item"] for line in journal(tmp_path)] == ["a"]
    assert batch(tmp_path, verbs | {"b": "ok"}, resume=True) == 0
    assert Counter(line["item"] for line in journal(tmp_path)) == {"a": 1, "b": 1, "c": 1}


def test_workers_that_cannot_start_are_one_sentence(tmp_path: Path) -> None:
    from img2mesh.batch import local
    from img2mesh.batch.scheduler import Scheduler, Task

    executor = local.LocalExecutor("no.such:thing", jobs=1, environment={}, logs=tmp_path)
    with pytest.raises(Img2MeshError, match=r"do not start.*No module named"):
        list(Scheduler(executor, Policy()).run([Task("a", {})]))
    executor.close()


def test_resume_does_only_what_is_missing_or_failed(tmp_path: Path) -> None:
    verbs = {"a": "ok", "b": "bad", "c": "fail 3", "gone": "ok", "changed": "ok"}
    assert batch(tmp_path, verbs) == 3
    (tmp_path / "out" / "gone" / "run.json").unlink()
    verbs |= {"changed": "ok 0", "new": "ok"}
    assert batch(tmp_path, verbs, resume=True) == 3
    again = Counter(line["item"] for line in journal(tmp_path))
    assert again == {"a": 1, "b": 1, "c": 2, "gone": 2, "changed": 2, "new": 1}
    assert journal(tmp_path)[-1]["status"] == "done"
    verbs |= {"b": "ok"}
    assert batch(tmp_path, verbs, resume=True) == 0, "a mended input is taken up again"
    assert not list((tmp_path / "out" / "quarantine").iterdir())
    assert batch(tmp_path, verbs, resume=True) == 0
    assert len(journal(tmp_path)) == 10, "nothing was left to do"


def run_apart(folder: Path, *more: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tests.batch.fakes", str(folder), *more]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment,
        stderr=subprocess.PIPE,
        # Tests started in the background ignore Ctrl-C, and what they start inherits that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def wait_for(condition: object, seconds: float = 30.0) -> None:
    until = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < until, "it took too long"
        time.sleep(0.02)


def some_done(folder: Path, count: int) -> bool:
    return (folder / "out" / "batch.jsonl").exists() and len(journal(folder)) >= count


def alive(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().split(")")[1].split()[0]
    except OSError:
        return False


def test_killed_half_way_and_resumed_nothing_is_lost_or_done_twice(tmp_path: Path) -> None:
    process = run_apart(tmp_path, "30", "0.1")
    wait_for(lambda: some_done(tmp_path, 8))
    process.send_signal(signal.SIGKILL)
    process.wait()
    workers = {
        int(pid)
        for path in (tmp_path / "out").glob("*/attempts")
        for pid in path.read_text().split()
    }
    wait_for(lambda: not any(alive(pid) for pid in workers), 10)
    half = len(journal(tmp_path))
    assert 8 <= half < 30
    # What a crash leaves of a line is not a line.
    with (tmp_path / "out" / "batch.jsonl").open("ab") as file:
        file.write(b'{"item": "item029", "status": "do')
    assert run_apart(tmp_path, "30", "0.1", "--resume").wait() == 0
    ended = Counter(line["item"] for line in journal(tmp_path))
    assert len(ended) == 30 and set(ended.values()) == {1}


def test_interrupted_it_stops_at_once_and_can_go_on(tmp_path: Path) -> None:
    process = run_apart(tmp_path, "20", "0.2")
    wait_for(lambda: some_done(tmp_path, 2))
    process.send_signal(signal.SIGINT)
    assert process.wait(10) == 130
    assert b"--resume" in (process.stderr.read() if process.stderr else b"")
    assert (tmp_path / "out" / "index.html").exists()
    assert run_apart(tmp_path, "20", "0.2", "--resume").wait() == 0
    assert set(Counter(line["item"] for line in journal(tmp_path)).values()) == {1}


def test_two_batches_on_one_folder(tmp_path: Path) -> None:
    process = run_apart(tmp_path, "8", "0.5")
    wait_for(lambda: some_done(tmp_path, 1))
    with pytest.raises(InputError, match=rf"in use by another batch .process {process.pid} on"):
        batch(tmp_path, {"item000": "sleep 0.5"}, resume=True)
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 130, "the word of a cluster's scheduler is heard too"


def test_other_inputs_need_resume_or_another_folder(tmp_path: Path) -> None:
    assert batch(tmp_path, {"a": "ok"}) == 0
    with pytest.raises(InputError, match="holds a batch of other inputs"):
        batch(tmp_path, {"b": "ok"})
    assert batch(tmp_path, {"a": "ok"}) == 0, "the same inputs again are done again"
    assert [line["item"] for line in journal(tmp_path)] == ["a"]
    assert len(attempts(tmp_path, "a")) == 2


def test_a_folder_of_other_things_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("years of work")
    with pytest.raises(InputError, match="holds files but no batch"):
        batch(tmp_path, {"a": "ok"})
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["thesis.txt"]
