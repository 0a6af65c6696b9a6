"""Pictures of a bent lens as a pinhole would have taken them, same focal length and centre.

The terms are OpenCV's, as nerfstudio, instant-ngp and COLMAP write them: with r2 = x x + y y,

    x' = x (1 + k1 r2 + k2 r2^2 + k3 r2^3 + k4 r2^4) + 2 p1 x y + p2 (r2 + 2 x x)
    y' = y (1 + k1 r2 + k2 r2^2 + k3 r2^3 + k4 r2^4) + p1 (r2 + 2 y y) + 2 p2 x y

(k4 is nerfstudio's polynomial term, not the denominator of OpenCV's rational model).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from img2mesh.core.arrays import F32
from img2mesh.core.cameras import Camera
from img2mesh.errors import InputError

#: Terms below bend a picture by less than a hundredth of a pixel.
_STRAIGHT = 1e-6


@dataclass(frozen=True)
class Lens:
    """Radial terms k1 to k4 and tangential terms p1 and p2; without units."""

    k1: float = 0.0
    k2: float = 0.0
    k3: float = 0.0
    k4: float = 0.0
    p1: float = 0.0
    p2: float = 0.0

    @property
    def bent(self) -> bool:
        """Whether there is anything to undo."""
        return max(map(abs, (self.k1, self.k2, self.k3, self.k4, self.p1, self.p2))) > _STRAIGHT

    def sources(self, camera: Camera) -> tuple[F32, F32]:
        """Where in the bent picture each pixel of the straight one lies.

        Returns:
            Columns and rows (h, w) as OpenCV counts: the first pixel's centre is 0.

        Raises:
            InputError: the terms fold the picture over itself.
        """
        y, x = np.mgrid[: camera.height, : camera.width].astype(np.float64) + 0.5
        x, y = (x - camera.cx) / camera.fx, (y - camera.cy) / camera.fy
        r2 = x * x + y * y
        ks = (self.k1, self.k2, self.k3, self.k4)
        radial = 1 + sum(k * r2**n for n, k in enumerate(ks, 1))
        slope = 1 + sum((2 * n + 1) * k * r2**n for n, k in enumerate(ks, 1))
        if slope.min() <= 0:
            raise InputError(
                "its lens distortion folds the picture over itself: undistort the pictures first "
                "(colmap image_undistorter, or ns-process-data), or correct k1, k2, p1 and p2"
            )
        bent_x = x * radial + 2 * self.p1 * x * y + self.p2 * (r2 + 2 * x * x)
        bent_y = y * radial + self.p1 * (r2 + 2 * y * y) + 2 * self.p2 * x * y
        far = 2.0 * max(camera.width, camera.height)  # what lies further off is outside as well
        columns = np.clip(bent_x * camera.fx + camera.cx - 0.5, -far, far)
        rows = np.clip(bent_y * camera.fy + camera.cy - 0.5, -far, far)
        return columns.astype(np.float32), rows.astype(np.float32)


def straightened(
    picture: F32, sources: tuple[F32, F32], *, outside: float | None, blend: bool = True
) -> F32:
    """A picture (h, w) or (h, w, c) looked up at the sources.

    Args:
        picture: float32.
        sources: of :meth:`Lens.sources`.
        outside: value of what the lens did not see; None repeats the rim.
        blend: False takes the nearest pixel, for depth and normals.
    """
    import cv2

    return np.asarray(
        cv2.remap(
            picture,
            *sources,
            interpolation=cv2.INTER_LINEAR if blend else cv2.INTER_NEAREST,
            borderMode=cv2.BORDER_REPLICATE if outside is None else cv2.BORDER_CONSTANT,
            borderValue=[outside or 0.0] * 4,
        ),
        np.float32,
    )
