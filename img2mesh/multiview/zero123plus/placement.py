"""Where the parts of a model are: on the device for good, or only while they work.

What works on the device are copies: a part's own tensors stay where they are, so that nothing has
to be copied back.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn


@contextmanager
def visiting(
    module: nn.Module, device: torch.device, dtype: torch.dtype | None = None
) -> Iterator[None]:
    """Have a whole module on a device, or in another precision, for a while.

    Args:
        module: in place; afterwards it has its own tensors again.
        device: where it works.
        dtype: of its floating point tensors meanwhile; None keeps it.
    """
    away = _Copies()
    away.take(module.modules(), device, dtype)
    try:
        yield
    finally:
        away.drop()


@contextmanager
def streamed(module: nn.Module, device: torch.device) -> Iterator[None]:
    """Have each layer of a module on a device only while that layer works.

    Every pass copies all weights once and hardly takes room: for what runs once a picture, or
    where nothing else fits.
    """
    hooks = []
    for layer in module.modules():
        if not layer._parameters and not layer._buffers:
            continue
        away = _Copies()

        def enter(layer: nn.Module, _: Any, away: _Copies = away) -> None:
            away.take([layer], device)

        def leave(layer: nn.Module, _: Any, __: Any, away: _Copies = away) -> None:
            away.drop()

        hooks.append(layer.register_forward_pre_hook(enter))
        hooks.append(layer.register_forward_hook(leave, always_call=True))
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


class _Copies:
    """Copies that stand in for the tensors of some modules."""

    def __init__(self) -> None:
        self._own: list[tuple[dict[str, Any], str, torch.Tensor]] = []

    @torch.no_grad()
    def take(
        self, modules: Iterable[nn.Module], device: torch.device, dtype: torch.dtype | None = None
    ) -> None:
        """Put copies on a device in the place of the modules' tensors."""
        for module in modules:
            tables: tuple[dict[str, Any], ...] = (module._parameters, module._buffers)
            for table in tables:
                self._own += [(table, name, own) for name, own in table.items() if own is not None]
        for table, name, own in self._own:
            copy = own.to(device, dtype if own.is_floating_point() else None)
            learned = isinstance(own, nn.Parameter)
            table[name] = nn.Parameter(copy, requires_grad=False) if learned else copy

    def drop(self) -> None:
        """Put the modules' own tensors back."""
        for table, name, own in self._own:
            table[name] = own
        self._own = []
