"""A fit that was killed goes on where it last placed samples, to the same final bytes.

Everything random is derived from (seed, stage, iteration), and samples are placed anew at these
points anyway, so the field and the optimiser's momentum are the whole state.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from img2mesh.artifacts import ViewSet
from img2mesh.field.steps import StepRule
from img2mesh.geometry.grid import Grid

_FILE = "fit.safetensors"


@dataclass
class State:
    """All that the rest of a fit depends on, at a point where samples are about to be placed.

    Attributes:
        stage: index of the stage.
        iteration: steps taken in it; -1 before its first preparations.
        field: (nx, ny, nz) signed distances, world units.
        box: the field's grid.
        rule: the optimiser.
        unit: bounding radius of the first field, world units.
        goal: (p,) z-depth the surface should have at every pixel of all views, NaN = unknown.
        trust: (p,) weight of that in the depth loss.
    """

    stage: int
    iteration: int
    field: Tensor
    box: Grid
    rule: StepRule
    unit: float
    goal: Tensor
    trust: Tensor


def fingerprint(views: ViewSet, settings: dict[str, Any]) -> str:
    """Hash of everything a fit's result depends on: a checkpoint of another fit is not resumed."""
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    arrays = [views.rgb, views.alpha, views.depth, views.normals]
    if views.photo is not None:
        arrays += [views.photo.rgb, views.photo.alpha]
    for array in arrays:
        digest.update(b"none" if array is None else repr(array.shape).encode() + array.tobytes())
    for view in views.posed:
        c = view.camera
        assert c is not None
        digest.update(c.world_from_camera.tobytes() + repr((c.fx, c.fy, c.cx, c.cy)).encode())
    return digest.hexdigest()


def save(state: State, folder: Path, key: str) -> None:
    """Write the state into ``folder`` in one rename."""
    from safetensors.numpy import save as pack

    about = {
        "key": key,
        "stage": state.stage,
        "iteration": state.iteration,
        "square": state.rule.square,
        "count": state.rule.count,
        "origin": [float(x) for x in state.box.origin],
        "voxel": state.box.voxel,
        "unit": state.unit,
    }
    tensors = {
        "field": state.field.detach().cpu().numpy(),
        "momentum": state.rule.momentum.cpu().numpy(),
        "goal": state.goal.cpu().numpy(),
        "trust": state.trust.cpu().numpy(),
    }
    data = pack(tensors, metadata={"fit": json.dumps(about)})
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / f".{_FILE}.{os.getpid()}"
    try:
        temporary.write_bytes(data)
        temporary.replace(folder / _FILE)
    finally:
        temporary.unlink(missing_ok=True)


def load(folder: Path, key: str, device: torch.device) -> State | None:
    """The state saved for exactly this fit, or None: nothing there, damaged, or another fit's."""
    from safetensors import SafetensorError, safe_open

    path = folder / _FILE
    if not path.is_file():
        return None
    try:
        with safe_open(str(path), framework="np") as file:
            about = json.loads(file.metadata()["fit"])
            if about["key"] != key:
                return None
            field, momentum, goal, trust = (
                torch.as_tensor(file.get_tensor(name), device=device)
                for name in ("field", "momentum", "goal", "trust")
            )
    except (SafetensorError, OSError, KeyError, ValueError, TypeError):
        return None
    nx, ny, nz = field.shape
    box = Grid(np.array(about["origin"]), about["voxel"], (nx, ny, nz))
    rule = StepRule(momentum, about["square"], about["count"])
    return State(about["stage"], about["iteration"], field, box, rule, about["unit"], goal, trust)
