"""Low-rank adapters (Hu et al. 2021, arXiv 2106.09685) as files, and in a U-Net's weights.

Files have the names diffusers and peft use: ``unet.PATH.lora_A.weight`` (r, in) and
``unet.PATH.lora_B.weight`` (out, r); the adapted weight is ``W + B A``. What ``train --lora``
writes also says in its header what it was trained on. Reading a header loads no torch.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from img2mesh.diffusion.store import fingerprint
from img2mesh.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor, nn

#: Kinds of networks that adapters are trained on and added to.
FAMILIES = ("zero123plus", "zero123")
_NAME = re.compile(r"unet\.(?P<path>.+)\.lora_(?P<half>[AB])\.weight")
#: Entries of a file's header: ours, and diffusers'.
_OURS, _THEIRS = "img2mesh", "lora_adapter_metadata"


@dataclass(frozen=True)
class Adapter:
    """What a file says of itself.

    Attributes:
        family: the kind of network it was trained on, ``zero123plus`` or ``zero123``; empty where
            the file does not say.
        licence: of what it learned from.
        commercial: whether that allows commercial use.
        note: what a user should know.
    """

    family: str = ""
    licence: str = "unknown"
    commercial: bool = False
    note: str = ""

    def header(self) -> dict[str, str]:
        """The entries of a safetensors header that say this."""
        return {_OURS: json.dumps(asdict(self), sort_keys=True)}


def describe(file: str | Path) -> Adapter:
    """What an adapter's header says, after its names were looked at. No torch.

    Raises:
        InputError: no such file, or no adapter that can be added as it is; says what came.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, "numpy") as opened:
            names, said = list(opened.keys()), opened.metadata() or {}
    except (OSError, SafetensorError) as cause:
        raise InputError(
            f"{file} cannot be read as an adapter ({cause}); expected a .safetensors file of "
            "img2mesh train --lora"
        ) from None
    if foreign := [name for name in names if not _NAME.fullmatch(name)]:
        raise InputError(
            f"{file} is no adapter that can be added as it is: its tensor {foreign[0]!r} should be "
            "called unet.PATH.lora_A.weight or unet.PATH.lora_B.weight, as img2mesh train --lora "
            "and diffusers write it"
        )
    try:
        theirs = json.loads(said.get(_THEIRS, "{}"))
        scaled = theirs.get("unet.lora_alpha") != theirs.get("unet.r")
        ours = Adapter(**json.loads(said.get(_OURS, "{}")))
    except (ValueError, AttributeError, TypeError) as cause:
        raise InputError(f"the header of {file} cannot be understood ({cause})") from None
    if scaled:
        raise InputError(
            f"{file} is to be multiplied by {theirs.get('unet.lora_alpha')} / "
            f"{theirs.get('unet.r')} (lora_alpha / r): multiply its lora_B by that and save it anew"
        )
    return ours


def require_fitting(file: str | Path, family: str, generator: str) -> Adapter:
    """:func:`describe`, for a generator of a family.

    Raises:
        InputError: as there, or trained for another kind of network.
    """
    adapter = describe(file)
    if family not in FAMILIES:
        raise InputError(
            f"--lora adds to networks of the kind {' or '.join(FAMILIES)}, {generator} is of the "
            f"kind {family}: leave it out, or give the checkpoint it began with"
        )
    if adapter.family not in ("", family):
        raise InputError(
            f"the adapter {file} was trained on a network of the kind {adapter.family}, "
            f"{generator} is of the kind {family}: give the checkpoint it began with"
        )
    return adapter


def identity(file: str | Path) -> str:
    """Content hash of a file, for cache keys.

    Raises:
        InputError: see :func:`describe`.
    """
    describe(file)
    return fingerprint(Path(file))


def add(unet: nn.Module, file: str | Path) -> None:
    """Add an adapter to the weights of a U-Net.

    Raises:
        InputError: see :func:`describe` and :func:`merge`.
    """
    from img2mesh.diffusion.weights import read_state

    describe(file)
    merge(unet, read_state(Path(file)), what=str(file))


def merge(unet: nn.Module, state: Mapping[str, Tensor], *, what: str = "the adapter") -> None:
    """Add a file's ``B A`` to a plain U-Net's weights.

    Raises:
        InputError: a layer the U-Net has not, of another size, or half of a pair.
    """
    import torch
    from torch import nn

    pairs: dict[str, dict[str, Tensor]] = {}
    for name, value in state.items():
        if found := _NAME.fullmatch(name):
            pairs.setdefault(found["path"], {})[found["half"]] = value
    modules = dict(unet.named_modules())
    for path, pair in pairs.items():
        layer, a, b = modules.get(path), pair.get("A"), pair.get("B")
        if a is None or b is None:
            raise InputError(f"{what} has only half of the layer {path}; fetch it again")
        size = (b.shape[0], a.shape[-1])
        own = tuple(layer.weight.shape) if isinstance(layer, nn.Linear) else None
        if own != size or a.shape[0] != b.shape[-1]:
            there = "no such layer" if own is None else f"{own[0]} x {own[1]}"
            raise InputError(
                f"{what} does not fit this U-Net: its layer {path} is {size[0]} x {size[1]}, the "
                f"network has {there}; give the checkpoint it was trained on as --generator"
            )
    with torch.no_grad():
        for path, pair in pairs.items():
            weight: Any = modules[path].weight
            weight += (pair["B"].float() @ pair["A"].float()).to(weight)
