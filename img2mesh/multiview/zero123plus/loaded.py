"""The one loaded model of this process: read at its first use, kept for the next picture.

Reading a published checkpoint takes longer than drawing with it, and a photo is drawn from once or
twice.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

from img2mesh.diffusion import checkpoints
from img2mesh.diffusion.speed import Execution
from img2mesh.diffusion.store import fingerprint
from img2mesh.errors import InputError
from img2mesh.multiview.zero123plus.components import load_controlnet
from img2mesh.multiview.zero123plus.model import Zero123Plus


@dataclass(frozen=True)
class Place:
    """Where the networks run, and how."""

    device: torch.device
    dtype: torch.dtype
    execution: Execution


@dataclass
class _Kept:
    model: Zero123Plus
    key: object
    net_key: object = None


#: How often weights of a whole model were read in this process.
reads = 0
_kept: _Kept | None = None
_lock = threading.RLock()


@contextmanager
def loaded(found: checkpoints.Located, net: Path | None, place: Place) -> Iterator[Zero123Plus]:
    """The model for a checkpoint, for one thread at a time.

    One model is kept, and one ControlNet with it: another checkpoint, changed files or another
    place to run take their room. What failed is not kept, so that memory that ran out is free.

    Args:
        found: the checkpoint on this machine.
        net: folder of the ControlNet, or None.
        place: where it runs.
    """
    global _kept, reads
    with _lock:
        key = (found.folder, found.unet_file, found.identity(), found.record.background, place)
        if _kept is None or _kept.key != key:
            forget()
            model = Zero123Plus.from_located(
                found, device=place.device, dtype=place.dtype, execution=place.execution
            )
            _kept, reads = _Kept(model, key), reads + 1
        kept = _kept
        if net is not None and kept.net_key != (net_key := (net, fingerprint(net))):
            kept.model.attach(None)  # its room is free before the other is read
            kept.model.attach(load_controlnet(net, dtype=place.dtype))
            kept.net_key = net_key
        try:
            yield kept.model
        except InputError:
            raise
        except BaseException:
            forget()
            raise


def forget() -> None:
    """Free the memory of the model that is kept."""
    global _kept
    with _lock:
        _kept = None
