"""Where randomness comes from: one injectable source drives a whole sampling run."""

from __future__ import annotations

import hashlib
from typing import Protocol

import torch

from img2mesh.errors import InputError


class NoiseSource(Protocol):
    """Standard normal noise by name.

    A sampler asks for each (kind, step) exactly once, in the order its documentation states, so
    that a source may also be one plain generator.
    """

    def draw(self, kind: str, step: int | None, shape: tuple[int, ...]) -> torch.Tensor:
        """Standard normal values of a shape; ``step`` is None outside the sampling loop."""
        ...


class KeyedNoise:
    """A seeded source in which every (kind, step) has its own stream.

    The same on every device, since it always draws on the CPU, and independent of the order of
    the calls: skipping the negative branch or sampling ahead leaves all other draws alone.
    """

    def __init__(self, seed: int) -> None:
        self.seed = int(seed)

    def draw(self, kind: str, step: int | None, shape: tuple[int, ...]) -> torch.Tensor:
        """Draw (shape) float32 from the stream of (seed, kind, step)."""
        digest = hashlib.sha256(f"{self.seed}/{kind}/{step}".encode()).digest()
        # 63 bits, because torch seeds are signed 64 bit numbers.
        generator = torch.Generator("cpu").manual_seed(int.from_bytes(digest[:8]) >> 1)
        return torch.randn(shape, generator=generator)


def drawn(
    source: NoiseSource, kind: str, step: int | None, shape: tuple[int, ...], device: torch.device
) -> torch.Tensor:
    """Draw, check and place noise as float32 on a device.

    Raises:
        InputError: the source returned another shape.
    """
    values = torch.as_tensor(source.draw(kind, step, shape))
    if tuple(values.shape) != tuple(shape):
        raise InputError(
            f"the noise source returned shape {tuple(values.shape)} for {kind!r}, "
            f"expected {tuple(shape)}"
        )
    return values.to(device=device, dtype=torch.float32)
