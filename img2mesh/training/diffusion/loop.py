"""The loop of the diffusion trainers: resumable at any step, on one process or many.

A run that is killed and resumed ends with the weights of one that was not: every chance follows
from the seed, the step and the sample's number, and a checkpoint is written aside and renamed.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from img2mesh.errors import Img2MeshError
from img2mesh.training.diffusion.chances import Chance
from img2mesh.training.diffusion.rates import Rate
from img2mesh.training.diffusion.sheets import stack
from img2mesh.training.loop import _Interrupt as Interrupt
from img2mesh.training.processes import computes_bfloat16, join_processes

Sample = Callable[[Chance], dict[str, Tensor]]
CHECKPOINT, LOG = "checkpoint.pt", "log.jsonl"
#: Batches read ahead.
_AHEAD = 3


@dataclass(frozen=True)
class Plan:
    """How to train.

    Attributes:
        steps: to the end of the run.
        batch: samples a micro-batch and process.
        accumulate: micro-batches a step.
        rate: learning rate by step.
        decay: weight decay of AdamW.
        averaging: decay of the moving average that is exported; shorter in the first steps.
        clip: longest gradient.
        seed: decides every chance.
        save_every, sample_every: steps; 0 never samples.
        readers: threads that read samples.
        bfloat16: reduced precision; None where the processor computes in it.
    """

    steps: int
    rate: Rate
    batch: int = 1
    accumulate: int = 1
    decay: float = 0.01
    averaging: float = 0.9999
    clip: float = 1.0
    seed: int = 0
    save_every: int = 500
    sample_every: int = 0
    readers: int = 4
    bfloat16: bool | None = None


def train(
    module: nn.Module,
    sample: Sample,
    plan: Plan,
    out: Path,
    *,
    factors: Callable[[str], float] = lambda name: 1.0,
    place: Callable[[torch.device, torch.dtype], None] = lambda device, dtype: None,
    draw: Callable[[int], None] = lambda step: None,
    note: Callable[[str], None] = lambda line: None,
    after_step: Callable[[int], None] = lambda step: None,
) -> dict[str, Tensor]:
    """Train the parameters of a module that have gradients; go on where a checkpoint is.

    Args:
        module: its forward pass takes a batch and gives the samples' losses (b,).
        sample: reads one sample; called from threads.
        plan: how.
        out: ``checkpoint.pt`` and ``log.jsonl`` go here.
        factors: what the learning rate of a parameter is multiplied by, by its name.
        place: told device and precision before the first step, for frozen parts.
        draw: called every ``plan.sample_every`` steps with the averaged weights in place.
        note: told about the progress in lines.
        after_step: called after each step, for tests.

    Returns:
        The moving averages of the trained parameters, by name, on the CPU.

    Raises:
        Img2MeshError: the loss is not a finite number.
    """
    accelerator = join_processes()
    main = accelerator.is_main_process
    reduced = computes_bfloat16() if plan.bfloat16 is None else plan.bfloat16
    module.to(accelerator.device)
    place(accelerator.device, torch.bfloat16 if reduced else torch.float32)
    trained = {n: p for n, p in module.named_parameters() if p.requires_grad}
    optimizer = torch.optim.AdamW(_groups(trained, factors), lr=plan.rate.peak,
                                  weight_decay=plan.decay)  # fmt: skip
    run = _Run(out, trained, optimizer)
    run.load()
    wrapped, stepper = accelerator.prepare(module, optimizer)
    wrapped.train()
    per_process = plan.batch * plan.accumulate
    numbers = range(accelerator.process_index * per_process,
                    (accelerator.process_index + 1) * per_process)  # fmt: skip
    stop = Interrupt(accelerator)
    recent, waited, began = [0.0, 0], 0.0, time.monotonic()
    last = run.step >= plan.steps
    with _Reader(sample, plan, numbers, run.step) as reader:
        while not last:
            rate = plan.rate.at(run.step, plan.steps)
            for group in optimizer.param_groups:
                group["lr"] = rate * group["factor"]
            started = time.monotonic()
            batches = reader.next()
            waited += time.monotonic() - started
            total = 0.0
            for k, batch in enumerate(batches):
                batch = {n: v.to(accelerator.device, non_blocking=True) for n, v in batch.items()}
                # Gradients travel between the processes once a step, with the last micro-batch.
                with _unsynchronised(wrapped, k < len(batches) - 1):
                    with torch.autocast(accelerator.device.type, torch.bfloat16, enabled=reduced):
                        loss = wrapped(batch).mean() / plan.accumulate
                    accelerator.backward(loss)
                total += float(loss.detach())
            if total != total:
                raise Img2MeshError(
                    f"the loss of step {run.step + 1} is not a number; the last checkpoint is "
                    f"whole: lower --rate and --resume"
                )
            torch.nn.utils.clip_grad_norm_(trained.values(), plan.clip)
            stepper.step()
            optimizer.zero_grad(set_to_none=True)
            run.step += 1
            run.follow(min(plan.averaging, (1 + run.step) / (10 + run.step)))
            recent = [recent[0] + total, recent[1] + 1]
            last = run.step >= plan.steps or stop.asked()
            if main and (run.step % plan.save_every == 0 or last):
                run.save()
                seconds = time.monotonic() - began
                line = {
                    "step": run.step,
                    "loss": recent[0] / recent[1],
                    "rate": rate,
                    "seconds_per_step": seconds / recent[1],
                    "waiting_share": waited / seconds,
                    **_memory(accelerator.device),
                }
                run.log(line)
                note(", ".join(f"{k} {v:.4g}" for k, v in line.items()))
                recent, waited, began = [0.0, 0], 0.0, time.monotonic()
            if main and plan.sample_every and run.step % plan.sample_every == 0:
                with run.averaged():
                    draw(run.step)
            after_step(run.step)
    stop.restore()
    return {n: v.detach().cpu().clone() for n, v in run.average.items()}


def _groups(
    trained: Mapping[str, nn.Parameter], factors: Callable[[str], float]
) -> list[dict[str, Any]]:
    """Parameters by the factor of their learning rate."""
    by_factor: dict[float, list[nn.Parameter]] = {}
    for name, parameter in trained.items():
        by_factor.setdefault(factors(name), []).append(parameter)
    return [{"params": p, "factor": f} for f, p in sorted(by_factor.items())]


def _unsynchronised(wrapped: nn.Module, wanted: bool) -> Any:
    from contextlib import nullcontext

    quiet = getattr(wrapped, "no_sync", None)
    return quiet() if wanted and quiet is not None else nullcontext()


def _memory(device: torch.device) -> dict[str, float]:
    if device.type != "cuda":
        return {}
    return {"gpu_gigabytes": torch.cuda.max_memory_allocated(device) / 1e9}


class _Reader:
    """Reads the batches of the steps to come in threads, always the same ones."""

    def __init__(self, sample: Sample, plan: Plan, numbers: range, first: int) -> None:
        self._sample, self._plan, self._numbers = sample, plan, numbers
        self._pool = ThreadPoolExecutor(plan.readers)
        self._next = first
        self._ahead: list[list[Future[dict[str, Tensor]]]] = []

    def __enter__(self) -> _Reader:
        return self

    def __exit__(self, *ended: object) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def next(self) -> list[dict[str, Tensor]]:
        """The micro-batches of the next step."""
        while len(self._ahead) <= _AHEAD:
            chances = [Chance(self._plan.seed, self._next, n) for n in self._numbers]
            self._ahead.append([self._pool.submit(self._sample, c) for c in chances])
            self._next += 1
        samples = [future.result() for future in self._ahead.pop(0)]
        size = self._plan.batch
        return [stack(samples[k : k + size]) for k in range(0, len(samples), size)]


class _Run:
    """What a checkpoint holds: trained parameters, their average, the optimizer, the step."""

    def __init__(
        self, out: Path, trained: dict[str, nn.Parameter], optimizer: torch.optim.Optimizer
    ) -> None:
        out.mkdir(parents=True, exist_ok=True)
        self._out, self._trained, self._optimizer = out, trained, optimizer
        self.average = {n: p.detach().clone() for n, p in trained.items()}
        self.step = 0

    def load(self) -> None:
        """Go on from the last checkpoint, if there is one.

        Raises:
            Img2MeshError: it is of a run that trains something else.
        """
        file = self._out / CHECKPOINT
        if not file.exists():
            return
        kept = torch.load(file, map_location="cpu", weights_only=True)
        if kept["trained"].keys() != self._trained.keys():
            raise Img2MeshError(
                f"{file} trains other parameters: give what the run began with, or another --out"
            )
        with torch.no_grad():
            for name, parameter in self._trained.items():
                parameter.copy_(kept["trained"][name])
                self.average[name].copy_(kept["average"][name])
        self._optimizer.load_state_dict(kept["optimizer"])
        self.step = kept["step"]

    def save(self) -> None:
        """Write aside, then rename: a kill leaves the old one or the new one."""
        aside = self._out / f".{CHECKPOINT}.part"
        trained = {n: p.detach() for n, p in self._trained.items()}
        state = {"trained": trained, "average": self.average, "step": self.step,
                 "optimizer": self._optimizer.state_dict()}  # fmt: skip
        torch.save(state, aside)
        aside.replace(self._out / CHECKPOINT)

    def log(self, line: dict[str, float]) -> None:
        """One more line of the log."""
        with (self._out / LOG).open("a", encoding="utf-8") as stream:
            stream.write(json.dumps({k: float(f"{v:.6g}") for k, v in line.items()}) + "\n")

    def follow(self, keep: float) -> None:
        """Move the average towards the parameters."""
        with torch.no_grad():
            for name, parameter in self._trained.items():
                self.average[name].lerp_(parameter, 1 - keep)

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Have the averages in the place of the parameters."""
        own = {n: p.detach().clone() for n, p in self._trained.items()}
        with torch.no_grad():
            for name, parameter in self._trained.items():
                parameter.copy_(self.average[name])
        try:
            yield
        finally:
            with torch.no_grad():
                for name, parameter in self._trained.items():
                    parameter.copy_(own[name])
