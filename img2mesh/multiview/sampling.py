"""How a learned generator samples: one value that every pass takes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from img2mesh.diffusion.speed import SpeedName

Progress = Callable[[float], None]
#: Whether views that are drawn one by one see each other meanwhile.
Consistency = Literal["none", "shared-attention"]


@dataclass(frozen=True)
class Sampling:
    """What all passes of a learned generator have in common.

    Attributes:
        speed: ``exact``, the published sampler, ``fast`` or ``draft``; see
            :mod:`img2mesh.diffusion.speed`.
        steps: denoising steps; None takes the speed's own, 75 are for faces and fine detail.
        guidance_scale: classifier-free guidance, off at 1 and below.
        seed: of all noise.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:1``, ``mps``.
        low_vram: keep one part of the model on the device at a time.
        lora: file of an adapter to add to the checkpoint, see
            :mod:`img2mesh.diffusion.adapters`; None adds none.
    """

    speed: SpeedName = "exact"
    steps: int | None = None
    guidance_scale: float = 4.0
    seed: int = 42
    device: str = "auto"
    low_vram: bool = False
    lora: str | None = None

    @property
    def adapter(self) -> Path | None:
        """The adapter's file."""
        return None if self.lora is None else Path(self.lora)

    def idle_wishes(self) -> tuple[str, ...]:
        """Names of the wishes that a generator which denoises nothing leaves unheard."""
        return tuple(
            name
            for name in ("speed", "steps", "guidance_scale")
            if getattr(self, name) != getattr(USUAL, name)
        )


USUAL = Sampling()


def shares(progress: Progress | None, twice: bool) -> tuple[Progress | None, Progress | None]:
    """Progress of one run, or of two runs one after the other."""
    if progress is None or not twice:
        return progress, progress
    tell = progress  # a name the closures can keep without the None
    return (lambda f: tell(f / 2)), (lambda f: tell(0.5 + f / 2))
