"""A distillation that was killed goes on where it last stored itself, to the same final bytes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from img2mesh.field.distillation.optimizer import Moments
from img2mesh.io.files import replacing

_FILE = "distillation.safetensors"
_OF_GUIDANCE = "guidance/"


@dataclass
class State:
    """All that the rest of a distillation depends on.

    Attributes:
        step: steps taken.
        table: the field's.
        moments: the optimiser's memory.
        guidance: what the guidance has learned.
    """

    step: int
    table: Tensor
    moments: Moments
    guidance: Mapping[str, Tensor]


def save(state: State, folder: Path, key: str) -> None:
    """Write the state into ``folder`` in one rename."""
    from safetensors.torch import save as pack

    tensors = {"table": state.table, "mean": state.moments.mean, "size": state.moments.size}
    tensors |= {_OF_GUIDANCE + name: tensor for name, tensor in state.guidance.items()}
    flat = {name: t.detach().cpu().contiguous().clone() for name, t in tensors.items()}
    about = {"key": key, "step": state.step, "count": state.moments.count}
    folder.mkdir(parents=True, exist_ok=True)
    with replacing(folder / _FILE) as temporary:
        temporary.write_bytes(pack(flat, metadata={"distillation": json.dumps(about)}))


def load(folder: Path, key: str, device: torch.device) -> State | None:
    """The state saved for exactly this distillation, or None: nothing there, or another's."""
    from safetensors import SafetensorError, safe_open

    path = folder / _FILE
    if not path.is_file():
        return None
    try:
        with safe_open(str(path), framework="pt", device=str(device)) as file:
            about = json.loads(file.metadata()["distillation"])
            if about["key"] != key:
                return None
            found = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, KeyError, ValueError, TypeError):
        return None
    guidance = {
        name.removeprefix(_OF_GUIDANCE): tensor
        for name, tensor in found.items()
        if name.startswith(_OF_GUIDANCE)
    }
    moments = Moments(found["mean"], found["size"], about["count"])
    return State(about["step"], found["table"], moments, guidance)
