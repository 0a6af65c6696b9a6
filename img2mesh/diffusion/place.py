"""On which device networks run, and in which precision."""

from __future__ import annotations

import torch

from img2mesh.errors import InputError


def pick_dtype(device: torch.device) -> torch.dtype:
    """Half precision where that is fast: on GPUs since Volta, and on the P100."""
    gpu = device.type not in ("cpu", "mps")
    return torch.float16 if gpu and _fast_half(device) else torch.float32


def _fast_half(device: torch.device) -> bool:
    """Whether half precision is fast: since Volta, and on the P100."""
    capability = torch.cuda.get_device_capability(device) if device.type == "cuda" else (7, 0)
    return capability >= (7, 0) or capability == (6, 0)


def pick_device(name: str) -> torch.device:
    """``auto`` is CUDA, else MPS, else the CPU.

    Raises:
        InputError: the named device is unknown or not on this machine.
    """
    there = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if name == "auto":
        return torch.device(next(kind for kind, here in there.items() if here))
    try:
        device = torch.device(name)
    except RuntimeError:
        raise InputError(f"unknown device {name!r}; use auto, cpu, cuda, cuda:N or mps") from None
    if not there.get(device.type, False):
        raise InputError(f"device {name!r} is not on this machine; use auto or cpu")
    return device
