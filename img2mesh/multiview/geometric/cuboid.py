"""Fit an upright box in perspective to the outline of an object photographed at an angle."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from img2mesh.core.arrays import Mask
from img2mesh.core.cameras import Camera
from img2mesh.multiview.geometric.outline import DISTANCE, FrameSilhouette, frame_camera

# Acceptance of the prior's specification, measured on 24 reference objects.
SOLID = 0.95  # outline area / convex hull area
_FIT = 0.965  # IoU of the box's outline
_AZIMUTH_DEG = (14.0, 76.0)  # frontal boxes do not show their depth
_RATIO = (0.22, 4.5)  # width / depth
_ELEVATION_DEG = (-3.0, 45.0)
#: Directions in which outlines are compared.
_DIRECTIONS = 72
_IOU_PIXELS = 256
#: Misfit (frame units) beyond which empty corners cost little.
_LOOSE = 0.02


@dataclass(frozen=True)
class Cuboid:
    """An upright box in the prior's world, whose camera is at azimuth 0.

    Attributes:
        azimuth_deg: turn of the box about +y.
        elevation_deg: of the camera.
        size: (3,) width, height, depth along the box's own axes.
        centre: (3,) in the world.
        iou: of its outline with the (convex hull of the) object's.
        touching: share of directions in which both reach equally far, to 1 %.
    """

    azimuth_deg: float
    elevation_deg: float
    size: NDArray[np.float64]
    centre: NDArray[np.float64]
    iou: float
    touching: float

    @property
    def axes(self) -> NDArray[np.float64]:
        """(3, 3) rows: the box's own x, y, z axes in the world."""
        return _axes(np.deg2rad(self.azimuth_deg))

    def local(self, points: NDArray[np.floating]) -> NDArray[np.floating]:
        """World points in the box's own coordinates."""
        result: NDArray[np.floating] = (points - self.centre) @ self.axes.T
        return result

    def world(self, points: NDArray[np.floating]) -> NDArray[np.floating]:
        """The reverse of :meth:`local`."""
        result: NDArray[np.floating] = points @ self.axes + self.centre
        return result


def _axes(azimuth: float) -> NDArray[np.float64]:
    c, s = np.cos(azimuth), np.sin(azimuth)
    return np.array([[c, 0, -s], [0, 1, 0], [s, 0, c]])


_SIGNS = np.array([[x, y, z] for x in (-0.5, 0.5) for y in (-0.5, 0.5) for z in (-0.5, 0.5)])


def _corners(p: NDArray[np.float64]) -> NDArray[np.float64]:
    """(8, 2) frame positions of the corners for (azimuth, elevation, log size x 3, shift x 2)."""
    e = p[1]
    right = np.array([1.0, 0, 0])
    up, back = np.array([0, np.cos(e), -np.sin(e)]), np.array([0, np.sin(e), np.cos(e)])
    points = (_SIGNS * np.exp(p[2:5])) @ _axes(p[0]) + p[5] * right + p[6] * up
    depth = np.maximum(DISTANCE - points @ back, 0.2)
    flat: NDArray[np.float64] = np.stack([points @ right, points @ up], axis=1)
    flat *= (DISTANCE / depth)[:, None]
    return flat


def fit(outline: FrameSilhouette, *, around: bool = False) -> Cuboid:
    """The box whose outline is nearest to the object's convex hull.

    ``around`` looks for a box *around* an object that does not fill its corners (a car, an
    armchair): where the box reaches farther than the object, the misfit counts logarithmically.

    Outlines are compared by their support functions (how far they reach in each direction), which
    are smooth in the parameters; 27 starts, Levenberg-Marquardt.
    """
    import cv2
    from scipy.optimize import least_squares

    hull = _hull(outline.mask)
    turns = np.linspace(0, 2 * np.pi, _DIRECTIONS, endpoint=False)
    directions = np.stack([np.cos(turns), np.sin(turns)])
    target = (hull @ directions).max(0)
    wide, tall = np.ptp(hull[:, 0]), np.ptp(hull[:, 1])
    middle = (hull.max(0) + hull.min(0)) / 2

    def residual(p: NDArray[np.float64]) -> NDArray[np.float64]:
        reach = (_corners(p) @ directions).max(0) - target
        if around:
            reach = np.where(reach > 0, _LOOSE * np.log1p(np.maximum(reach, 0) / _LOOSE), reach)
        # Weak preferences (1e-3 of the frame at 20 degrees, or at a ratio of e): they decide only
        # where the outline does not.
        prior = 1e-3 * np.array([(p[1] - np.deg2rad(10)) / np.deg2rad(20), p[2] - p[4]])
        return np.concatenate([reach / np.sqrt(_DIRECTIONS), prior])

    best: tuple[float, NDArray[np.float64]] | None = None
    for azimuth in np.deg2rad([20.0, 45.0, 70.0]):
        for elevation in np.deg2rad([0.0, 10.0, 25.0]):
            for ratio in (0.5, 1.0, 2.0):
                depth = wide / (ratio * np.cos(azimuth) + np.sin(azimuth))
                high = max(tall - wide * 0.7 * np.sin(elevation), 0.2 * tall)
                size = np.log([ratio * depth, high, depth])
                start = np.concatenate([[azimuth, elevation], size, middle])
                found = least_squares(residual, start, method="lm", max_nfev=160)
                if best is None or found.cost < best[0] - 1e-12:
                    best = (float(found.cost), found.x)
    assert best is not None
    p = best[1]
    touching = np.abs((_corners(p) @ directions).max(0) - target) < 0.01 * max(wide, tall)
    scale = _IOU_PIXELS / 2
    canvases = []
    for polygon in (hull, _corners(p)):
        pixels = np.stack([(polygon[:, 0] + 1) * scale, (1 - polygon[:, 1]) * scale], axis=1)
        canvas = np.zeros((_IOU_PIXELS, _IOU_PIXELS), np.uint8)
        rounded = np.round(pixels * 16).astype(np.int32)
        cv2.fillConvexPoly(canvas, cv2.convexHull(rounded), 1, shift=4)
        canvases.append(canvas.astype(bool))
    union = int((canvases[0] | canvases[1]).sum())
    iou = float((canvases[0] & canvases[1]).sum() / max(union, 1))
    return _tidy(p, iou, float(touching.mean()))


def _tidy(p: NDArray[np.float64], iou: float, touching: float) -> Cuboid:
    """Turn into [0, 90), swapping width and depth each quarter turn."""
    size = np.exp(p[2:5])
    quarter = int(np.floor(p[0] / (np.pi / 2)))
    if quarter % 2:
        size = size[[2, 1, 0]]
    azimuth = float(np.rad2deg(p[0] - quarter * np.pi / 2))
    e = float(p[1])
    centre = np.array([p[5], p[6] * np.cos(e), -p[6] * np.sin(e)])
    return Cuboid(azimuth, float(np.rad2deg(e)), size, centre, iou, touching)


def shows_two_faces(box: Cuboid) -> bool:
    """Whether the view tells the box's three sizes."""
    ratio = box.size[0] / box.size[2]
    return (
        _AZIMUTH_DEG[0] <= box.azimuth_deg <= _AZIMUTH_DEG[1]
        and _RATIO[0] <= ratio <= _RATIO[1]
        and _ELEVATION_DEG[0] <= box.elevation_deg <= _ELEVATION_DEG[1]
    )


def fits(box: Cuboid, outline: FrameSilhouette) -> bool:
    """Whether the object is that box, as far as its outline tells."""
    return solidity(outline.mask) >= SOLID and box.iou >= _FIT and shows_two_faces(box)


def solidity(mask: Mask) -> float:
    """Area / area of the convex hull."""
    import cv2

    points = cv2.findNonZero(mask.astype(np.uint8))
    canvas = np.zeros(mask.shape, np.uint8)
    cv2.fillConvexPoly(canvas, cv2.convexHull(points), 1)
    return float(mask.sum() / max(int(canvas.sum()), 1))


def camera(box: Cuboid, size: int) -> Camera:
    """The camera that sees the box where the object is."""
    return frame_camera(box.elevation_deg, size)


def _hull(mask: Mask) -> NDArray[np.float64]:
    """(n, 2) corners of the mask's convex hull, frame coordinates of pixel borders."""
    import cv2

    rows, columns = np.nonzero(mask)
    corners = np.concatenate(
        [np.stack([columns + a, rows + b], axis=1) for a in (0, 1) for b in (0, 1)]
    )
    hull = cv2.convexHull(corners.astype(np.int32))[:, 0].astype(np.float64)
    size = mask.shape[0]
    return np.stack([hull[:, 0] * 2 / size - 1, 1 - hull[:, 1] * 2 / size], axis=1)
