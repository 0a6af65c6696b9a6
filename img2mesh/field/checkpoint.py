"""A fit that was killed goes on where it last placed samples, to the same final bytes.

Everything random is derived from (seed, level, step), and samples are placed anew at these
points anyway, so the field and the optimiser's momentum are the whole state.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from img2mesh.field.grid import Sdf
from img2mesh.field.optimizer import MomentumStep
from img2mesh.field.pictures import Observation
from img2mesh.geometry.grid import Grid
from img2mesh.geometry.silhouettes import Silhouette
from img2mesh.io.files import replacing

_FILE = "fit.safetensors"


@dataclass
class State:
    """All that the rest of a fit depends on, at a point where samples are about to be placed.

    Attributes:
        level: index of the level.
        step: steps taken in it.
        sdf: the surface.
        optimizer: its momentum.
        unit: bounding radius of the first surface, world units.
        target_depth: (p,) z-depth the surface should have at every pixel of all views, NaN = any.
        confidence: (p,) in [0, 1] of that.
    """

    level: int
    step: int
    sdf: Sdf
    optimizer: MomentumStep
    unit: float
    target_depth: Tensor
    confidence: Tensor


def fingerprint(
    observations: Sequence[Observation], silhouettes: Sequence[Silhouette], settings: object
) -> str:
    """Hash of everything a fit's result depends on: a checkpoint of another fit is not resumed."""
    digest = hashlib.sha256(repr(settings).encode())
    for seen, silhouette in zip(observations, silhouettes, strict=True):
        c = seen.camera
        arrays = (seen.view.rgb, seen.view.alpha, seen.depth, seen.normals, seen.confidence)
        for array in (*arrays, silhouette.distance, c.world_from_camera):
            about = "none" if array is None else f"{array.shape} {array.dtype}"
            digest.update(about.encode() + (b"" if array is None else array.tobytes()))
        digest.update(repr((c.fx, c.fy, c.cx, c.cy, seen.mask_weight)).encode())
    return digest.hexdigest()


def save(state: State, folder: Path, key: str) -> None:
    """Write the state into ``folder`` in one rename."""
    from safetensors.numpy import save as pack

    grid = state.sdf.grid
    about = {
        "key": key,
        "level": state.level,
        "step": state.step,
        "square": float(state.optimizer.square),
        "count": state.optimizer.count,
        "origin": [float(x) for x in grid.origin],
        "voxel": grid.voxel,
        "unit": state.unit,
    }
    tensors = {
        "sdf": state.sdf.values,
        "momentum": state.optimizer.momentum,
        "target_depth": state.target_depth,
        "confidence": state.confidence,
    }
    arrays = {name: tensor.detach().cpu().numpy() for name, tensor in tensors.items()}
    data = pack(arrays, metadata={"fit": json.dumps(about)})
    folder.mkdir(parents=True, exist_ok=True)
    with replacing(folder / _FILE) as temporary:
        temporary.write_bytes(data)


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
            values, momentum, target_depth, confidence = (
                torch.as_tensor(file.get_tensor(name), device=device)
                for name in ("sdf", "momentum", "target_depth", "confidence")
            )
    except (SafetensorError, OSError, KeyError, ValueError, TypeError):
        return None
    nx, ny, nz = values.shape
    return State(
        about["level"],
        about["step"],
        Sdf(values, Grid(np.array(about["origin"]), about["voxel"], (nx, ny, nz))),
        MomentumStep(momentum, about["square"], about["count"]),
        about["unit"],
        target_depth,
        confidence,
    )
