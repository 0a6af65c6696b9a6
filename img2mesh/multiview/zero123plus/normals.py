"""Normal maps of the v1.2 normal ControlNet: decoding, foreground seeds, world space.

Encoding of its authors: view space, ``rgb = n * 0.5 + 0.5`` with x right, y up, z towards the
viewer; the background is grey, which is the zero vector. These are OpenGL camera axes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from img2mesh.core.cameras import Camera

#: Lengths above and below which a pixel surely is object or background, and the square element
#: the seeds are eroded with (the project's own matting example).
FOREGROUND_LENGTH, BACKGROUND_LENGTH, ERODE = 0.6, 0.2, 4


def decode(rgb: NDArray[np.floating]) -> NDArray[np.float64]:
    """(..., 3) colours in [0, 1] -> view-space vectors, not normalised."""
    return np.asarray(rgb, np.float64) * 2 - 1


def encode(vectors: NDArray[np.floating]) -> NDArray[np.float64]:
    """The inverse of :func:`decode` for unit (or zero) vectors."""
    return np.asarray(vectors, np.float64) * 0.5 + 0.5


def seeds(vectors: NDArray[np.float64]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """What surely is object and what surely is background, by the length of the vectors.

    Args:
        vectors: (v, h, w, 3).

    Returns:
        (v, h, w) bool each; neither holds in the band between.
    """
    length = np.linalg.norm(vectors, axis=-1)
    element = np.ones((1, ERODE, ERODE), bool)
    foreground = ndimage.binary_erosion(length > FOREGROUND_LENGTH, element)
    # Outside the picture counts as background: an object that fills it has no seed there.
    background = ndimage.binary_erosion(length < BACKGROUND_LENGTH, element, border_value=1)
    return foreground, background


def to_world(
    vectors: NDArray[np.float64], alpha: NDArray[np.float32], cameras: tuple[Camera, ...]
) -> NDArray[np.float32]:
    """(v, h, w, 3) float32 unit normals in the world; 0 where there is no object.

    Vectors that face away from the camera, which no visible surface does, are turned to the
    silhouette rather than dropped: z is set to 0 first.
    """
    view = vectors.copy()
    view[..., 2] = np.maximum(view[..., 2], 0.0)
    view /= np.linalg.norm(view, axis=-1, keepdims=True) + 1e-8
    rotations = np.stack([c.world_from_camera[:3, :3] for c in cameras])
    world = np.einsum("vij,vhwj->vhwi", rotations, view)
    return np.where((alpha > 0.5)[..., None], world, 0.0).astype(np.float32)
