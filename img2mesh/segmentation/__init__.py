"""photo -> cutout: find the object, free it from its background, frame it.

A mask given by the user wins, then transparency in the file, then the chosen segmenter: one file
each, imported only when chosen. What makes a segmenter: ``segment(rgb, ...) -> Segmentation``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from img2mesh.artifacts import Cutout, Photo
from img2mesh.core.arrays import F32, U8
from img2mesh.errors import InputError
from img2mesh.graph.stage import unknown
from img2mesh.segmentation.result import Segmentation

Segmenter = Literal["border", "sam", "onnx"]

#: Below the first the object counts as not found, below the second the user is warned. Chosen on
#: composites of known masks (specification of the offline prior, "Segmentation"); see border.py.
REFUSE_BELOW = 0.5
WARN_BELOW = 0.7
#: Transparency of fewer pixels than this (rounded corners, a stray pixel) frees no object.
_USEFUL_ALPHA = 0.005
#: An object is at least this share of the photo and this many pixels.
_MIN_SHARE, _MIN_PIXELS = 0.0005, 64

Progress = Callable[[float], None]


def cut_out(
    photo: Photo,
    *,
    segmenter: str,
    model: str | None,
    remove_background: bool,
    foreground_ratio: float,
    max_size: int,
    device: str = "cpu",
    progress: Progress | None = None,
) -> Cutout:
    """Free the object and put it in the middle of a square.

    Args:
        photo: upright sRGB; its ``mask`` wins over its ``alpha`` over the segmenter.
        segmenter: ``border`` (no weights), ``sam`` or ``onnx``.
        model: for ``sam`` a folder, for ``onnx`` a file.
        remove_background: False takes the picture as it is: its alpha if any, else all of it.
        foreground_ratio: longest side of the object's box over the side of the square, in (0, 1].
        max_size: limit for the side of the square in pixels; it is never above what the photo
            resolves, except that it is at least 256.
        device: where a network runs.
        progress: called with the fraction done.

    Raises:
        InputError: unknown segmenter, no object found, or settings out of range.
    """
    from img2mesh.segmentation import framing, matte

    if not 0.1 <= foreground_ratio <= 1:
        raise InputError(f"foreground ratio must lie in [0.1, 1], got {foreground_ratio:g}")
    if max_size < framing.MIN_SIZE:
        raise InputError(f"cutouts have at least {framing.MIN_SIZE} pixels, got {max_size}")
    report = progress or (lambda fraction: None)
    method, found = _segment(photo, segmenter, model, remove_background, device, report)
    report(0.9)
    clean = found.matte
    notes: tuple[str, ...] = ()
    if method != "none":
        clean, notes = matte.clean(found.matte)
    inside = int((clean > 0.5).sum())
    if inside < max(_MIN_PIXELS, _MIN_SHARE * clean.size):
        raise InputError(
            f"the {method} leaves only {inside} of {clean.size} pixels of {photo.name!r}: expected "
            "an object; give a larger picture of it or another mask with --mask"
        )
    rgb, alpha, photo_from_cutout = framing.frame(
        photo.rgb, clean, foreground_ratio=foreground_ratio, max_size=max_size
    )
    report(1.0)
    return Cutout(
        rgb=rgb,
        alpha=alpha,
        photo_from_cutout=photo_from_cutout,
        confidence=found.confidence,
        method=method,
        notes=(*photo.notes, *found.notes, *notes),
    )


def _segment(
    photo: Photo,
    segmenter: str,
    model: str | None,
    remove_background: bool,
    device: str,
    report: Progress,
) -> tuple[str, Segmentation]:
    """(method, what was found) by the first source of a mask there is."""
    if segmenter not in get_args(Segmenter):
        raise InputError(unknown("segmenter", segmenter, get_args(Segmenter)))
    if photo.mask is not None:
        return "mask", Segmentation(_unit(photo.mask))
    notes: tuple[str, ...] = ()
    if photo.alpha is not None:
        if (photo.alpha < 128).mean() >= _USEFUL_ALPHA:
            return "alpha", Segmentation(_unit(photo.alpha))
        notes = ("the picture's transparency leaves nearly all of it and was ignored",)
    if not remove_background:
        return "none", Segmentation(np.ones(photo.rgb.shape[:2], np.float32), 1.0, notes)
    found = _run(photo.rgb, segmenter, model, device, report)
    if found.confidence < REFUSE_BELOW:
        raise InputError(
            f"no object was found in {photo.name!r} (confidence {found.confidence:.2f}, at least "
            f"{REFUSE_BELOW} expected): pass a mask of it with --mask, or a picture with a "
            "transparent or plainer background"
        )
    if found.confidence < WARN_BELOW:
        notes += (
            f"the object was found with low confidence ({found.confidence:.2f}): look at "
            "cutout.png, and pass --mask if it is wrong",
        )
    return segmenter, Segmentation(found.matte, found.confidence, (*found.notes, *notes))


def _run(rgb: U8, segmenter: str, model: str | None, device: str, report: Progress) -> Segmentation:
    match segmenter:
        case "border":
            from img2mesh.segmentation import border

            return border.segment(rgb, progress=report)
        case "sam":
            from img2mesh.segmentation import sam

            return sam.segment(rgb, model=_needed(model, "sam", "folder"), device=device)
        case _:
            from img2mesh.segmentation import onnx

            return onnx.segment(rgb, model=_needed(model, "onnx", "file"), device=device)


def _needed(model: str | None, segmenter: str, kind: str) -> Path:
    if model is None:
        raise InputError(
            f"the {segmenter} segmenter needs a model {kind} on this machine: name it with "
            "--set cutout.model=PATH"
        )
    path = Path(model)
    if not (path.is_dir() if kind == "folder" else path.is_file()):
        raise InputError(
            f"the {segmenter} segmenter's model must be an existing {kind}, got {model!r}"
        )
    return path


def _unit(plane: U8) -> F32:
    return plane.astype(np.float32) / np.float32(255)


def identity(*, segmenter: str, model: str | None, **_: Any) -> dict[str, str]:
    """What a cached cutout depends on beside its settings: the content of the model, if any.

    Returns:
        SHA-256 of the model file, or of the names and contents in a model folder; {} without one.
    """
    if segmenter == "border" or model is None:
        return {}
    path = Path(model)
    if path.is_file():
        with path.open("rb") as file:
            return {"model": hashlib.file_digest(file, "sha256").hexdigest()}
    digest = hashlib.sha256()
    for file_path in sorted(p for p in path.rglob("*") if p.is_file()):
        with file_path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        digest.update(f"{file_path.relative_to(path).as_posix()}\0{content}\n".encode())
    return {"model": digest.hexdigest()}
