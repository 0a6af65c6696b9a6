"""The default segmenter: two weight-free hypotheses and a small network, judged together.

They fail on different pictures. The network knows what an object is, but fills openings and loses
thin parts; what differs from the frame of the picture (:mod:`.border`) finds both, but takes
clutter for the object. So the network says which object and about where, cuts between colour
models find its edge, and openings and thin parts are taken where all weight-free results agree.

How far the results agree is the confidence: agreement of methods that fail differently is what
tells right from wrong (benchmarks/segmentation.py; docs/segmentation.md has the table).
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np

from img2mesh.core.arrays import F32, U8, Mask
from img2mesh.imaging.masks import fill_pinholes, pieces
from img2mesh.imaging.metrics import iou
from img2mesh.segmentation import border, onnx
from img2mesh.segmentation.left_out import faint_parts, joining
from img2mesh.segmentation.matte import main_object
from img2mesh.segmentation.result import Segmentation

#: The network's probabilities are believed no further than this.
_LEAST = 0.02
#: Rounds of cuts from what the network says, and from what the frame says.
_NETWORK_ROUNDS, _FRAME_ROUNDS = 2, 3
#: A part that all weight-free results add is at most this large a share of the network's object,
#: and no shadow: at most this much darker (CIE L) than its surroundings, or of another chroma.
_ADDED, _DARKER, _CHROMA = 0.5, 0.0, 12.0
#: The frame of the picture cuts the network's object by more than this share of a side, while
#: both weight-free results, alike to this IoU, show one wholly inside: then those are right.
_CUT_OFF, _ALIKE, _INSIDE = 0.25, 0.9, 0.02
#: Confidence: IoU with the network, its cut and the better weight-free result from where to where,
#: and the share of a side that the frame may cut. On the benchmark's tuning half, results above .8
#: are right (IoU of .85 and more) in 26 of 27 cases.
_NETWORK, _CUT, _FRAME, _BORDER = (0.6, 0.97), (0.5, 0.9), (0.7, 1.0), 0.3


def segment(
    rgb: U8,
    *,
    network: Path,
    device: str,
    progress: Callable[[float], None] | None = None,
) -> Segmentation:
    """Find the main object of a photo.

    Args:
        rgb: (h, w, 3) uint8.
        network: see :func:`.onnx.probability`.
        device: where the network runs.
        progress: called with the fraction done.

    Returns:
        the matte at the photo's size and a confidence; 0 where nothing was found.

    Raises:
        MissingExtraError, InputError: see :func:`.onnx.probability`.
    """
    report = progress or (lambda fraction: None)
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)  # blurs sum in another order with more
    try:
        return _segment(rgb, network, device, report)
    finally:
        cv2.setNumThreads(threads)


def _segment(rgb: U8, network: Path, device: str, report: Callable[[float], None]) -> Segmentation:
    # Each result depends on nothing that the other thread does.
    with ThreadPoolExecutor(2) as pool:
        asked = pool.submit(onnx.probability, rgb, model=network, device=device)
        scene = border.Scene(rgb)
        report(0.2)
        framed = pool.submit(
            lambda: [scene.refined(guess, rounds=_FRAME_ROUNDS)[0] for guess in scene.guesses]
        )
        salient = cv2.resize(asked.result(), scene.lab.shape[1::-1], interpolation=cv2.INTER_AREA)
        report(0.4)
        sure = salient > 0.5
        if sure.sum() < border.SMALLEST:
            surface, nearest = framed.result()
            return _without_network(rgb, scene, surface, nearest)
        believed = np.clip(salient, _LEAST, 1 - _LEAST).astype(np.float64)
        odds = np.log(believed / (1 - believed))
        held, _ = scene.refined(believed, rounds=_NETWORK_ROUNDS, prior=odds)
        report(0.6)
        redrawn, _ = scene.refined(np.clip(believed, 0.03, 0.97), rounds=_NETWORK_ROUNDS)
        surface, nearest = framed.result()
    report(0.8)
    held = held if held.any() else sure
    mask = _joined(scene.lab, held, redrawn, surface, nearest)
    inside = surface & nearest
    whole = inside.any() and _cut_off(inside) < _INSIDE
    if _cut_off(mask) > _CUT_OFF and iou(surface, nearest) >= _ALIKE and whole:
        mask = inside
    faint = faint_parts(scene.levels, mask)
    # The network's word is enough for a part that differs too little for any colour model.
    mask = joining(faint, np.logical_or.reduce([mask, *(p for p in faint if sure[p].mean() > 0.5)]))
    mask, notes, left = main_object(mask)
    if mask.sum() < border.SMALLEST:
        return Segmentation(np.zeros(rgb.shape[:2], np.float32), 0.0)
    if _cut_off(mask) > _INSIDE:
        notes += (
            "the object is cut off by the edge of the picture: what lies beyond it is not known",
        )
    sureness = _confidence(mask, sure, redrawn, max(iou(mask, surface), iou(mask, nearest)))
    return border.judged(rgb, scene, mask, sureness, notes, left)


def _joined(lab: F32, held: Mask, redrawn: Mask, surface: Mask, nearest: Mask) -> Mask:
    """The network's object with the thin parts and without the holes that the others agree on."""
    mask = held.copy()
    square = np.ones((3, 3), np.uint8)
    near = cv2.dilate(held.astype(np.uint8), square, iterations=2) > 0
    seen = held | redrawn | surface | nearest
    count, labels = pieces(redrawn & surface & nearest & ~held)
    for label in range(1, count + 1):
        part = labels == label
        if not (part & near).any() or part.sum() > _ADDED * held.sum():
            continue
        around = (cv2.dilate(part.astype(np.uint8), square, iterations=4) > 0) & ~seen
        if around.sum() < 5:
            continue
        difference = np.median(lab[part], axis=0) - np.median(lab[around], axis=0)
        if difference[0] > _DARKER or np.linalg.norm(difference[1:]) > _CHROMA:
            mask |= part
    holes = fill_pinholes(redrawn, below=np.inf) & ~redrawn
    return mask & ~(holes & ~surface & ~nearest)


def _cut_off(mask: Mask) -> float:
    """The largest share of a side of the picture that the mask touches."""
    return float(max(side.mean() for side in (mask[0], mask[-1], mask[:, 0], mask[:, -1])))


def _confidence(mask: Mask, sure: Mask, redrawn: Mask, framed: float) -> float:
    """From one half, something was found, to one: everything agrees on it."""

    def ramp(value: float, limits: tuple[float, float]) -> float:
        return float(np.clip((value - limits[0]) / (limits[1] - limits[0]), 0, 1))

    agreed = ramp(iou(mask, sure), _NETWORK) * ramp(iou(mask, redrawn), _CUT)
    supported = 0.2 + 0.8 * ramp(framed, _FRAME)
    whole = 1 - ramp(_cut_off(mask), (0.0, _BORDER))
    return 0.5 + 0.5 * agreed * supported * whole


def _without_network(rgb: U8, scene: border.Scene, surface: Mask, nearest: Mask) -> Segmentation:
    """What both weight-free results show where the network sees nothing; never above .75."""
    mask, notes, left = main_object(surface & nearest)
    if mask.sum() < border.SMALLEST:
        return Segmentation(np.zeros(rgb.shape[:2], np.float32), 0.0)
    contrast = np.where(mask, 1.0, -1.0)
    confidence = 0.75 * iou(surface, nearest) * border.evidence(mask, contrast, scene.lab)
    return border.judged(rgb, scene, mask, float(confidence), notes, left)
