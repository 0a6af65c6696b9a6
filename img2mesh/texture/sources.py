"""A view made ready to paint with: clean colours, and how far each pixel is from trouble."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from img2mesh.artifacts import View
from img2mesh.core.arrays import F32
from img2mesh.core.cameras import Camera
from img2mesh.geometry.raycast import Scene
from img2mesh.imaging.fill import from_nearest

#: Rim pixels whose colour does not count: anti-aliasing mixes one, whatever the picture's size.
_RIM = 1.0

#: Pixels over which a view gains confidence, from the silhouette and from depth jumps, in a picture
#: of 320 pixels (measured on six objects with exact views); in proportion in larger ones.
_SILHOUETTE_RAMP, _JUMP_RAMP = 3.0, 2.5
_REFERENCE_SIZE = 320

#: A depth step between neighbouring pixels above this share of the object's diagonal is a jump
#: (about 0.06 for an object in the unit sphere).
_JUMP = 0.02

#: Opacity from which a pixel is all object.
_OPAQUE = 0.98


@dataclass(frozen=True)
class Source:
    """One view to paint with.

    Attributes:
        camera: its pose.
        rgb: (h, w, 3) float32 colours; outside the object the nearest object colour.
        confidence: (h, w) float32 in [0, 1]: 0 outside the silhouette, ramps up from silhouette and
            depth jumps.
        alpha: (h, w) float32 the picture's own silhouette.
        surface: (h, w) float32 1 where the mesh is seen, else 0.
        is_photo: whether it is the input picture.
    """

    camera: Camera
    rgb: F32
    confidence: F32
    alpha: F32
    surface: F32
    is_photo: bool


def prepare(view: View, scene: Scene, *, diagonal: float, is_photo: bool) -> Source:
    """Clean a posed view's colours and measure its confidence.

    Args:
        view: a view with a camera.
        scene: the mesh to paint.
        diagonal: of the mesh's bounding box, in world units.
        is_photo: marks the source.
    """
    from scipy import ndimage

    assert view.camera is not None
    size = max(1.0, max(view.alpha.shape) / _REFERENCE_SIZE)
    inside = view.alpha >= 0.5
    edge = ndimage.distance_transform_edt(np.pad(inside, 1))[1:-1, 1:-1]
    depth = scene.look(view.camera).depth
    jump = _distance_to_jump(depth, _JUMP * diagonal)
    confidence = np.clip(edge / (_SILHOUETTE_RAMP * size), 0, 1)
    confidence *= np.clip((jump + 0.5) / (_JUMP_RAMP * size), 0.02, 1)
    return Source(
        view.camera,
        clean(view.rgb, view.alpha, rim=_RIM),
        confidence.astype(np.float32),
        view.alpha,
        np.isfinite(depth).astype(np.float32),
        is_photo,
    )


def clean(rgb: F32, alpha: F32, *, rim: float) -> F32:
    """Replace untrusted pixels by the nearest trusted colour, so that no look-up sees background.

    Trusted are opaque pixels more than ``rim`` pixels inside the silhouette. A part too thin to
    have any keeps its own most opaque pixels.

    Args:
        rgb: (h, w, 3).
        alpha: (h, w) straight alpha.
        rim: pixels.
    """
    from scipy import ndimage

    opaque = alpha >= _OPAQUE
    depth = ndimage.distance_transform_edt(np.pad(opaque, 1))[1:-1, 1:-1]
    core = depth > rim + 0.5
    # Opaque pixels that the core cannot reach across the rim belong to thin parts.
    far = ndimage.distance_transform_edt(~core) if core.any() else np.full(alpha.shape, np.inf)
    trusted = core | (opaque & (far > 2 * rim + 1.5))
    reach = ndimage.distance_transform_edt(~trusted) if trusted.any() else far
    trusted |= (alpha >= 0.5) & (reach > 2 * rim + 3)
    if not trusted.any():
        trusted = alpha >= alpha.max()
    return np.ascontiguousarray(from_nearest(rgb, trusted))


def blurred(rgb: F32, sigma: float) -> F32:
    """Gaussian low-pass of a cleaned picture; ``sigma`` in pixels, nothing below 0.3."""
    from scipy import ndimage

    if sigma < 0.3:
        return rgb
    return ndimage.gaussian_filter(rgb, (sigma, sigma, 0), mode="nearest", truncate=3.0)


def doubled(rgb: F32) -> F32:
    """Twice the pixels by cubic convolution (Keys 1981): bilinear look-ups then stay sharp."""
    from PIL import Image

    height, width = rgb.shape[:2]
    channels = [
        Image.fromarray(rgb[..., k]).resize((2 * width, 2 * height), Image.Resampling.BICUBIC)
        for k in range(3)
    ]
    return np.clip(np.stack([np.asarray(c) for c in channels], axis=-1), 0, 1)


def pixel_size(source: Source, points: NDArray[np.floating]) -> float:
    """World size of a picture's pixel at the median depth of the points."""
    camera = source.camera
    depth = (points[:: max(1, len(points) // 4096)] - camera.origin) @ camera.forward
    return float(max(np.median(depth), 1e-6) / camera.fx)


def _distance_to_jump(depth: F32, threshold: float) -> NDArray[np.float64]:
    """(h, w) pixels to the nearest pixel beside a depth jump within the surface."""
    from scipy import ndimage

    jump = np.zeros(depth.shape, bool)
    for axis in (0, 1):
        step = np.abs(np.diff(depth, axis=axis)) > threshold  # NaN compares False: silhouettes
        first = [slice(None), slice(None)]
        second = [slice(None), slice(None)]
        first[axis], second[axis] = slice(None, -1), slice(1, None)
        jump[tuple(first)] |= step
        jump[tuple(second)] |= step
    if not jump.any():
        return np.full(depth.shape, 1e6)
    return ndimage.distance_transform_edt(~jump)
