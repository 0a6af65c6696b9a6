"""photo -> cutout: find the object, free it from its background, frame it.

A mask given by the user wins, then transparency in the file, then the chosen segmenter: one file
each, imported only when chosen. What makes a segmenter: ``segment(rgb, ...) -> Segmentation``.
``auto``, the default, asks the small network u2netp where it is on this machine.
"""

from __future__ import annotations

import hashlib
import importlib.util
import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from img2mesh.artifacts import Cutout, Photo
from img2mesh.core.arrays import F32, U8, Mask
from img2mesh.diffusion import wheels
from img2mesh.errors import InputError
from img2mesh.graph.stage import unknown
from img2mesh.segmentation.result import Segmentation

Segmenter = Literal["auto", "border", "u2netp", "u2net", "sam", "onnx"]
#: x, y, width, height in pixels.
Box = tuple[int, int, int, int]
#: What ``auto`` asks beside the weight-free hypotheses.
NETWORK = "u2netp"

#: Below the first the object counts as not found, below the second the user is warned. Chosen on
#: composites of known masks (specification of the offline prior, "Segmentation"); see border.py.
REFUSE_BELOW = 0.5
WARN_BELOW = 0.7
#: Confidence of a drawing or lettering at most, and of what lies on a plain plate.
_DRAWN, _ON_PLATE = 0.6, 0.75
#: Transparency of fewer pixels than this (rounded corners, a stray pixel) frees no object.
_USEFUL_ALPHA = 0.005
#: An object is at least this share of the photo and this many pixels.
_MIN_SHARE, _MIN_PIXELS = 0.0005, 64

#: Around the user's box so much of its size is looked at, as background, and may still be object.
_BOX_ROOM, _BOX_SLACK = 0.15, 0.02
#: Pixels of a box's side at least.
_SHORTEST_BOX = 8

Progress = Callable[[float], None]


def cut_out(
    photo: Photo,
    *,
    segmenter: str,
    model: str | None,
    box: Box | None,
    remove_background: bool,
    foreground_ratio: float,
    max_size: int,
    device: str = "cpu",
    progress: Progress | None = None,
) -> Cutout:
    """Free the object and put it in the middle of a square.

    Args:
        photo: upright sRGB; its ``mask`` wins over its ``alpha`` over the segmenter.
        segmenter: ``auto`` (weight-free, together with the network u2netp where that is here),
            ``border`` (weight-free alone), ``u2netp`` and ``u2net`` (networks alone), ``sam``,
            ``onnx``.
        model: for ``sam`` a folder, for ``onnx`` a file.
        box: x, y, width and height of a box around the object, in pixels of the photo's file; only
            what lies in it is looked at.
        remove_background: False takes the picture as it is: its alpha if any, else all of it.
        foreground_ratio: longest side of the object's box over the side of the square, in (0, 1].
        max_size: limit for the side of the square in pixels; it is never above what the photo
            resolves, except that it is at least 256.
        device: where a network runs.
        progress: called with the fraction done.

    Raises:
        InputError: unknown segmenter, no object found, or settings out of range.
    """
    from img2mesh.segmentation import drawings, framing, matte

    if not 0.1 <= foreground_ratio <= 1:
        raise InputError(f"foreground ratio must lie in [0.1, 1], got {foreground_ratio:g}")
    if max_size < framing.MIN_SIZE:
        raise InputError(f"cutouts have at least {framing.MIN_SIZE} pixels, got {max_size}")
    report = progress or (lambda fraction: None)
    ask = partial(find, photo, segmenter=segmenter, model=model, device=device, report=report)
    method, found = _first_source(photo, segmenter, box, remove_background, ask)
    report(0.9)
    if method != "none":
        figure, drawn = drawings.recognised(photo.rgb, found.matte > 0.5)
        if figure is not None and method not in ("alpha", "mask"):
            found = replace(found, matte=np.maximum(found.matte, figure.astype(np.float32)))
        if drawn is not None:
            sureness = found.confidence if method == "mask" else min(found.confidence, _DRAWN)
            found = replace(found, confidence=sureness, notes=(*found.notes, drawn))
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


def _first_source(
    photo: Photo,
    segmenter: str,
    box: Box | None,
    remove_background: bool,
    ask: Callable[[Box | None], tuple[str, Segmentation]],
) -> tuple[str, Segmentation]:
    """(method, what was found) by the first source of a mask there is."""
    if segmenter not in get_args(Segmenter):
        raise InputError(unknown("segmenter", segmenter, get_args(Segmenter)))
    idle = () if box is None else ("the box had no effect: the picture's own mask was taken",)
    if photo.mask is not None:
        return "mask", Segmentation(_unit(photo.mask), 1.0, idle)
    notes: tuple[str, ...] = ()
    if photo.alpha is not None:
        if (photo.alpha < 128).mean() >= _USEFUL_ALPHA:
            from img2mesh.segmentation import plates
            from img2mesh.segmentation.matte import refine_edges
            from img2mesh.segmentation.shadows import without_shadow

            plate = plates.plate(photo.rgb, photo.alpha)
            if plate is not None and plate.content is not None:
                matte = refine_edges(photo.rgb, plate.content)
                return "plate", Segmentation(matte, _ON_PLATE, (*idle, plate.note))
            alpha, notes = without_shadow(photo.rgb, photo.alpha)
            if plate is not None:
                return "alpha", Segmentation(_unit(alpha), _ON_PLATE, (*idle, plate.note, *notes))
            return "alpha", Segmentation(_unit(alpha), 1.0, (*idle, *notes))
        notes = ("the picture's transparency leaves nearly all of it and was ignored",)
    if not remove_background:
        return "none", Segmentation(np.ones(photo.rgb.shape[:2], np.float32), 1.0, notes)
    method, found = ask(box)
    if found.confidence < REFUSE_BELOW:
        raise InputError(
            f"no object was found in {photo.name!r} (confidence {found.confidence:.2f}, at least "
            f"{REFUSE_BELOW} expected): say where it is with --box X,Y,W,H, pass a mask of it with "
            "--mask, or a picture with a transparent or plainer background"
        )
    if found.confidence < WARN_BELOW:
        notes += (
            f"the object was found with low confidence ({found.confidence:.2f}): look at "
            "cutout.png, and pass --box or --mask if it is wrong",
        )
    return method, Segmentation(found.matte, found.confidence, (*found.notes, *notes))


def find(
    photo: Photo,
    box: Box | None,
    *,
    segmenter: str,
    model: str | None,
    device: str,
    report: Progress,
) -> tuple[str, Segmentation]:
    """(method, what the segmenter finds), in a part of the photo if the user says where.

    The photo's own mask and alpha are not looked at; arguments as for :func:`cut_out`.
    """
    if box is None:
        return _run(photo.rgb, segmenter, model, device, report)
    rows, columns, allowed = _around(box, photo)
    method, found = _run(photo.rgb[rows, columns], segmenter, model, device, report)
    matte = np.zeros(photo.rgb.shape[:2], np.float32)
    matte[rows, columns] = found.matte
    return method, Segmentation(np.where(allowed, matte, 0), found.confidence, found.notes)


def _around(box: Box, photo: Photo) -> tuple[slice, slice, Mask]:
    """Rows and columns to look at, with some background around, and (h, w) where object may be."""
    height, width = photo.rgb.shape[:2]
    x, y, w, h = (round(value / photo.reduction) for value in box)
    if min(x, y) < 0 or min(w, h) < _SHORTEST_BOX or x + w > width + 1 or y + h > height + 1:
        shown = ",".join(map(str, box))
        whole = f"{round(width * photo.reduction)}x{round(height * photo.reduction)}"
        raise InputError(
            f"the box {shown} does not lie in {photo.name!r} ({whole} pixels): expected x, y, "
            "width, height of a box around the object, such as 40,30,200,150"
        )

    def grown(share: float) -> tuple[slice, slice]:
        room_x, room_y = math.ceil(share * w), math.ceil(share * h)
        return (
            slice(max(y - room_y, 0), min(y + h + room_y, height)),
            slice(max(x - room_x, 0), min(x + w + room_x, width)),
        )

    allowed = np.zeros((height, width), bool)
    allowed[grown(_BOX_SLACK)] = True
    return *grown(_BOX_ROOM), allowed


def _run(
    rgb: U8, segmenter: str, model: str | None, device: str, report: Progress
) -> tuple[str, Segmentation]:
    if segmenter in ("auto", "border"):
        from img2mesh.segmentation import checkerboard

        if (painted := checkerboard.segment(rgb)) is not None:
            return "checkerboard", painted
    match segmenter:
        case "auto" if _missing() is None:
            from img2mesh.segmentation import fused

            network = wheels.verified(NETWORK)
            found = fused.segment(rgb, network=network, device=device, progress=report)
            return f"border+{NETWORK}", found
        case "auto" | "border":
            from img2mesh.segmentation import border

            found = border.segment(rgb, progress=report)
            why = _missing() if segmenter == "auto" else None
            notes = () if why is None else (f"{why}: the object was found without a network",)
            return "border", replace(found, notes=(*found.notes, *notes))
        case "sam":
            from img2mesh.segmentation import sam

            return segmenter, sam.segment(rgb, model=_needed(model, "sam", "folder"), device=device)
        case _:
            from img2mesh.segmentation import onnx

            own = segmenter == "onnx"
            path = _needed(model, "onnx", "file") if own else wheels.verified(segmenter)
            return segmenter, onnx.segment(rgb, model=path, device=device)


def _missing() -> str | None:
    """What ``auto`` lacks to ask the network, or None."""
    if not wheels.is_here(NETWORK):
        return f"{NETWORK} is not on this machine (img2mesh models fetch {NETWORK})"
    if importlib.util.find_spec("onnxruntime") is None:
        return "onnxruntime is not installed"
    return None


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
    """What a cached cutout depends on beside its settings: the content of the network, if any.

    Returns:
        SHA-256 of the network's file, or of the names and contents in a model folder; {} without.
    """
    if segmenter == "border" or (segmenter == "auto" and _missing() is not None):
        return {}
    if segmenter in ("auto", *wheels.WHEELS):
        return {"model": wheels.WHEELS[NETWORK if segmenter == "auto" else segmenter].sha256}
    if model is None:
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
