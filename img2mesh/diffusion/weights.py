"""Weights from disk into stock modules: data only, strict, tolerant of known spellings.

Nothing in a checkpoint folder is ever executed: safetensors first, other torch files through
``weights_only=True``, configurations as JSON.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn

from img2mesh.errors import InputError

M = TypeVar("M", bound=nn.Module)
State = dict[str, torch.Tensor]

#: File names of one component, in the order they are looked for.
DIFFUSERS_NAMES = ("diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.bin")
TRANSFORMERS_NAMES = ("model.safetensors", "pytorch_model.safetensors", "pytorch_model.bin")

#: Buffers that old files carry and modules compute themselves.
_IGNORED = re.compile(r"(^|\.)position_ids$")
#: Prefixes left by wrappers around a U-Net (InstantMesh-style training, Lightning, DDP).
_WRAPPERS = ("module.", "unet.unet.", "unet.")
#: The attention of VAEs before diffusers 0.18.
_OLD_ATTENTION = {
    "query": "to_q",
    "key": "to_k",
    "value": "to_v",
    "proj_attn": "to_out.0",
}
#: Prefixes that transformers versions write and build differently.
_OPTIONAL_PREFIXES = ("text_model.",)


def read_json(path: Path) -> dict[str, Any]:
    """Read one JSON object.

    Raises:
        InputError: missing or not a JSON object.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(
            f"{path} is missing: expected a checkpoint in the official folder layout"
        ) from None
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path} cannot be read as JSON ({error}); fetch it again") from None
    if not isinstance(value, dict):
        raise InputError(f"{path} holds {type(value).__name__}, expected a JSON object")
    return value


def find_weights(folder: Path, names: Iterable[str]) -> Path:
    """The first weight file of a component folder: safetensors before torch files, then fp16 ones.

    Raises:
        InputError: there is none.
    """
    names = tuple(names)
    half = tuple(n.replace(".", ".fp16.", 1) for n in names)
    for name in (*names, *half):
        if (folder / name).is_file():
            return folder / name
    raise InputError(
        f"{folder} holds no weights: expected one of {', '.join(names)}; fetch the checkpoint again"
    )


def read_state(path: Path) -> State:
    """Read tensors by name from a safetensors or torch file.

    Raises:
        InputError: unreadable, or a torch file that holds more than tensors.
    """
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            state: Any = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True, mmap=_zipped(path))
    except Exception as error:  # torch raises many types; all mean the file is not plain weights
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(
            f"{path} cannot be read as plain weights ({reason}); fetch it again or convert it to "
            "safetensors"
        ) from None
    while isinstance(state.get("state_dict"), Mapping):  # Lightning checkpoints
        state = state["state_dict"]
    tensors = {k: v for k, v in state.items() if isinstance(v, torch.Tensor)}
    if not tensors:
        raise InputError(f"{path} holds no tensors; expected the weights of one network")
    return tensors


def convert(source: Path, target: Path | None = None) -> Path:
    """Rewrite a torch weight file as safetensors, beside it by default.

    Raises:
        InputError: see :func:`read_state`.
    """
    from safetensors.torch import save_file

    target = target or source.with_suffix(".safetensors")
    # Own memory for each: safetensors refuses tensors that share theirs.
    state = {k: v.detach().clone().contiguous() for k, v in read_state(source).items()}
    draft = target.with_name(f".{target.name}.part")
    save_file(state, draft, metadata={"format": "pt"})
    draft.replace(target)
    return target


def _zipped(path: Path) -> bool:
    """Whether a torch file has the zip format, which alone can be memory-mapped."""
    with path.open("rb") as file:
        return file.read(2) == b"PK"


def matched(state: Mapping[str, torch.Tensor], expected: Mapping[str, torch.Tensor]) -> State:
    """Rename known spellings to the names of a module.

    Handles wrapper prefixes, the attention names of old VAEs (whose projections may be 1x1
    convolutions), and the ``text_model.`` prefix that transformers versions write or omit.

    Args:
        state: as read.
        expected: the module's own state dict (shapes are used, values are not).
    """
    state = {k: v for k, v in state.items() if not _IGNORED.search(k)}
    for prefix in _WRAPPERS:
        inner = {k[len(prefix) :]: v for k, v in state.items() if k.startswith(prefix)}
        if any(name in expected for name in inner):
            state = inner
    renamed: State = {}
    for key, tensor in state.items():
        name = _respelled(key, expected)
        if name in expected and tensor.shape != expected[name].shape:
            want = expected[name].shape
            if tensor.shape[: len(want)] == want and set(tensor.shape[len(want) :]) == {1}:
                tensor = tensor.reshape(want)  # 1x1 convolution kept as a linear layer
        renamed[name] = tensor
    return renamed


def _respelled(key: str, expected: Mapping[str, torch.Tensor]) -> str:
    if key in expected:
        return key
    for prefix in _OPTIONAL_PREFIXES:
        for candidate in (key.removeprefix(prefix), prefix + key):
            if candidate in expected:
                return candidate
    parts = key.split(".")
    if len(parts) > 2 and parts[-2] in _OLD_ATTENTION:
        candidate = ".".join([*parts[:-2], _OLD_ATTENTION[parts[-2]], parts[-1]])
        if candidate in expected:
            return candidate
    return key


def build(
    make: Callable[[], M], state: Mapping[str, torch.Tensor], *, what: str, dtype: torch.dtype
) -> M:
    """Make a module without initialising it and give it its weights, strictly.

    Args:
        make: builds the module; called with torch's default device set to ``meta``.
        state: weights by name, any known spelling.
        what: what is being loaded, for messages.
        dtype: of the floating point weights.

    Returns:
        The module on the CPU, in eval mode, without gradients.

    Raises:
        InputError: names or shapes differ; says which.
    """
    with torch.device("meta"):
        module = make()
    expected = module.state_dict()
    weights = matched(state, expected)
    missing = sorted(expected.keys() - weights.keys())
    unknown = sorted(weights.keys() - expected.keys())
    if missing or unknown:
        raise InputError(
            f"the weights of {what} do not fit its configuration: {len(missing)} missing"
            f"{_some(missing)}, {len(unknown)} unknown{_some(unknown)}"
        )
    wrong = [k for k, v in weights.items() if v.shape != expected[k].shape]
    if wrong:
        shapes = f"{tuple(weights[wrong[0]].shape)}, expected {tuple(expected[wrong[0]].shape)}"
        raise InputError(f"the weights of {what} have wrong shapes, first {wrong[0]}: {shapes}")
    cast = {k: v.to(dtype) if v.is_floating_point() else v for k, v in weights.items()}
    module.load_state_dict(cast, strict=True, assign=True)
    _materialise_buffers(module, what)
    return module.eval().requires_grad_(False)


def _some(names: list[str]) -> str:
    return f" (first {names[0]})" if names else ""


def _materialise_buffers(module: nn.Module, what: str) -> None:
    """Fill the non-persistent buffers a meta build leaves empty; CLIP's positions are the only."""
    for name, buffer in list(module.named_buffers()):
        if not buffer.is_meta:
            continue
        owner, _, leaf = name.rpartition(".")
        if leaf != "position_ids":
            raise InputError(f"{what} has a buffer {name} whose value is not in its weights")
        positions = torch.arange(buffer.shape[-1]).expand(buffer.shape)
        module.get_submodule(owner).register_buffer(leaf, positions, persistent=False)
