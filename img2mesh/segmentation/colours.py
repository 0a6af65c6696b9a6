"""Colour models that know where they hold, and the exact cut between two of them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from img2mesh.core.arrays import F32, F64

#: Bins for lightness, two chroma axes and two axes of place. Finer places follow small objects
#: better but let one early mistake confirm itself: 6 was the best of 6, 8, 10, 14.
_BINS = (16, 14, 14, 6, 6)
_KERNEL = np.array([0.25, 0.5, 0.25])
#: Share of the local model in a likelihood, and the floor below which a likelihood says nothing.
_LOCAL, _FLOOR = 0.6, 1e-5
#: Range of a log-likelihood ratio as the cut sees it.
_RANGE = 60.0


class ColourPlaces:
    """Joint histograms of colour and place over one picture (a bilateral grid in five dimensions).

    Args:
        lab: (h, w, 3) float32 CIE Lab, slightly smoothed.
    """

    def __init__(self, lab: F32) -> None:
        h, w = lab.shape[:2]
        self.shape = (h, w)
        flat = lab.reshape(-1, 3)
        low, high = np.quantile(flat, 0.002, axis=0), np.quantile(flat, 0.998, axis=0)
        high = np.maximum(
            high, low + np.array((30, 24, 24))
        )  # a flat picture must not magnify its noise
        yy, xx = np.mgrid[0:h, 0:w] / max(h, w)
        cells = np.array(_BINS)
        self._at: F64 = np.concatenate(
            [
                np.clip((flat - low) / (high - low), 0, 1) * (cells[:3] - 1),
                np.stack([yy.ravel(), xx.ravel()], axis=-1) * (cells[3:] - 1),
            ],
            axis=-1,
        ).T
        self._cell = np.ravel_multi_index(tuple(np.rint(self._at).astype(int)), _BINS)

    def _splat(self, weight: NDArray[np.floating]) -> F64:
        size = int(np.prod(_BINS))
        counts = np.bincount(self._cell, weight.ravel(), size)
        return counts.astype(np.float64).reshape(_BINS)

    def likelihood(self, weight: NDArray[np.floating]) -> F64:
        """(h, w) likelihood of each pixel's colour under the weighted pixels, mixed of a model for
        the whole picture and one for the surroundings."""
        from scipy.ndimage import correlate1d, map_coordinates

        table = self._splat(weight)
        for axis in range(3):
            table = correlate1d(table, _KERNEL, axis=axis, mode="nearest")
        everywhere = table.sum((3, 4))
        everywhere /= max(float(everywhere.sum()), 1e-9)
        for axis in (3, 4):
            table = correlate1d(table, _KERNEL, axis=axis, mode="constant")
        here = table / np.maximum(table.sum((0, 1, 2), keepdims=True), 1e-9)
        overall = map_coordinates(everywhere, self._at[:3], order=1, mode="nearest")
        local = map_coordinates(here, self._at, order=1, mode="nearest")
        return ((1 - _LOCAL) * overall + _LOCAL * local).reshape(self.shape)

    def ratio(self, foreground: NDArray[np.floating], trusted: NDArray[np.floating]) -> F64:
        """(h, w) log-likelihood ratio in nats.

        Args:
            foreground: (h, w) probability of foreground.
            trusted: (h, w) in [0, 1], how far a background pixel may teach the background model.
        """
        outside = self.likelihood((1 - foreground) * trusted) + _FLOOR
        return np.asarray(np.log((self.likelihood(foreground) + _FLOOR) / outside), np.float64)

    def spread(self, values: F32, weight: F32) -> tuple[F64, F64]:
        """Weighted mean of ``values`` over pixels alike in colour and place, and its weight."""
        from scipy.ndimage import correlate1d, map_coordinates

        sums = []
        for plane in (values * weight, weight):
            table = self._splat(plane)
            for axis in range(5):
                table = correlate1d(table, _KERNEL, axis=axis, mode="constant")
            sums.append(map_coordinates(table, self._at, order=1, mode="nearest"))
        total, share = (plane.reshape(self.shape) for plane in sums)
        return total / np.maximum(share, 1e-9), share


def cut(ratio: F64, lab: F32, gain: float) -> NDArray[np.bool_]:
    """The binary labelling that minimises evidence against it plus outline over weak edges.

    OpenCV exposes its max-flow only inside GrabCut. With frozen models it computes exactly this
    energy: the first channel carries the ratio, and two Gaussians of one variance at 0 and 255
    give it back as their log ratio; the other channels carry lightness and the main chroma axis,
    flat under both models, for the contrast term (Rother et al., "GrabCut", 2004, eqs. 2-4, 11).

    Args:
        ratio: (h, w) log-likelihood ratio in nats, positive for foreground.
        lab: (h, w, 3) float32.
        gain: weight of the evidence against GrabCut's smoothness of 50.

    Returns:
        (h, w) bool.
    """
    import cv2

    evidence = np.clip(ratio * gain, -_RANGE, _RANGE)
    if not (evidence > 0).any():
        return np.zeros(ratio.shape, bool)
    chroma = lab[..., 1:].reshape(-1, 2) - lab[..., 1:].mean((0, 1))
    axis = np.linalg.eigh((chroma.T @ chroma).astype(np.float64))[1][:, 1]
    main = (chroma @ axis).reshape(ratio.shape) * np.copysign(1.0, axis[0] + 1e-12)
    picture = np.dstack(
        [
            np.rint((evidence / _RANGE + 1) * 127.5),
            np.clip(lab[..., 0] * 2.55, 0, 255),
            np.clip(main * 2.5 + 128, 0, 255),
        ]
    ).astype(np.uint8)

    def model(mean: float) -> F64:
        packed = np.zeros((1, 65))  # 5 weights, 5 means of 3, 5 covariances of 9
        packed[0, 0], packed[0, 5] = 1, mean
        packed[0, 20:29] = np.diag([255**2 / (2 * _RANGE), 1e8, 1e8]).ravel()
        return packed

    labels = np.where(evidence > 0, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    whole = (0, 0, picture.shape[1], picture.shape[0])  # unused with a mask
    cv2.grabCut(picture, labels, whole, model(0), model(255), 1, cv2.GC_EVAL_FREEZE_MODEL)
    return labels == cv2.GC_PR_FGD
