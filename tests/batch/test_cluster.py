"""The same batch on a Ray cluster; skipped where Ray is not installed."""

from __future__ import annotations

import importlib.util
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest
from filelock import FileLock

from tests.batch.fakes import ROOT, attempts, journal
from tests.conftest import Command

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None, reason="needs Ray: pip install 'img2mesh[ray]'"
)


@pytest.fixture(scope="module")
def turn(tmp_path_factory: pytest.TempPathFactory) -> FileLock:
    """Held by who starts a cluster and by who looks for one: Ray finds that of another worker."""
    return FileLock(tmp_path_factory.getbasetemp().parent / "cluster.lock")


@pytest.fixture(scope="module")
def cluster(turn: FileLock) -> Iterator[dict[str, str]]:
    """The environment of those who may join a cluster of two nodes; ADDRESS among it."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_worker_niceness": "0",  # its own 15 starves them on a busy machine
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(16),
    }
    turn.acquire()
    nodes = subprocess.Popen(
        [sys.executable, "-m", "tests.batch.nodes"],
        cwd=ROOT, env=environment, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    assert nodes.stdin and nodes.stdout
    address = next((line.strip() for line in nodes.stdout if ":" in line), "")
    assert address, "the cluster did not start"
    yield environment | {"ADDRESS": address}
    nodes.stdin.close()
    nodes.wait(60)
    turn.release()


@pytest.mark.parametrize(
    ("address", "sentence"),
    [
        ("127.0.0.1:1", "there is no Ray cluster to join at 127.0.0.1:1"),
        ("no.such.host.invalid:6379", "there is no Ray cluster to join at no.such.host"),
        ("auto", "there is no Ray cluster to join on this machine"),
        ("ray://head:10001", "takes auto or HOST:PORT"),
        ("head", "takes auto or HOST:PORT"),
    ],
)
def test_no_cluster_is_one_sentence(
    toy: Path, tmp_path: Path, img2mesh: Command, turn: FileLock, address: str, sentence: str
) -> None:
    # Where Ray writes down clusters of this machine, which "auto" looks for.
    elsewhere = {"RAY_TMPDIR": str(tmp_path), "RAY_ADDRESS": ""}
    flags = ("--ray", address, "-o", str(tmp_path / "out"))
    with turn if address == "auto" else nullcontext():
        done = img2mesh("batch", str(toy), *flags, env=elsewhere)
    assert done.returncode == 2
    assert sentence in done.stderr and "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_two_nodes_do_what_two_processes_do(cluster: dict[str, str], tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.batch.fakes", str(tmp_path), "8", "0.2"]
    done = subprocess.run(
        [*command, "--ray", cluster["ADDRESS"], "--nasty"],
        cwd=ROOT, env=cluster, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 3, done.stderr
    assert "2 nodes, 3 CPUs, 1 GPUs" in done.stderr
    lines = {line["item"]: line for line in journal(tmp_path)}
    assert len(lines) == len(journal(tmp_path)) == 11
    status = {name: line["status"] for name, line in lines.items()}
    assert status.pop("bad") == "quarantined" and status.pop("fail") == "failed"
    assert set(status.values()) == {"done"}
    assert lines["crash"]["attempts"] == 2 and "SIGKILL" in lines["crash"]["errors"][0]
    assert lines["item000"]["attempts"] == 1


def test_gpus_that_are_not_there_are_said_at_once(
    cluster: dict[str, str], toy: Path, tmp_path: Path, img2mesh: Command
) -> None:
    flags = ["--ray", cluster["ADDRESS"], "--gpus-per-worker", "2", "-o", str(tmp_path / "out")]
    done = img2mesh("batch", str(toy), *flags, env=cluster)
    assert done.returncode == 2
    assert "fits no node of the cluster, which has 3 CPUs and 1 GPUs" in done.stderr
    assert "Traceback" not in done.stderr


def test_two_workers_share_a_gpu(cluster: dict[str, str], tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.batch.fakes", str(tmp_path), "6", "0.2"]
    done = subprocess.run(
        [*command, "--ray", cluster["ADDRESS"], "--gpus", "0.5"],
        cwd=ROOT, env=cluster, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "6 items on 2 workers" in done.stderr
    assert [line["quality"]["gpu"] for line in journal(tmp_path)] == ["0"] * 6
    assert len({pid for i in range(6) for pid in attempts(tmp_path, f"item{i:03}")}) == 2
