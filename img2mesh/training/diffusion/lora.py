"""Training low-rank adapters on a U-Net's attention; their files: :mod:`.diffusion.adapters`."""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from img2mesh.errors import InputError

_ADAPTED = re.compile(r"\.attn[12]\.(to_q|to_k|to_v|to_out\.0)$")


class Adapted(nn.Module):
    """A frozen linear layer with a trainable low-rank addition that begins at nothing."""

    def __init__(self, base: nn.Linear, rank: int) -> None:
        super().__init__()
        self.base = base.requires_grad_(False)
        self.lora_A = nn.Linear(base.in_features, rank, bias=False)
        self.lora_B = nn.Linear(rank, base.out_features, bias=False)
        nn.init.normal_(self.lora_A.weight, std=1 / rank)
        nn.init.zeros_(self.lora_B.weight)

    def forward(self, x: Tensor) -> Tensor:
        """The layer's output, as changed."""
        out: Tensor = self.base(x) + self.lora_B(self.lora_A(x))
        return out


def install(unet: nn.Module, rank: int) -> list[str]:
    """Adapt every attention projection; returns their paths.

    Raises:
        InputError: a rank below 1.
    """
    if rank < 1:
        raise InputError(f"the rank of an adapter must be at least 1, got {rank}")
    paths = [n for n, m in unet.named_modules() if _ADAPTED.search(f".{n}")
             and isinstance(m, nn.Linear)]  # fmt: skip
    for path in paths:
        owner, leaf = _owner(unet, path)
        _put(owner, leaf, Adapted(unet.get_submodule(path), rank))  # type: ignore[arg-type]
    return paths


def remove(unet: nn.Module) -> None:
    """Take adapters off and leave the layers with ``W + B A``."""
    for path, module in list(unet.named_modules()):
        if isinstance(module, Adapted):
            with torch.no_grad():
                module.base.weight += module.lora_B.weight @ module.lora_A.weight
            owner, leaf = _owner(unet, path)
            _put(owner, leaf, module.base)


def state_of(trained: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What an adapter's file holds, of trained parameters by name."""
    return {k: v for k, v in trained.items() if ".lora_A." in k or ".lora_B." in k}


def _owner(root: nn.Module, path: str) -> tuple[nn.Module, str]:
    above, _, leaf = path.rpartition(".")
    return root.get_submodule(above), leaf


def _put(owner: nn.Module, leaf: str, module: nn.Module) -> None:
    if leaf.isdigit():
        owner[int(leaf)] = module  # type: ignore[operator]
    else:
        setattr(owner, leaf, module)
