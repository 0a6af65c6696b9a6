"""The weight-free segmenter: what differs from the picture's border is the object."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from img2mesh.artifacts import F32, U8
from img2mesh.segmentation import Segmentation
from img2mesh.segmentation.matte import guided_filter
from img2mesh.segmentation.saliency import saliency

_WORK = 256


def segment(rgb: U8, *, progress: Callable[[float], None] | None = None) -> Segmentation:
    """Find the object of a photo."""
    report = progress or (lambda fraction: None)
    scale = min(1.0, _WORK / max(rgb.shape[:2]))
    small = cv2.resize(rgb, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    lab = cv2.cvtColor(small.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    ring = _ring(*lab.shape[:2])
    difference = _difference(lab, ring)
    first = _grab_cut(small, _hysteresis(difference, ring))
    report(0.4)
    salient = saliency(lab)
    level = cv2.threshold((salient * 255).astype(np.uint8), 0, 255, cv2.THRESH_OTSU)[0] / 255
    second = _grab_cut(small, salient > level)
    report(0.8)
    union = (first | second).sum()
    agreement = (first & second).sum() / union if union else 0.0
    best = second if second.any() else first
    full = cv2.resize(best.astype(np.float32), rgb.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    radius = max(2, round(0.006 * max(rgb.shape[:2])))
    matte = guided_filter(rgb.astype(np.float32) / 255, full, radius, 1e-4)
    return Segmentation(matte, float(np.clip((agreement - 0.2) / 0.5, 0, 1)))


def _ring(h: int, w: int) -> np.ndarray[tuple[int, int], np.dtype[np.bool_]]:
    width = max(3, round(0.04 * max(h, w)))
    ring = np.ones((h, w), bool)
    ring[width:-width, width:-width] = False
    return ring


def _difference(lab: F32, ring: np.ndarray) -> F32:
    h, w = lab.shape[:2]
    yy, xx = np.mgrid[-1 : 1 : h * 1j, -1 : 1 : w * 1j]
    basis = np.stack([np.ones_like(xx), xx, yy, xx * yy, xx**2, yy**2], -1)
    a, c, weight = basis[ring], lab[ring], np.ones(int(ring.sum()))
    for _ in range(8):
        root = np.sqrt(weight)[:, None]
        x = np.linalg.lstsq(a * root, c * root, rcond=None)[0]
        r = np.linalg.norm(c - a @ x, axis=1)
        weight = 1 / (1 + (r / (2 * (1.4826 * np.median(r) + 1e-3))) ** 2) ** 2
    d = lab - basis @ x
    light = np.where(d[..., 0] < 0, 0.55, 1.0)
    return np.sqrt((light * d[..., 0]) ** 2 + 1.25**2 * (d[..., 1] ** 2 + d[..., 2] ** 2))


def _hysteresis(difference: F32, ring: np.ndarray) -> np.ndarray:
    sigma = float(np.median(difference[ring]))
    weak = difference > max(4.0, 2.6 * sigma)
    strong = difference > max(10.0, 6 * sigma)
    _, labels = cv2.connectedComponents(weak.astype(np.uint8))
    return np.isin(labels, np.unique(labels[strong & weak])) & weak


def _grab_cut(rgb: U8, guess: np.ndarray) -> np.ndarray:
    if guess.sum() < 50 or (~guess).sum() < 50:
        return np.zeros(guess.shape, bool)
    trimap = np.where(guess, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    trimap[:2] = trimap[-2:] = 0
    trimap[:, :2] = trimap[:, -2:] = 0
    if not (trimap == cv2.GC_PR_FGD).any():
        return np.zeros(guess.shape, bool)
    cv2.setRNGSeed(0)
    cv2.grabCut(rgb, trimap, None, np.zeros((1, 65)), np.zeros((1, 65)), 4, cv2.GC_INIT_WITH_MASK)
    return (trimap == cv2.GC_FGD) | (trimap == cv2.GC_PR_FGD)
