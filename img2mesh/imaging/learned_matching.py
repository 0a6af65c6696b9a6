"""LightGlue on SuperPoint (Lindenberger et al. 2023) as a matcher, through transformers' classes.

The checkpoint is a folder on this machine in the layout that transformers writes; nothing is
downloaded. EfficientLoFTR is left out: transformers 5.23 lists the partners of the first picture's
cells beside those of the second picture's, so that its two lists belong together only by chance.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

from img2mesh.core.arrays import F64, U8
from img2mesh.errors import InputError, missing_extra
from img2mesh.imaging.matching import Matcher, on_object

#: Side of the pictures the network sees; the published programs match at 480 too.
_SIDE = 480


def require(folder: Path) -> None:
    """Refuse, without loading anything, what is no such checkpoint.

    Raises:
        InputError: says what was found and what is expected.
    """
    try:
        (folder / "model.safetensors").stat()
        kind = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("model_type")
    except (OSError, ValueError, AttributeError) as cause:
        raise InputError(
            f"the matcher {str(folder)!r} is neither sift nor a folder with config.json and "
            "model.safetensors of LightGlue"
        ) from cause
    if kind != "lightglue":
        raise InputError(
            f"the matcher {str(folder)!r} holds a model of type {kind!r}: expected lightglue, in "
            "the layout of transformers' LightGlueForKeypointMatching"
        )


def identity(folder: Path) -> str:
    """sha256 (hex) of the checkpoint's two files: part of the cache key of what it matched."""
    require(folder)
    digest = hashlib.sha256()
    for name in ("config.json", "model.safetensors"):
        with (folder / name).open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def lightglue(folder: Path, *, device: str = "cpu") -> Matcher:
    """The matcher of a checkpoint.

    Args:
        folder: with ``config.json`` and ``model.safetensors``.
        device: where the network runs.

    Raises:
        MissingExtraError: no transformers.
        InputError: no such checkpoint.
    """
    require(folder)
    try:
        import torch
        from safetensors import SafetensorError
        from transformers import LightGlueForKeypointMatching
    except ImportError:
        raise missing_extra(
            "transformers", extra="diffusion", purpose="matching with LightGlue"
        ) from None
    try:
        network: Any = LightGlueForKeypointMatching.from_pretrained(
            folder, local_files_only=True, use_safetensors=True
        )
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as cause:
        raise InputError(
            f"{str(folder)!r} cannot be loaded as LightGlue: {str(cause).splitlines()[0][:120]}"
        ) from cause
    network = network.to(device).eval()

    def match(first: U8, second: U8) -> F64:
        pair = torch.stack([torch.from_numpy(_grey(p)) for p in (first, second)])
        with torch.inference_mode():
            seen = network(pair[None, :, None].expand(1, 2, 3, _SIDE, _SIDE).to(device))
        there = seen.matches.reshape(2, -1)[0].cpu().numpy()
        score = seen.matching_scores.reshape(2, -1)[0].float().cpu().numpy()
        places = seen.keypoints.reshape(2, -1, 2).double().cpu().numpy()  # parts of the side
        here = np.flatnonzero(there >= 0)
        ours = places[0, here] * [first.shape[1], first.shape[0]]
        theirs = places[1, there[here]] * [second.shape[1], second.shape[0]]
        kept = on_object(first, ours) & on_object(second, theirs)
        out: F64 = np.column_stack([ours, theirs, score[here]])[kept].astype(np.float64)
        return out

    return match


def _grey(picture: U8) -> np.ndarray[Any, Any]:
    """(_SIDE, _SIDE) float32 in [0, 1]."""
    import cv2

    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    large = cv2.resize(grey, (_SIDE, _SIDE), interpolation=cv2.INTER_LINEAR)
    return large.astype(np.float32) / np.float32(255)
