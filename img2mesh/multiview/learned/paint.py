"""How a learned body is painted: the photo where it saw the surface, the network's guess behind."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from img2mesh.core.arrays import F32
from img2mesh.core.cameras import Camera
from img2mesh.imaging.fill import from_nearest
from img2mesh.multiview.geometric.appearance import facing, frame_xy, smoothstep
from img2mesh.multiview.geometric.body import Paint
from img2mesh.multiview.geometric.colours import Palette, sample
from img2mesh.multiview.geometric.solid import Solid
from img2mesh.multiview.learned.model import Reading

#: Share of the network's colours on unseen surfaces; the rest is the palette's calm colours.
BACK_SHARE = 0.5
#: Sigma, in frame units, of the colours that surfaces along the line of sight take: a picture's
#: detail would be drawn out into streaks there.
_SIDE_SIGMA = 0.09
#: The same for what the network says of the back, whose cells would show: about one of them.
_CELL = 0.03
#: Cosines to the line of sight below which only those count, and above which they do not.
_SIDE, _BROAD = 0.15, 0.6


def learned_paint(
    palette: Palette, reading: Reading, solid: Solid, camera: Camera, *, share: float = BACK_SHARE
) -> Paint:
    """Paint for a body of the network.

    What the photo shows is never repainted; what it does not show takes the calm colours mixed
    with the network's colours of the hindmost surface along the same line of sight.
    """
    from img2mesh.geometry.raycast import Scene

    scene = Scene(solid.vertices, solid.faces)
    back = _blurred(from_nearest(reading.back, reading.covered), _CELL)
    frame = reading.frame
    soft_calm = _blurred(palette.calm, _SIDE_SIGMA)
    soft_back = _blurred(back, _SIDE_SIGMA / frame.half)

    def paint(points: NDArray[np.floating], normals: NDArray[np.floating]) -> F32:
        x, y = frame_xy(camera, points)
        cosine = facing(camera, points, normals)
        seen = smoothstep(cosine, 0.05, 0.3)
        turned = np.nonzero(seen > 0)[0]
        clear = scene.sees(camera, points[turned], normals[turned], offset=0.01)
        seen[turned[~clear]] = 0
        u, v = (x - frame.x) / frame.half, (y - frame.y) / frame.half
        guess = sample(back, u, v)
        calm = sample(palette.calm, x, y) + sample(palette.grain, x, y)
        hidden = share * guess + (1 - share) * calm
        side = share * sample(soft_back, u, v) + (1 - share) * sample(soft_calm, x, y)
        broad = smoothstep(np.abs(cosine), _SIDE, _BROAD)[:, None]
        hidden = broad * hidden + (1 - broad) * side
        weight = seen[:, None]
        out = weight * sample(palette.front, x, y) + (1 - weight) * hidden
        colours: F32 = np.clip(out, 0, 1).astype(np.float32)
        return colours

    return paint


def _blurred(picture: F32, sigma: float) -> F32:
    """A square picture (s, s, 3) over the frame, softened; ``sigma`` in frame units."""
    from scipy.ndimage import gaussian_filter

    pixels = sigma * picture.shape[0] / 2
    soft: F32 = gaussian_filter(picture, (pixels, pixels, 0), mode="nearest")
    return soft
