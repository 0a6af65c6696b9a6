"""Surface of revolution about a vertical axis, with handles and spouts inflated beside it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from img2mesh.core.arrays import F32, Mask
from img2mesh.core.cameras import Camera
from img2mesh.imaging.masks import signed_distance
from img2mesh.multiview.geometric.appearance import facing, frame_xy, smoothstep
from img2mesh.multiview.geometric.body import Paint
from img2mesh.multiview.geometric.colours import Palette, front_without, sample
from img2mesh.multiview.geometric.inflation import Inflation, inflate
from img2mesh.multiview.geometric.outline import DISTANCE, PIXELS, FrameSilhouette, look_up
from img2mesh.multiview.geometric.profile import Profile

#: Parts of the outline beside the core smaller than this share of it are left to the core.
_SMALLEST_PART = 0.006
_FOLD = np.deg2rad(60.0)


@dataclass(frozen=True)
class Lathe:
    """A turned body in the prior's world; the camera looks from ``elevation_deg``.

    Attributes:
        axis: world x of the axis, which stands in the plane z = 0.
        elevation_deg: of the camera.
        y: (k,) ascending heights.
        radius: (k,) radii there.
        parts: thickness of what stands beside the core, or None.
        camera: the camera for any picture size (it only projects here).
        beside: (PIXELS, PIXELS) where the parts are in the frame, or None.
    """

    axis: float
    elevation_deg: float
    y: NDArray[np.float64]
    radius: NDArray[np.float64]
    parts: Inflation | None
    camera: Camera
    beside: Mask | None = None

    def core(self, points: NDArray[np.floating]) -> NDArray[np.floating]:
        """Implicit function of the turned core alone, about a distance, positive inside."""
        out = np.hypot(points[..., 0] - self.axis, points[..., 2])
        r = np.interp(points[..., 1], self.y, self.radius)
        # Through sudden steps of the profile a distance to the wall means little: limit its slope.
        slope = np.interp(points[..., 1], self.y, np.gradient(self.radius, self.y))
        wall = (r - out) / np.sqrt(1 + np.clip(slope, -3, 3) ** 2)
        ends = np.minimum(points[..., 1] - self.y[0], self.y[-1] - points[..., 1])
        value: NDArray[np.floating] = np.minimum(wall, ends)
        return value

    def implicit(self, points: NDArray[np.floating]) -> NDArray[np.floating]:
        """Core and parts together."""
        value = self.core(points)
        if self.parts is None:
            return value
        flat = points.reshape(-1, 3)
        x, y = frame_xy(self.camera, flat)
        side = look_up(self.parts.squared, x, y) - flat[:, 2] ** 2
        joined: NDArray[np.floating] = np.maximum(value, side.reshape(value.shape))
        return joined

    def bounds(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Corners of a box around it all."""
        widest, thick = float(self.radius.max()), 0.0
        low = np.array([self.axis - widest, self.y[0], -widest])
        high = np.array([self.axis + widest, self.y[-1], widest])
        if self.parts is not None:
            rows, columns = np.nonzero(self.parts.squared > 0)
            size = self.parts.squared.shape[0]
            thick = self.parts.thickest
            x = np.array([columns.min(), columns.max() + 1]) * 2 / size - 1
            y = 1 - np.array([rows.max() + 1, rows.min()]) * 2 / size
            # A frame point stands in the plane z = 0 at most this much farther out.
            far = 1.25
            tall = y * far / np.cos(np.deg2rad(self.elevation_deg))
            low = np.minimum(low, [x.min() * far, tall.min(), -thick])
            high = np.maximum(high, [x.max() * far, tall.max(), thick])
        return low, high


def turn(outline: FrameSilhouette, profile: Profile, camera: Camera) -> Lathe:
    """Carry a profile measured in the frame into the world.

    A point of the axis at height Y appears at y = D Y cos(e) / (D - Y sin(e)), at the distance
    D - Y sin(e); a circle is widest, to first order, where its centre appears.
    """
    from scipy.ndimage import binary_dilation

    e = np.deg2rad(profile.elevation_deg)
    y = profile.heights * DISTANCE / (DISTANCE * np.cos(e) + profile.heights * np.sin(e))
    depth = DISTANCE - y * np.sin(e)
    # Lines of sight touch a circle in front of its middle: radius = distance x sine.
    left = np.arctan((profile.axis - profile.half_widths) / DISTANCE)
    right = np.arctan((profile.axis + profile.half_widths) / DISTANCE)
    radius = np.sin((right - left) / 2) * depth / np.cos((right + left) / 2)
    widest = int(np.argmax(profile.half_widths))
    axis = float(DISTANCE * np.tan((right + left)[widest] / 2))
    beside = _beside(outline, profile)
    parts = None
    if beside is not None:
        # Let them reach into the core, so that the pieces fuse.
        root = max(4, round(0.04 * outline.longest * PIXELS / 2))
        rooted = binary_dilation(beside, iterations=root) & outline.mask
        distance = (signed_distance(rooted) * 2 / PIXELS).astype(np.float32)
        parts = inflate(FrameSilhouette(distance, outline.longest))
        beside = binary_dilation(beside, iterations=root + 2)
    return Lathe(axis, profile.elevation_deg, y, _smooth(radius), parts, camera, beside)


def _smooth(radius: NDArray[np.float64]) -> NDArray[np.float64]:
    """Remove the pixel steps of the outline; the ends stay."""
    from scipy.ndimage import gaussian_filter1d

    soft = gaussian_filter1d(radius, 3.0, mode="nearest")
    ramp = np.minimum(np.arange(len(radius)), np.arange(len(radius))[::-1])
    weight = np.clip(ramp / 4, 0, 1)
    smooth: NDArray[np.float64] = weight * soft + (1 - weight) * radius
    return smooth


def _beside(outline: FrameSilhouette, profile: Profile) -> Mask | None:
    """Handles, spouts and leaves: outline parts the core does not cover."""
    from scipy.ndimage import binary_dilation, binary_opening, label

    mask = outline.mask
    near = binary_dilation(profile.core, iterations=3)
    # Slivers along the core are its misfit, not parts of their own.
    thin = max(1, round(0.008 * outline.longest * PIXELS / 2))
    rest, count = label(binary_opening(mask & ~near, iterations=thin))
    if count == 0:
        return None
    sizes = np.bincount(rest.ravel())
    sizes[0] = 0
    big = sizes >= _SMALLEST_PART * mask.sum()
    if not big.any():
        return None
    found: Mask = binary_dilation(big[rest], iterations=thin) & mask
    return found


def lathe_paint(palette: Palette, lathe: Lathe) -> Paint:
    """Paint for a turned body: the photo up to 60 degrees of azimuth, mirrored beyond, calm behind.

    Handles take the photo on both sides. The top takes the photo where the camera looks into it.
    """
    camera = lathe.camera
    front = palette.front if lathe.beside is None else front_without(palette, lathe.beside)
    row_y, row_colour = _row_colours(lathe, front)

    def rows(y: NDArray[np.floating]) -> F32:
        channels = [np.interp(y, row_y, row_colour[:, k]) for k in range(3)]
        return np.stack(channels, axis=1).astype(np.float32)

    def paint(points: NDArray[np.floating], normals: NDArray[np.floating]) -> F32:
        out = np.hypot(points[:, 0] - lathe.axis, points[:, 2])
        azimuth = np.arctan2(points[:, 0] - lathe.axis, points[:, 2])
        away = np.abs(azimuth)
        folded = np.sign(azimuth) * np.where(away > _FOLD, 2 * _FOLD - away, away)
        twin = _turn_to(points, out, folded, lathe.axis)
        x, y = frame_xy(camera, twin)
        level = np.hypot(normals[:, 0], normals[:, 2])
        twin_normals = np.stack(
            [level * np.sin(folded), normals[:, 1], level * np.cos(folded)], axis=1
        )
        # Shelves seen at a grazing angle would smear what stands in front of or behind them.
        seen = smoothstep(facing(camera, twin, twin_normals), 0.12, 0.35)
        calm = rows(points[:, 1]) + sample(palette.grain, x, y)
        t = smoothstep(away, np.deg2rad(58), np.deg2rad(95))
        wall = _mix(calm, sample(front, x, y), (1 - t) * seen)
        # Level ends: what the camera sees of them directly, else the colour of their rim.
        x, y = frame_xy(camera, points)
        cosine = facing(camera, points, normals)
        # Nothing hides the very top; a shelf lower down is judged as strictly as a wall.
        top = points[:, 1] > lathe.y[-1] - 0.02
        direct = np.where(top, smoothstep(cosine, 0.05, 0.15), smoothstep(cosine, 0.12, 0.35))
        cap = _mix(rows(points[:, 1]), sample(front, x, y), direct)
        result = _mix(wall, cap, smoothstep(np.abs(normals[:, 1]), 0.8, 0.95))
        if lathe.parts is not None:
            core = np.interp(points[:, 1], lathe.y, lathe.radius)
            part = smoothstep(out - core, 0.01, 0.03)
            part = np.where(look_up(lathe.parts.squared, x, y) > -0.01, part, 0.0)
            result = _mix(result, sample(palette.front, x, y), part)
        colours: F32 = np.clip(result, 0, 1).astype(np.float32)
        return colours

    return paint


def _mix(a: F32, b: F32, t: NDArray[np.floating]) -> NDArray[np.floating]:
    return (1 - t[:, None]) * a + t[:, None] * b


def _turn_to(
    points: NDArray[np.floating],
    out: NDArray[np.floating],
    azimuth: NDArray[np.floating],
    axis: float,
) -> NDArray[np.floating]:
    """Points moved round the axis to another azimuth."""
    return np.stack([axis + out * np.sin(azimuth), points[:, 1], out * np.cos(azimuth)], axis=1)


def _row_colours(lathe: Lathe, front: F32) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Heights and the median colour of the visible half there: no label or logo colours the back.

    Seen from 15 to 55 degrees on either side, where labels in the middle weigh less; shelves (a
    plate's rim) from 60 to 82, where what stands on them does not hide them.
    """
    y = np.linspace(lathe.y[0], lathe.y[-1], 256)
    radii = np.interp(y, lathe.y, lathe.radius)
    shelf = np.abs(np.gradient(radii, y)) > 1.0
    walls, shelves = np.linspace(15, 55, 17), np.linspace(60, 82, 17)
    one_side = np.where(shelf[:, None], shelves[None], walls[None])
    azimuth = np.deg2rad(np.concatenate([-one_side, one_side], axis=1)).ravel()
    radius = np.repeat(radii, 2 * 17)
    middle = np.zeros((len(radius), 3))
    middle[:, 1] = np.repeat(y, 2 * 17)
    points = _turn_to(middle, radius, azimuth, lathe.axis)
    ring = sample(front, *frame_xy(lathe.camera, points)).reshape(256, -1, 3)
    return y, np.median(ring, axis=1).astype(np.float64)
