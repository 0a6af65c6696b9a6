"""Where and how precisely a training computes: its processes and their devices."""

from __future__ import annotations

from typing import Any

import torch


def join_processes() -> Any:
    """The ``accelerate.Accelerator`` of this run, of one process or of many.

    Without a GPU it must be told so, or several processes would not find each other.
    """
    from accelerate import Accelerator

    return Accelerator(cpu=not (torch.cuda.is_available() or torch.backends.mps.is_available()))


def computes_bfloat16() -> bool:
    """Whether this processor multiplies bfloat16 in hardware; without, it is 20 times slower."""
    if torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported())
    probe = getattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", None)
    return bool(probe is not None and probe())
