"""Low-rank adapters (Hu et al. 2021, arXiv 2106.09685) on a U-Net's attention.

Files have the names diffusers and peft use: ``unet.PATH.lora_A.weight`` (r, in) and
``unet.PATH.lora_B.weight`` (out, r); the adapted weight is ``W + B A``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

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
    """What a LoRA file holds, of trained parameters by name."""
    return {k: v for k, v in trained.items() if ".lora_A." in k or ".lora_B." in k}


def merge(unet: nn.Module, state: Mapping[str, Tensor], scale: float = 1.0) -> None:
    """Add a LoRA file's ``scale B A`` to a plain U-Net's weights.

    Raises:
        InputError: a layer the U-Net has not, of another size, or half of a pair.
    """
    found: dict[str, dict[str, Tensor]] = {}
    for name, value in state.items():
        path, _, rest = name.removeprefix("unet.").partition(".lora_")
        found.setdefault(path, {})[rest[:1]] = value
    modules = dict(unet.named_modules())
    for path, pair in found.items():
        layer = modules.get(path)
        fits = isinstance(layer, nn.Linear) and pair.keys() == {"A", "B"}
        if not fits or (pair["B"].shape[0], pair["A"].shape[1]) != layer.weight.shape:  # type: ignore[union-attr]
            raise InputError(f"the adapter's layer {path} does not fit this U-Net")
    with torch.no_grad():
        for path, pair in found.items():
            weight: Any = modules[path].weight
            weight += scale * (pair["B"].float() @ pair["A"].float()).to(weight)


def _owner(root: nn.Module, path: str) -> tuple[nn.Module, str]:
    above, _, leaf = path.rpartition(".")
    return root.get_submodule(above), leaf


def _put(owner: nn.Module, leaf: str, module: nn.Module) -> None:
    if leaf.isdigit():
        owner[int(leaf)] = module  # type: ignore[operator]
    else:
        setattr(owner, leaf, module)
