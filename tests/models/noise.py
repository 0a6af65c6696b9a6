"""Noise sources that only tests need: recorded draws, and one generator in call order."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from img2mesh.errors import InputError


class SequentialNoise:
    """One torch generator drawn from in call order, as pipelines of the field do."""

    def __init__(self, seed: int) -> None:
        self._generator = torch.Generator("cpu").manual_seed(int(seed))

    def draw(self, kind: str, step: int | None, shape: tuple[int, ...]) -> torch.Tensor:
        """Draw the next values (shape) float32, whatever they are for."""
        return torch.randn(shape, generator=self._generator)


class RecordedNoise:
    """Plays back recorded draws, for parity checks.

    Args:
        draws: by kind; kinds drawn in the loop have the step as their first axis.
    """

    def __init__(self, draws: Mapping[str, torch.Tensor]) -> None:
        self._draws = dict(draws)

    def draw(self, kind: str, step: int | None, shape: tuple[int, ...]) -> torch.Tensor:
        """Look a draw up.

        Raises:
            InputError: it was not recorded, or with another shape.
        """
        if kind not in self._draws:
            raise InputError(f"no {kind!r} noise was recorded; recorded: {', '.join(self._draws)}")
        recorded = self._draws[kind]
        if step is not None:
            if step >= len(recorded):
                raise InputError(f"{kind!r} noise was recorded for {len(recorded)} steps only")
            recorded = recorded[step]
        if tuple(recorded.shape) != tuple(shape):
            raise InputError(
                f"{kind!r} noise was recorded with shape {tuple(recorded.shape)}, "
                f"asked for is {tuple(shape)}"
            )
        return recorded
