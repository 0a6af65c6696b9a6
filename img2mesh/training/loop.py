"""The training loop: resumable at any step, the same weights as if it had never stopped.

Every chance of a step follows from the seed, the step and the process's rank, and the list of items
only grows when a checkpoint is written, so a run that is killed and resumed repeats exactly what it
would have done.
"""

from __future__ import annotations

import json
import math
import signal
import time
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from img2mesh.errors import InputError
from img2mesh.multiview.learned.network import ShapeNet, elevation_bins
from img2mesh.training.augment import Batch, make_batch
from img2mesh.training.catalog import Entry
from img2mesh.training.losses import losses, volume_iou
from img2mesh.training.pool import Pool, found
from img2mesh.training.processes import computes_bfloat16, join_processes

#: Items the running measurement uses.
_MEASURED = 256


@dataclass(frozen=True)
class Plan:
    """How to train.

    Attributes:
        steps: to the end of the run; a later run may have more and goes on from there.
        batch: items a step and process.
        rate: highest learning rate of AdamW.
        warmup: steps until it is reached.
        cooldown: share of ``steps`` at the end over which it falls to nothing.
        decay: weight decay.
        averaging: decay of the exponential moving average of the weights.
        told: share of the items for which the network decodes with the true elevation, not its own.
        seed: decides every chance.
        save_every: steps between checkpoints.
        measure_every: steps between measurements on the held-out meshes.
        bfloat16: reduced precision; None = where the processor computes in it.
    """

    steps: int
    batch: int = 32
    rate: float = 1.5e-3
    warmup: int = 200
    cooldown: float = 0.25
    decay: float = 0.02
    averaging: float = 0.999
    told: float = 0.5
    seed: int = 0
    save_every: int = 200
    measure_every: int = 400
    bfloat16: bool | None = None

    def rate_at(self, step: int) -> float:
        """Warm-up, constant, then a straight line to nothing: the middle can be made longer."""
        left = (self.steps - step) / max(self.cooldown * self.steps, 1)
        return self.rate * min(1.0, (step + 1) / self.warmup, left)


def train(
    data: Path,
    out: Path,
    training: tuple[Entry, ...],
    held_out: tuple[Entry, ...],
    probes: Tensor,
    plan: Plan,
    *,
    network: dict[str, int] | None = None,
    initial: dict[str, Tensor] | None = None,
    note: Callable[[str], None] = lambda line: None,
    after_step: Callable[[int], None] = lambda step: None,
) -> ShapeNet:
    """Train, or go on training, the network; returns it with the averaged weights.

    Args:
        data: prepared items.
        out: ``checkpoint.pt`` and ``log.jsonl`` go here; one that is there is continued.
        training, held_out: the meshes to learn from and to measure on.
        probes: light probes.
        plan: how.
        network: widths, see :class:`ShapeNet`.
        initial: weights to begin with, where there is no checkpoint.
        note: told about the progress in lines.
        after_step: called after each step, for tests.

    Raises:
        InputError: no prepared items.
    """
    from accelerate.utils import broadcast_object_list

    reduced = computes_bfloat16() if plan.bfloat16 is None else plan.bfloat16
    accelerator = join_processes()
    torch.manual_seed(plan.seed)
    model = ShapeNet(**(network or {}))
    if initial is not None:
        model.load_state_dict(initial)
    model = model.to(accelerator.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    average = deepcopy(model).eval().requires_grad_(False)
    optimizer = torch.optim.AdamW(model.parameters(), lr=plan.rate, weight_decay=plan.decay)
    state = _Run(out, data, training, model, average, optimizer)
    state.load()
    if not state.pool.meshes:
        raise InputError(f"{data} holds no prepared items of the training meshes yet")
    wrapped, optimizer = accelerator.prepare(model, optimizer)
    checks = Pool(data, held_out).first(_MEASURED) if held_out else None
    stop = _Interrupt(accelerator)
    began, first = time.monotonic() - state.seconds, state.step
    started = time.monotonic()
    recent: list[dict[str, float]] = []
    last = state.step >= plan.steps
    while not last:
        for group in optimizer.param_groups:
            group["lr"] = plan.rate_at(state.step)
        chance = (plan.seed, state.step, accelerator.process_index)
        items = state.pool.draw(plan.batch, np.random.default_rng(chance))
        batch = make_batch(items, probes, seed=chance).to(accelerator.device)
        wrapped.train()
        told = np.random.default_rng((*chance, 1)).random(plan.batch) < plan.told
        given = torch.from_numpy(told).to(accelerator.device)
        with torch.autocast(accelerator.device.type, torch.bfloat16, enabled=reduced):
            guess = wrapped(batch.picture, elevation_bins(batch.elevation_deg), given)
        parts = losses(guess, batch)
        optimizer.zero_grad(set_to_none=True)
        accelerator.backward(parts["loss"])
        accelerator.clip_grad_norm_(wrapped.parameters(), 1.0)
        optimizer.step()
        state.step += 1
        state.seconds = time.monotonic() - began
        _follow(average, model, min(plan.averaging, (1 + state.step) / (10 + state.step)))
        recent.append({k: float(v.detach()) for k, v in parts.items()})
        last = state.step >= plan.steps or stop.asked()
        if state.step % plan.save_every == 0 or last:
            if not last:  # every process draws from the main one's list
                files = [found(data, training) if accelerator.is_main_process else ()]
                state.pool = Pool(data, training, broadcast_object_list(files)[0])
            if accelerator.is_main_process:
                state.save()
        if state.step % plan.measure_every == 0 or last:
            speed = (state.step - first) / (time.monotonic() - started)
            line = {
                "step": state.step,
                "samples": state.step * plan.batch * accelerator.num_processes,
                "items": len(state.pool.files),
                "rate": plan.rate_at(state.step),
                **{k: sum(r[k] for r in recent) / len(recent) for k in recent[0]},
                **({} if checks is None or not len(checks) else measure(average, checks, probes)),
                "samples_per_second": speed * plan.batch * accelerator.num_processes,
                "hours": state.seconds / 3600,
                "seconds_left": (plan.steps - state.step) / speed,
                "time": time.time(),
            }
            recent = []
            if accelerator.is_main_process:
                with (out / "log.jsonl").open("a", encoding="utf-8") as log:
                    log.write(json.dumps({k: _short(v) for k, v in line.items()}) + "\n")
                note(", ".join(f"{k} {_short(v)}" for k, v in line.items() if k != "time"))
        after_step(state.step)
    stop.restore()
    return average


def measure(model: ShapeNet, items: np.ndarray, probes: Tensor) -> dict[str, float]:
    """Held-out figures of a network: loss, IoU of the columns, elevation error in degrees."""
    device = next(model.parameters()).device
    found_: dict[str, list[float]] = {}
    model.eval()
    with torch.no_grad():
        for start in range(0, len(items), 32):
            batch = make_batch(items[start : start + 32], probes, seed=(start,), faults=False)
            batch = batch.to(device)
            guess = model(batch.picture)
            parts = losses(guess, batch)
            off = (guess.elevation_deg() - batch.elevation_deg).abs().mean()
            figures: dict[str, Tensor] = {
                "val_loss": parts["loss"],
                "val_occupancy": parts["occupancy"],
                "val_iou": volume_iou(guess, batch).mean(),
                "val_normals": parts["normals"],
                "val_back": parts["back"],
                "val_elevation_off_deg": off,
            }
            for k, v in figures.items():
                found_.setdefault(k, []).extend([float(v)] * len(batch.picture))
    return {k: sum(v) / len(v) for k, v in found_.items()}


def _follow(average: ShapeNet, model: ShapeNet, keep: float) -> None:
    with torch.no_grad():
        for name, value in model.state_dict().items():
            mean = average.state_dict()[name]
            if value.is_floating_point():
                mean.lerp_(value, 1 - keep)
            else:
                mean.copy_(value)


def _short(value: float) -> float:
    return value if isinstance(value, int) or not math.isfinite(value) else float(f"{value:.5g}")


class _Run:
    """What a checkpoint holds."""

    def __init__(
        self,
        out: Path,
        data: Path,
        training: tuple[Entry, ...],
        model: ShapeNet,
        average: ShapeNet,
        optimizer: torch.optim.Optimizer,
    ) -> None:
        out.mkdir(parents=True, exist_ok=True)
        self.file = out / "checkpoint.pt"
        self.model, self.average, self.optimizer = model, average, optimizer
        self.step = 0
        self.seconds = 0.0
        self._data, self._training = data, training
        self.pool = Pool(data, training)

    def load(self) -> None:
        """Go on where the last checkpoint was written, if there is one."""
        if not self.file.exists():
            return
        kept = torch.load(self.file, map_location="cpu", weights_only=True)
        self.model.load_state_dict(kept["model"])
        self.average.load_state_dict(kept["average"])
        self.optimizer.load_state_dict(kept["optimizer"])
        self.step = kept["step"]
        self.seconds = kept.get("seconds", 0.0)
        self.pool = Pool(self._data, self._training, tuple(json.loads(kept["files"])))

    def save(self) -> None:
        """Write aside, then rename: a kill leaves the old one or the new one."""
        aside = self.file.with_suffix(".part")
        kept = {
            "model": self.model.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "seconds": self.seconds,
            "files": json.dumps(self.pool.files),
        }
        torch.save(kept, aside)
        aside.replace(self.file)


class _Interrupt:
    """SIGTERM and Ctrl-C end the run after the current step, with a checkpoint."""

    def __init__(self, accelerator: Any) -> None:
        self._accelerator = accelerator
        self._seen = False
        self._before: dict[int, Any] = {}
        for number in (signal.SIGTERM, signal.SIGINT):
            try:
                self._before[number] = signal.signal(number, self._ask)
            except ValueError:  # not in the main thread
                break

    def asked(self) -> bool:
        """Whether any of the processes was asked to stop."""
        if self._accelerator.num_processes == 1:
            return self._seen
        mark = torch.tensor(float(self._seen), device=self._accelerator.device)
        return bool(self._accelerator.reduce(mark) > 0)

    def _ask(self, number: int, frame: object) -> None:
        self._seen = True

    def restore(self) -> None:
        """Put back what was there."""
        for number, handler in self._before.items():
            signal.signal(number, handler)


__all__ = ["Batch", "Plan", "found", "measure", "train"]
