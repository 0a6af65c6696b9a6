"""The weight-free segmenter: what differs from the frame of the picture is the object.

Three first guesses (smooth surfaces through the frame's colours, the nearest colours of the frame,
superpixel saliency) are each refined by colour models that know where they hold, exact cuts, the
background carried on behind the object, and the sharpness of the outline. Where the results agree
there is an object; the one the others agree with most is taken.

Measured (IoU of the full-size matte): the eight development photos median .988, lowest .73; 48
composites of known masks that nothing was chosen on, with cast shadows and noise, median .946:
walls with floors .97, plain and white .96, wood .93, gradients .91, textures and blurred blobs .88,
blurred photographs .58. Of these 48 none was refused though 11 are below .8: agreement tells a
missing object, not a missing part: of that :mod:`.left_out` tells what the picture shows. Lost are
parts of the colour of what is behind them (tyres on asphalt, white legs below a white wall).
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations

import cv2
import numpy as np

from img2mesh.core.arrays import F32, F64, U8, Mask
from img2mesh.imaging.masks import fill_pinholes
from img2mesh.imaging.metrics import iou
from img2mesh.segmentation import background
from img2mesh.segmentation.colours import ColourPlaces, cut
from img2mesh.segmentation.left_out import faint_parts, joining, judge
from img2mesh.segmentation.matte import main_object, refine_edges
from img2mesh.segmentation.result import Segmentation
from img2mesh.segmentation.saliency import saliency

_WORK = 256  # longest side for finding, in pixels
ROUNDS = 4
#: Evidence against smoothness in the cut; 3 leaves fewer bad results than 6 or 12.
_GAIN = 3.0
#: What a pixel's misfit to the background adds, in nats a sigma beyond the usual, clipped.
_MISFIT, _USUAL_MISFIT, _MISFIT_RANGE = 0.5, 2.5, (-2.0, 4.0)
#: Beyond the usual misfit by this much, an enclosed hole is part of the object. Measured: openings
#: onto brick and gravel reach 0.8.
_HOLE_MISFIT = 1.0
#: An outline this much softer than the picture's sharp ones is a blob out of focus or a shadow:
#: full counter-evidence at the lower share, none at the upper, in nats.
_SOFT_OUTLINE, _SOFT_NATS = (0.52, 0.72), 4.0
#: A difference below these (Lab units) is noise whatever the picture: surfaces, nearest colours.
_FLOORS = (8.0, 6.0)
#: A difference of this many times what nine tenths of the frame stay below stands out; a frame
#: below the second (Lab units) is smooth.
_NOISE, _SMOOTH = 1.6, 8.0
#: From this roughness of the frame on (Lab units) confidence falls, to nothing over the second.
_CLUTTER = (14.0, 60.0)
#: How much less a pixel that stands out of a smooth frame teaches about the background.
_DISTRUST = 0.7
#: A result with less than this IoU to every other one stands alone.
_LONELY = 0.6
#: A dropped part of the second share of the object takes the first share of confidence above that
#: of what is just found.
_DROPPED, _DROPPED_ALL, _FOUND = 0.6, 0.5, 0.5
#: Fewer pixels than this at the working size are no object.
SMALLEST = 40


def segment(rgb: U8, *, progress: Callable[[float], None] | None = None) -> Segmentation:
    """Find the object of a photo.

    Args:
        rgb: (h, w, 3) uint8.
        progress: called with the fraction done.

    Returns:
        the matte at the photo's size and a confidence; 0 where nothing was found.
    """
    report = progress or (lambda fraction: None)
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)  # blurs sum in another order with more
    try:
        return _segment(rgb, report)
    finally:
        cv2.setNumThreads(threads)


def _segment(rgb: U8, report: Callable[[float], None]) -> Segmentation:
    scene = Scene(rgb)
    guesses = [*scene.guesses, _with_saliency(scene)]
    report(0.3)
    found: list[tuple[Mask, F64]] = []
    for number, guess in enumerate(guesses):
        found.append(scene.refined(guess))
        report(0.3 + 0.19 * (number + 1))
    mask, ratio, agreement = _choose(found, scene.rough)
    mask, notes, left = main_object(joining(faint_parts(scene.levels, mask), mask))
    if mask.sum() < SMALLEST:
        return Segmentation(np.zeros(rgb.shape[:2], np.float32), 0.0)
    confidence = evidence(mask, ratio, scene.lab) * np.clip((agreement - 0.4) / 0.5, 0, 1)
    # Clutter along the frame makes confident parts of objects: cups without their saucers.
    confidence *= np.clip(1 - (scene.rough - _CLUTTER[0]) / _CLUTTER[1], 0.6, 1)
    return judged(rgb, scene, mask, float(confidence), notes, left)


def judged(
    rgb: U8, scene: Scene, mask: Mask, confidence: float, notes: tuple[str, ...], left: float
) -> Segmentation:
    """The result, with what it left out taken from its confidence.

    Args:
        rgb: (h, w, 3) the photo.
        scene: its small form.
        mask: the object as found, at that size.
        confidence: how far the methods agree.
        notes: sentences so far.
        left: size of the largest part beside the object that was dropped, as a share of it.
    """
    found = judge(scene.levels, scene.lab, mask)
    sureness = found.sureness * (1 - _DROPPED * min(1.0, left / _DROPPED_ALL))
    # What speaks against a part of it does not make the object disappear.
    if confidence > _FOUND:
        confidence = _FOUND + (confidence - _FOUND) * sureness
    return Segmentation(refine_edges(rgb, mask), round(confidence, 3), (*notes, *found.notes))


class Scene:
    """A photo at the working size, and what its frame says about the background.

    Attributes:
        levels: (h, w, 3) float64 in 8-bit levels, longest side at most 256.
        lab: (h, w, 3) float32 CIE Lab of it.
        surface, nearest: (h, w) float32 differences from the frame, in Lab units: from smooth
            surfaces through its colours, and from the nearest of its colours.
        rough: how rough the frame is, in Lab units.
        guesses: two (h, w) probabilities of foreground, by either difference.
    """

    def __init__(self, rgb: U8) -> None:
        scale = min(1.0, _WORK / max(rgb.shape[:2]))
        size = (max(8, round(rgb.shape[1] * scale)), max(8, round(rgb.shape[0] * scale)))
        small = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)
        self.levels = small.astype(np.float64)
        self.lab = _f32(cv2.cvtColor(small.astype(np.float32) / 255, cv2.COLOR_RGB2LAB))
        self._smooth = _f32(cv2.GaussianBlur(self.lab, (0, 0), 0.7))
        self._sharp = _sharpness(self.lab)
        self._places = ColourPlaces(self._smooth)
        frame = background.along_frame(self.lab.shape[:2])
        self.surface = background.surface_difference(self.lab, frame)
        self.nearest = background.frame_difference(self.lab, frame)
        self.rough = float(np.quantile(self.surface[frame], 0.9))
        by_noise = _probability(self.surface, max(_FLOORS[0], _NOISE * self.rough))
        by_nearest = _probability(self.nearest, max(_FLOORS[1], 0.8 * _threshold(self.nearest)))
        self.guesses = (by_noise, by_nearest)
        # Before a smooth backdrop, what stands out of it is no evidence of background, whatever
        # the first cuts say: a white chest before a grey wall stays with the animal.
        self._odd = by_noise if self.rough < _SMOOTH else np.zeros_like(by_noise)

    def refined(
        self, guess: F64, *, rounds: int = ROUNDS, prior: F64 | None = None
    ) -> tuple[Mask, F64]:
        """Rounds of colour models and cuts from a first guess.

        Args:
            guess: (h, w) probability of foreground.
            rounds: how many.
            prior: log-odds of foreground in nats that every round hears; then the guess, not what
                stands out of the frame, says what is background.

        Returns:
            the mask and the last log-likelihood ratio, (h, w) each.
        """
        odd = self._odd if prior is None else np.zeros_like(self._odd)
        probability, more = guess, np.zeros(guess.shape)
        mask, ratio = np.zeros(guess.shape, bool), np.zeros(guess.shape)
        for _ in range(rounds):
            if min(probability.sum(), (1 - probability).sum()) < SMALLEST:
                return np.zeros_like(mask), ratio
            ratio = self._places.ratio(probability, 1 - _DISTRUST * odd) + more
            ratio = ratio if prior is None else ratio + prior
            mask = cut(ratio, self.lab, _GAIN)
            if mask.sum() < SMALLEST or (~mask).sum() < SMALLEST:
                return np.zeros_like(mask), ratio
            around = ~fill_pinholes(mask, below=np.inf)  # the holes may be the object's
            hidden = background.behind(self.lab, around & (odd < 0.5))
            misfit = background.mismatch(self._smooth, hidden, around) - _USUAL_MISFIT
            mask |= _filled(~mask & ~around, misfit)
            more = _MISFIT * np.clip(misfit, *_MISFIT_RANGE)
            certainty = 1 / (1 + np.exp(-np.clip(ratio, -20, 20)))
            if prior is None:
                more = more + _softness(self._places, self._sharp, mask)
                probability = 0.8 * mask + 0.2 * certainty
            else:
                probability = 0.6 * mask + 0.2 * guess + 0.2 * certainty
        return mask, ratio


def _f32(array: object) -> F32:
    """What OpenCV returns, with its type said."""
    return np.asarray(array, dtype=np.float32)


def _choose(found: list[tuple[Mask, F64]], rough: float) -> tuple[Mask, F64, float]:
    """One result and how far the others agree with it, in [0, 1].

    On a smooth frame the first is the best; on any other the second, which knows textures. Either
    gives way when no other result is like it but the rest are like each other.
    """
    alike = np.eye(len(found))
    for i, j in combinations(range(len(found)), 2):
        if found[i][0].any() and found[j][0].any():  # nothing agrees with nothing found
            alike[i, j] = alike[j, i] = iou(found[i][0], found[j][0])
    others = alike - np.eye(len(found))
    best = 0 if rough < _SMOOTH else 1
    if others[best].max() < _LONELY <= others.max() or not found[best][0].any():
        best = int(np.argmax(others.sum(1).round(3)))
    agreement = (others[best].max() + others[best].sum() / (len(found) - 1)) / 2
    return *found[best], float(agreement)


def _with_saliency(scene: Scene) -> F64:
    """Probability of foreground, (h, w), by both differences and saliency together."""
    surface, salient = scene.surface, saliency(scene.lab)
    by_surface = _probability(surface, max(_FLOORS[0], 0.7 * _threshold(surface)))
    by_salience = _probability(salient, _threshold(salient))
    together = np.cbrt(by_surface * scene.guesses[1] * by_salience)
    if max(float(guess.max()) for guess in scene.guesses) < 0.5:
        # Nothing stands out from the frame beyond noise; saliency alone always finds something.
        together = np.zeros_like(together)
    return together


def _threshold(values: F32) -> float:
    """Otsu's threshold, robust to a few extreme pixels."""
    top = float(np.quantile(values, 0.995)) + 1e-9
    scaled = np.clip(values / top * 255, 0, 255).astype(np.uint8)
    return float(cv2.threshold(scaled, 0, 255, cv2.THRESH_OTSU)[0]) / 255 * top


def _probability(values: F32, middle: float) -> F64:
    odds = (np.maximum(values, 1e-6) / max(middle, 1e-6)) ** 2.0
    result = np.clip(odds / (1 + odds), 0.03, 0.97)
    result[:3] = result[-3:] = 0
    result[:, :3] = result[:, -3:] = 0
    return result


def _filled(holes: Mask, misfit: F32) -> Mask:
    """Those enclosed holes through which one does not see the background."""
    result = np.zeros_like(holes)
    count, labels = cv2.connectedComponents(holes.astype(np.uint8), connectivity=4)
    for label in range(1, count):
        hole = labels == label
        if float(np.median(misfit[hole])) > _HOLE_MISFIT:
            result |= hole
    return result


def _sharpness(lab: F32) -> tuple[F32, F32]:
    """Gradient at scale 3, and how much stronger it is at scale 1: about 2.4 for a step, 1.1 for
    an edge blurred by 5 pixels (the re-blur ratio of Zhuo & Sim, "Defocus map estimation", 2011).
    """
    strengths = []
    for sigma in (1.0, 3.0):
        blurred = cv2.GaussianBlur(lab, (0, 0), sigma)
        dx, dy = cv2.Sobel(blurred, cv2.CV_32F, 1, 0), cv2.Sobel(blurred, cv2.CV_32F, 0, 1)
        strengths.append(np.sqrt((dx**2 + dy**2).sum(-1)))
    return strengths[1], strengths[0] / (strengths[1] + 1e-3)


def _softness(places: ColourPlaces, sharp: tuple[F32, F32], mask: Mask) -> F64:
    """(h, w) counter-evidence in nats for what is bounded by soft outlines."""
    strength, ratio = sharp
    outline = cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8))
    outline[:2] = outline[-2:] = 0
    outline[:, :2] = outline[:, -2:] = 0
    clear = (outline > 0) & (strength > 4)
    top = float(np.quantile(ratio[clear], 0.8)) if clear.sum() > 20 else 2.0
    relative = np.clip(ratio / min(max(top, 1e-3), 2.2), 0, 1)
    weight = _f32(outline * np.minimum(strength, 15))  # a weak edge says little
    mean, share = places.spread(relative, weight)
    told = share > 2e-6 * float(weight.sum())
    low, high = _SOFT_OUTLINE
    return np.where(told, -_SOFT_NATS * np.clip((high - mean) / (high - low), 0, 1), 0.0)


def evidence(mask: Mask, ratio: F64, lab: F32) -> float:
    """How much a mask looks like an object in front of a background, in [0, 1]."""
    area = mask.mean()
    frame = background.along_frame(mask.shape, 0.01)
    contact = mask[frame].mean()
    wide = np.ones((5, 5), np.uint8)
    inner = mask & (cv2.erode(mask.astype(np.uint8), wide, borderValue=1) == 0)
    outer = ~mask & (cv2.dilate(mask.astype(np.uint8), wide) > 0)
    if not inner.any() or not outer.any():
        return 0.0
    # Across the outline: colour against the nearest colours outside, blurred to the same scale.
    outside = background.behind(lab, ~mask)
    contrast = float(np.median(np.linalg.norm((lab - outside)[inner], axis=-1)))
    margin = float((ratio[mask] > 0.5).mean() * (ratio[~mask] < -0.5).mean())
    score = np.clip(area / 0.01, 0, 1) * np.clip((0.95 - area) / 0.2, 0, 1)
    score *= 1 - np.clip((contact - 0.25) / 0.5, 0, 1)
    score *= np.clip((contrast - 2) / 10, 0, 1) * np.clip(margin / 0.6, 0, 1)
    return float(score)
