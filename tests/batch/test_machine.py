"""How many workers there may be: cores, memory, and the nodes of a cluster."""

from __future__ import annotations

import pytest

from img2mesh.batch import machine
from img2mesh.batch.cluster import capacity_of
from img2mesh.errors import InputError

GB = 1_000_000_000


@pytest.fixture
def eight_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "cores", lambda: 8)
    monkeypatch.setattr(machine, "free_memory", lambda: 10 * GB)


@pytest.mark.usefixtures("eight_cores")
@pytest.mark.parametrize(
    ("wish", "threads", "each", "gpus", "jobs"),
    [
        (None, 1, GB, 0, 8),  # one a core
        (None, 3, GB, 0, 2),  # each on three
        (None, 9, GB, 0, 1),
        (3, 1, GB, 0, 3),  # as wished
        (None, 1, GB, 2, 2),  # one a GPU
        (None, 1, 3 * GB, 0, 3),  # as memory allows
        (6, 1, 4 * GB, 0, 2),
        (None, 1, 6 * GB, 4, 1),
        (2, 1, 90 * GB, 0, 1),  # one may always try
    ],
)
def test_workers_as_cores_and_memory_allow(
    wish: int | None, threads: int, each: int, gpus: int, jobs: int
) -> None:
    shape = machine.choose_jobs(requested=wish, threads=threads, worker_bytes=each, gpus=gpus)
    assert shape.jobs == jobs


@pytest.mark.usefixtures("eight_cores")
def test_fewer_workers_than_wished_for_is_said() -> None:
    shape = machine.choose_jobs(requested=6, threads=1, worker_bytes=4 * GB)
    assert "not 6: 10.0 GB of memory are free" in shape.reason
    assert "4.0 GB; --worker-memory" in shape.reason
    assert machine.choose_jobs(requested=2, threads=1, worker_bytes=4 * GB).reason == "--jobs"


def test_a_learned_generator_is_reckoned_at_more() -> None:
    assert machine.worker_bytes(learned=True) > machine.worker_bytes(learned=False)


ONE, TWO = {"CPU": 1.0}, {"CPU": 2.0, "GPU": 1.0}


@pytest.mark.parametrize(
    ("nodes", "threads", "gpus", "room"),
    [
        ([ONE, ONE], 1, 0.0, 2),
        ([ONE, TWO], 2, 0.0, 1),  # threads of a worker are on one node
        ([ONE, TWO], 1, 0.5, 2),  # and only the node with a GPU counts
        ([ONE, TWO], 1, 0.25, 2),  # which has two CPUs
        ([{"CPU": 16.0, "GPU": 2.0}], 1, 0.4, 4),  # a part is a part of one device
        ([{"CPU": 16.0, "GPU": 4.0}], 1, 2.0, 2),
        ([{"CPU": 16.0, "GPU": 8.0}], 4, 0.1, 4),
    ],
)
def test_workers_that_fit_a_cluster(
    nodes: list[dict[str, float]], threads: int, gpus: float, room: int
) -> None:
    assert capacity_of(nodes, threads=threads, gpus=gpus) == room


@pytest.mark.parametrize(
    ("nodes", "threads", "gpus", "sentence"),
    [
        ([ONE, ONE], 2, 0.0, "a worker of 2 CPUs and 0 GPUs fits no node"),
        ([ONE, ONE], 1, 0.5, "the cluster has 0 GPUs"),
        ([TWO, TWO], 1, 2.0, "fits no node"),
        ([TWO], 1, 1.5, "a part of one GPU or whole ones, got 1.5"),
    ],
)
def test_a_worker_that_would_wait_for_ever_is_an_error(
    nodes: list[dict[str, float]], threads: int, gpus: float, sentence: str
) -> None:
    with pytest.raises(InputError, match=sentence):
        capacity_of(nodes, threads=threads, gpus=gpus)
