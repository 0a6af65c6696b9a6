"""Low-rank adaptation of a U-Net's attention (Hu et al. 2021, arXiv 2106.09685), with the camera.

The network's own weights stay as they are: a pair of thin matrices is added to each projection of
each attention layer while :meth:`Lora.active` lasts. The second of the pair starts at zero, so an
untrained adaptation is exactly the network. The camera vector enters through the time embedding,
by one more layer that starts at zero (ProlificDreamer conditions its copy on the camera so).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

_PROJECTIONS = ("to_q", "to_k", "to_v", "to_out.0")


class Lora(nn.Module):
    """Trainable additions to a frozen U-Net.

    Args:
        unet: diffusers' U-Net.
        rank: of the additions.
        camera: numbers of a camera vector; 0 leaves the camera out.
        seed: of the first matrices.
    """

    def __init__(self, unet: Any, *, rank: int = 4, camera: int = 0, seed: int = 0) -> None:
        super().__init__()
        self._layers = {
            name: module
            for name, module in unet.named_modules()
            if isinstance(module, nn.Linear) and name.endswith(_PROJECTIONS) and ".attn" in name
        }
        self._time = unet.time_embedding
        generator = torch.Generator("cpu").manual_seed(seed)
        device = next(unet.parameters()).device
        self.down, self.up = nn.ParameterDict(), nn.ParameterDict()
        for name, layer in self._layers.items():
            key = name.replace(".", "/")
            first = torch.randn(rank, layer.in_features, generator=generator) / rank
            self.down[key] = nn.Parameter(first.to(device))
            self.up[key] = nn.Parameter(torch.zeros(layer.out_features, rank, device=device))
        width = self._time.linear_2.out_features
        self.camera = nn.Parameter(torch.zeros(width, camera, device=device))

    @contextmanager
    def active(self, vectors: torch.Tensor | None = None) -> Iterator[None]:
        """Have the additions count; ``vectors`` are camera vectors (b, camera) of the rows."""
        hooks = []
        for name, layer in self._layers.items():
            key = name.replace(".", "/")
            hooks.append(layer.register_forward_hook(self._addition(key)))
        if vectors is not None and self.camera.shape[1]:
            shift = vectors.to(self.camera) @ self.camera.T
            hooks.append(
                self._time.register_forward_hook(lambda m, args, out: out + shift.to(out.dtype))
            )
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def _addition(self, key: str) -> Any:
        down, up = self.down[key], self.up[key]

        def add(module: nn.Module, args: tuple[Any, ...], output: torch.Tensor) -> torch.Tensor:
            return output + ((args[0].to(down) @ down.T) @ up.T).to(output.dtype)

        return add


def adam_state(optimiser: torch.optim.Adam, names: list[str]) -> dict[str, torch.Tensor]:
    """The optimiser's memory by parameter name, for checkpoints."""
    out = {}
    for name, parameter in zip(names, optimiser.param_groups[0]["params"], strict=True):
        for key, value in optimiser.state.get(parameter, {}).items():
            out[f"adam.{key}.{name}"] = torch.as_tensor(value).detach().clone()
    return out


def restore_adam(
    optimiser: torch.optim.Adam, names: list[str], state: Mapping[str, torch.Tensor]
) -> None:
    """Give an optimiser the memory of :func:`adam_state`."""
    for name, parameter in zip(names, optimiser.param_groups[0]["params"], strict=True):
        found = {
            key: state[f"adam.{key}.{name}"].clone()
            for key in ("step", "exp_avg", "exp_avg_sq")
            if f"adam.{key}.{name}" in state
        }
        if found:
            optimiser.state[parameter] = found
