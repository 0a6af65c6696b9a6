"""The same points found in two pictures: a small protocol, and a default without weights."""

from __future__ import annotations

from functools import lru_cache
from typing import Protocol

import numpy as np

from img2mesh.core.arrays import F32, F64, U8, Mask

#: Lowe's ratio between the best and the second-best descriptor.
_RATIO = 0.8
#: Pictures are enlarged so much first: objects in pictures of 256 pixels are small.
_ENLARGED = 2
#: White from this level on, in all channels, is background.
_WHITE = 245


class Matcher(Protocol):
    """Finds the same points in two pictures of one object on white."""

    def __call__(self, first: U8, second: U8) -> F64:
        """(n, 5) x and y in the one, x and y in the other, confidence in [0, 1]; pixels.

        Args:
            first, second: (h, w, 3) uint8.
        """
        ...


def sift(first: U8, second: U8) -> F64:
    """SIFT (Lowe 2004) of OpenCV, each the other's best, with both ends on the object."""
    (here, ours), (there, theirs) = (_features(p.tobytes(), p.shape) for p in (first, second))
    if len(theirs) < 2 or len(ours) < 2:
        return np.zeros((0, 5))
    distance = np.sqrt(
        np.maximum((ours**2).sum(1)[:, None] + (theirs**2).sum(1)[None] - 2 * ours @ theirs.T, 0)
    )
    best = distance.argmin(axis=1)
    least = np.partition(distance, 1, axis=1)[:, :2]
    mutual = distance.argmin(axis=0)[best] == np.arange(len(best))
    kept = mutual & (least[:, 0] < _RATIO * least[:, 1])
    confidence = 1 - least[:, 0] / np.maximum(least[:, 1], 1e-9)
    out: F64 = np.column_stack([here, there[best], confidence])[kept].astype(np.float64)
    return out


@lru_cache(maxsize=8)  # each of four neighbours is matched with the three others
def _features(pixels: bytes, shape: tuple[int, ...]) -> tuple[F64, F32]:
    """Places (n, 2) in pixels and descriptors (n, 128) on the object of a picture."""
    import cv2

    picture = np.frombuffer(pixels, np.uint8).reshape(shape)
    finder = cv2.SIFT_create(contrastThreshold=0.02)  # type: ignore[attr-defined]
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    large = cv2.resize(grey, None, fx=_ENLARGED, fy=_ENLARGED, interpolation=cv2.INTER_CUBIC)
    points, descriptors = finder.detectAndCompute(large, None)
    if descriptors is None:
        return np.zeros((0, 2)), np.zeros((0, 128), np.float32)
    # The middle of a pixel is at a half here, at a whole number there.
    places = (np.array([p.pt for p in points]).reshape(-1, 2) + 0.5) / _ENLARGED
    inside = on_object(picture, places)
    return places[inside], np.asarray(descriptors, np.float32)[inside]


def on_object(picture: U8, points: F64) -> Mask:
    """Which points (n, 2) lie on the object of a picture on white, (n,) bool."""
    height, width = picture.shape[:2]
    column = np.clip(points[:, 0].astype(int), 0, width - 1)
    row = np.clip(points[:, 1].astype(int), 0, height - 1)
    inside: Mask = (picture[row, column] <= _WHITE).any(axis=1)
    return inside
