"""Stock modules of diffusers and transformers from a component folder, as data: no remote code."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from img2mesh.diffusion import weights
from img2mesh.errors import InputError, missing_extra


def diffusers_class(name: str, *, purpose: str) -> Any:
    """A class of diffusers by name.

    Raises:
        MissingExtraError: diffusers is not installed.
    """
    try:
        import diffusers
    except ImportError:
        raise missing_extra("diffusers", extra="diffusion", purpose=purpose) from None
    return getattr(diffusers, name)


def diffusers_module(
    name: str,
    folder: Path,
    dtype: torch.dtype,
    *,
    purpose: str,
    weights_file: Path | None = None,
) -> Any:
    """Read a diffusers model folder, strictly, as the class that is expected there.

    Args:
        name: the class.
        folder: ``config.json`` and weights.
        dtype: of the weights.
        purpose: what needs it, for the message.
        weights_file: where the weights are, if not beside ``config.json``.

    Raises:
        InputError: another class, or weights that do not fit.
        MissingExtraError: diffusers is not installed.
    """
    config = weights.read_json(folder / "config.json")
    if config.get("_class_name", name) != name:
        raise InputError(f"{folder} holds a {config['_class_name']}, expected a {name}")
    kind = diffusers_class(name, purpose=purpose)
    make: Callable[[], Any] = lambda: kind.from_config(config)  # noqa: E731
    file = weights_file or weights.find_weights(folder, weights.DIFFUSERS_NAMES)
    return weights.build(make, weights.read_state(file), what=str(file), dtype=dtype)


def transformers_class(name: str, *, purpose: str) -> Any:
    """A class of transformers by name.

    Raises:
        MissingExtraError: transformers is not installed.
    """
    try:
        import transformers
    except ImportError:
        raise missing_extra("transformers", extra="diffusion", purpose=purpose) from None
    return getattr(transformers, name)


def transformers_module(name: str, folder: Path, dtype: torch.dtype, *, purpose: str) -> Any:
    """The same for transformers; files of old versions have other prefixes, which are understood.

    Raises:
        InputError: weights that do not fit.
        MissingExtraError: transformers is not installed.
    """
    kind = transformers_class(name, purpose=purpose)
    settings = kind.config_class.from_dict(weights.read_json(folder / "config.json"))
    file = weights.find_weights(folder, weights.TRANSFORMERS_NAMES)
    make: Callable[[], Any] = lambda: kind(settings)  # noqa: E731
    return weights.build(make, weights.read_state(file), what=str(file), dtype=dtype)
