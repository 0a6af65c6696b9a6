"""How a learned generator samples: one value that every pass takes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Progress = Callable[[float], None]
#: Whether views that are drawn one by one see each other meanwhile.
Consistency = Literal["none", "shared-attention"]


@dataclass(frozen=True)
class Sampling:
    """What all passes of a learned generator have in common.

    Attributes:
        steps: denoising steps; 28 for most objects, 75 for faces and fine detail.
        guidance_scale: classifier-free guidance, off at 1 and below.
        seed: of all noise.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:1``, ``mps``.
        low_vram: keep one part of the model on the device at a time (about 5 GB).
        commercial_only: refuse weights whose licence forbids commercial use.
    """

    steps: int = 28
    guidance_scale: float = 4.0
    seed: int = 42
    device: str = "auto"
    low_vram: bool = False
    commercial_only: bool = False

    def idle_wishes(self) -> tuple[str, ...]:
        """Names of the wishes that a generator which denoises nothing leaves unheard."""
        return tuple(
            name
            for name in ("steps", "guidance_scale")
            if getattr(self, name) != getattr(USUAL, name)
        )


USUAL = Sampling()
