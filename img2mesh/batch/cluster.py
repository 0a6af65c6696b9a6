"""Workers on an existing Ray cluster: an actor a slot, each with one worker process.

The worker process is the same as on one machine; the actor only carries its messages. So what an
item's bytes could depend on (threads, loaded libraries) does not differ, and a process that is
killed costs an attempt as it does there, as do an actor or a whole machine that go.
"""

from __future__ import annotations

import logging
import os
import queue
import socket
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from img2mesh.batch.scheduler import Executor
from img2mesh.errors import Img2MeshError, InputError, missing_extra
from img2mesh.worker.process import WorkerProcess
from img2mesh.worker.protocol import Message

_CONNECT_SECONDS = 5.0
_JOIN_SECONDS = 90.0  # it takes some 20 on a busy machine
_RECEIVE_SECONDS = 5.0


class WorkerActor:
    """The actor: starts a worker process and hands its messages on."""

    def __init__(self, function: str, environment: Mapping[str, str], slot: int) -> None:
        self._messages: queue.Queue[Message] = queue.Queue()
        self._folder = tempfile.TemporaryDirectory(prefix="img2mesh-")
        self._worker = WorkerProcess(
            function,
            # What the actor can import, its process can.
            environment={**environment, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            log=Path(self._folder.name) / f"worker-{slot + 1}.log",
            on_message=lambda _, message: self._messages.put(message),
        )

    def submit(self, payload: Mapping[str, Any]) -> None:
        """Give the worker a task."""
        self._worker.send(payload)

    def receive(self, seconds: float) -> list[Message]:
        """The worker's messages, waiting up to ``seconds`` for the first."""
        found: list[Message] = []
        with suppress(queue.Empty):
            found.append(self._messages.get(timeout=seconds))
            while True:
                found.append(self._messages.get_nowait())
        return found

    def stop(self) -> None:
        """End the worker at once."""
        self._worker.kill()


class RayExecutor(Executor):
    """Workers that live on a Ray cluster; see ``Executor``.

    Args:
        function: what a worker does with a task, as ``module:name``, importable on every machine.
        address: ``HOST:PORT`` of the head, or ``auto``.
        jobs: workers; None takes as many as the cluster has room for.
        most: workers that would have something to do.
        threads: cores a worker computes on, reserved on the cluster.
        gpus: GPUs reserved for a worker; a fraction shares one.
        environment: variables for every worker.

    Raises:
        InputError: Ray is not installed, the cluster does not answer, or lacks what is asked for.
    """

    def __init__(
        self,
        function: str,
        *,
        address: str,
        jobs: int | None,
        most: int,
        threads: int,
        gpus: float,
        environment: Mapping[str, str],
    ) -> None:
        ray = _connect(address)
        self._ray = ray
        try:
            total = ray.cluster_resources()
            alive = [node for node in ray.nodes() if node["Alive"]]
            capacity = capacity_of([n["Resources"] for n in alive], threads=threads, gpus=gpus)
            requested = jobs or capacity
            if requested > capacity and gpus:
                raise InputError(
                    f"{requested} workers of {gpus:g} GPUs do not fit the cluster's "
                    f"{total.get('GPU', 0):g}; at most --jobs {capacity}"
                )
            count = min(requested, most)
        except BaseException:
            ray.shutdown()
            raise
        machines = len(alive)
        self.sentence = (
            f"{most} item{'s' * (most > 1)} on {count} worker{'s' * (count > 1)} of a Ray cluster "
            f"({machines} node{'s' * (machines > 1)}, {total.get('CPU', 0):g} CPUs, "
            f"{total.get('GPU', 0):g} GPUs)"
        )
        self._actor = ray.remote(WorkerActor).options(
            num_cpus=threads,
            num_gpus=gpus,
            # Waiting for messages must not keep a task or the order to stop from getting through.
            max_concurrency=3,
            max_restarts=0,
            scheduling_strategy="SPREAD",
        )
        self._start = (function, dict(environment))
        self._actors: list[Any] = [None] * count
        self._receiving: dict[Any, int] = {}
        self._received: deque[tuple[int, Any, Message]] = deque()

    @property
    def slots(self) -> int:
        return len(self._actors)

    def start(self, slot: int) -> None:
        self._actors[slot] = self._actor.remote(*self._start, slot)
        self._receive_from(slot)

    def _receive_from(self, slot: int) -> None:
        self._receiving[self._actors[slot].receive.remote(_RECEIVE_SECONDS)] = slot

    def submit(self, slot: int, payload: Mapping[str, Any]) -> None:
        self._actors[slot].submit.remote(dict(payload))

    def stop(self, slot: int) -> None:
        actor, self._actors[slot] = self._actors[slot], None
        self._receiving = {ref: s for ref, s in self._receiving.items() if s != slot}
        if actor is not None:
            with suppress(Exception):
                # Its process goes with it: the pipe between them closes.
                self._ray.kill(actor)

    def poll(self, seconds: float) -> tuple[int, Message] | None:
        if not self._received:
            self._wait(seconds)
        while self._received:
            slot, actor, message = self._received.popleft()
            if actor is self._actors[slot]:
                return slot, message
        return None

    def _wait(self, seconds: float) -> None:
        refs = list(self._receiving)
        done, _ = self._ray.wait(refs, num_returns=1, timeout=max(seconds, 0.001))
        for ref in done:
            slot = self._receiving.pop(ref)
            actor = self._actors[slot]
            try:
                messages = self._ray.get(ref)
            except self._ray.exceptions.RayError as error:
                messages = [{"kind": "lost", "error": _why_lost(error)}]
            self._received.extend((slot, actor, message) for message in messages)
            if not messages or messages[-1]["kind"] != "lost":
                self._receive_from(slot)

    def close(self) -> None:
        """End every worker and leave the cluster as it was."""
        for slot in range(self.slots):
            self.stop(slot)
        self._ray.shutdown()


def _connect(address: str) -> Any:
    """Ray, as a driver of the cluster at an address; within a minute or two or not at all.

    Ray itself tries for two minutes and then ends the whole process, so a connection and a trial
    join in a process of its own come first.
    """
    # Nobody asked for reports to its makers.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError:
        raise missing_extra("ray", extra="ray", purpose="a batch on a cluster") from None
    if address != "auto":
        _require_open_port(address)
    join = f"import ray; ray.init({address!r}, log_to_driver=False, logging_level='ERROR')"
    try:
        trial = subprocess.run(
            [sys.executable, "-c", join],
            capture_output=True, text=True, timeout=_JOIN_SECONDS, check=False,
        )  # fmt: skip
        lines = trial.stderr.strip().splitlines()
        problem = "" if trial.returncode == 0 else (lines[-1] if lines else "it ended at once")
    except subprocess.TimeoutExpired:
        problem = f"no answer within {_JOIN_SECONDS:.0f} s"
    if problem:
        raise _unreachable(address, problem)
    try:
        ray.init(address, log_to_driver=False, logging_level=logging.ERROR)
    except Exception as error:  # Ray raises many kinds
        raise _unreachable(address, str(error)) from error
    return ray


def _require_open_port(address: str) -> None:
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdigit() or "/" in host:
        raise InputError(
            f"--ray takes auto or HOST:PORT of the cluster's head, such as 10.0.0.1:6379, "
            f"got {address!r}"
        )
    try:
        socket.create_connection((host.strip("[]"), int(port)), _CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise _unreachable(address, str(error)) from error


def _unreachable(address: str, cause: str) -> Img2MeshError:
    cause = " ".join(cause.split())[:240]
    where = "on this machine" if address == "auto" else f"at {address}"
    return InputError(
        f"there is no Ray cluster to join {where} ({cause}); start one with `ray start --head`, "
        "check the address and RAY_AUTH_TOKEN, or leave --ray out to work on this machine"
    )


def capacity_of(nodes: Sequence[Mapping[str, float]], *, threads: int, gpus: float) -> int:
    """How many workers fit the nodes; a request that fits none of them would wait for ever.

    Args:
        nodes: ``CPU`` and ``GPU`` of each.
        threads: CPUs a worker needs, all on one node.
        gpus: GPUs a worker needs; a part is a part of one device.

    Raises:
        InputError: not one fits.
    """
    cpus, has = (sum(node.get(kind, 0.0) for node in nodes) for kind in ("CPU", "GPU"))
    if gpus > 1 and gpus != int(gpus):
        raise InputError(f"--gpus-per-worker takes a part of one GPU or whole ones, got {gpus:g}")
    if gpus and has < min(gpus, 1.0):
        raise InputError(
            f"--gpus-per-worker {gpus:g} was asked for, but the cluster has {has:g} GPUs; leave it "
            "out to compute on CPUs, or join machines with GPUs"
        )
    capacity = sum(_fits(node, threads, gpus) for node in nodes)
    if capacity < 1:
        raise InputError(
            f"a worker of {threads} CPUs and {gpus:g} GPUs fits no node of the cluster, which has "
            f"{cpus:g} CPUs and {has:g} GPUs in all"
        )
    return capacity


def _fits(node: Mapping[str, float], threads: int, gpus: float) -> int:
    by_cpus = int(node.get("CPU", 0.0) // threads)
    if not gpus:
        return by_cpus
    devices = node.get("GPU", 0.0)
    shares = devices // gpus if gpus >= 1 else devices * ((1 + 1e-6) // gpus)
    return min(by_cpus, int(shares))


def _why_lost(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"the cluster lost the worker: {lines[-1] if lines else type(error).__name__}"[:300]
