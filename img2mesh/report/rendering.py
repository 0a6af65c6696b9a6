"""Pictures of a textured mesh by ray casting: for measuring (unlit) and for looking at (lit)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from img2mesh.artifacts import TexturedMesh
from img2mesh.core.arrays import F32, U8
from img2mesh.core.cameras import Camera
from img2mesh.geometry.raycast import Hits, Scene
from img2mesh.imaging.lookup import texture_at

_OCCLUSION_RAYS = 32  # more shows no difference at 384 pixels
Mip = NDArray[np.float32] | NDArray[np.uint8]
_CHUNK = 1 << 18  # vertices x rays cast at once
_CLAY = (0.60, 0.59, 0.575)  # linear reflectance of the untextured look

# Three lights fixed to the camera, so that every side reads alike: direction in camera axes
# (x right, y up, z towards the viewer) and strength. A large key from above left, a weak fill from
# the right, a rim from behind; chosen by eye.
_LIGHTS = (((-0.6, 0.75, 0.5), 0.78), ((0.85, 0.1, 0.5), 0.12), ((0.35, 0.6, -0.75), 0.25))
_AMBIENT = 0.36


@dataclass(frozen=True)
class Look:
    """How a surface is shown.

    Attributes:
        textured: the asset's texture, or plain clay.
        light: 0 shows the colours as they are, 1 is the full studio light.
    """

    textured: bool = True
    light: float = 0.0


#: Colours as stored: what measurements compare. The texture already carries the views' shading.
UNLIT = Look()
#: Colours gently shaded, enough for the shape to read.
SHADED = Look(light=0.6)
#: The shape alone.
CLAY = Look(textured=False, light=1.0)


def render(
    asset: TexturedMesh,
    camera: Camera,
    *,
    supersample: int = 2,
    lit: bool = False,
    background: ArrayLike | None = None,
) -> tuple[F32, F32]:
    """One picture of the asset; :class:`Stage` is cheaper for several.

    Args:
        asset: what to draw.
        camera: from where, in the asset's own frame.
        supersample: rays along each pixel side.
        lit: gentle studio light, else the texture's colours as they are.
        background: sRGB colour (3,) in [0, 1] behind the asset; None leaves straight alpha.

    Returns:
        rgb: (h, w, 3) float32 sRGB in [0, 1]; straight alpha, or composited over the background.
        alpha: (h, w) float32 share of each pixel that the asset covers.
    """
    rgb, alpha = Stage(asset).render(camera, SHADED if lit else UNLIT, supersample=supersample)
    if background is not None:
        rgb = composite(rgb, alpha, background)
    return rgb, alpha


def composite(rgb: F32, alpha: F32, background: ArrayLike) -> F32:
    """Straight-alpha (h, w, 3) over a colour (3,) or picture, blended as encoded."""
    behind = np.asarray(background, np.float32)
    result: F32 = behind + alpha[..., None] * (rgb - behind)
    return result


class Stage:
    """An asset set up for pictures: acceleration structure, mip levels and occlusion, made once."""

    def __init__(self, asset: TexturedMesh) -> None:
        self.asset = asset
        self.scene = Scene(asset.vertices, asset.faces)
        used = asset.vertices[np.unique(asset.faces)].astype(np.float64)
        self.low, self.high = used.min(axis=0), used.max(axis=0)

    @property
    def extent(self) -> float:
        """Largest side of the bounding box."""
        return float((self.high - self.low).max())

    @cached_property
    def _mips(self) -> list[Mip]:
        return mip_levels(self.asset.texture)

    @cached_property
    def _normal_mips(self) -> list[Mip] | None:
        normal_map = self.asset.normal_map
        return None if normal_map is None else mip_levels(normal_map)

    @cached_property
    def _texels_per_unit(self) -> F32:
        """(m,) texels per unit of length on each face: the square root of its area ratio."""
        corners = self.asset.vertices[self.asset.faces].astype(np.float64)
        area = np.linalg.norm(
            np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1
        )
        height, width = self.asset.texture.shape[:2]
        uv = self.asset.uv[self.asset.faces].astype(np.float64) * (width, height)
        a, b = uv[:, 1] - uv[:, 0], uv[:, 2] - uv[:, 0]
        texels = np.abs(a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0])
        density: F32 = np.sqrt(texels / np.maximum(area, 1e-20)).astype(np.float32)
        return density

    @cached_property
    def occlusion(self) -> F32:
        """(n,) how much of the sky each vertex sees, 1 = all; nearby surfaces count most."""
        points = self.asset.vertices.astype(np.float64)
        _, first, inverse = np.unique(
            self.asset.source_vertex, return_index=True, return_inverse=True
        )
        normals = np.zeros((len(first), 3))
        for axis in range(3):  # one normal for all copies of a vertex: no seam in the shading
            normals[:, axis] = np.bincount(inverse, weights=self.asset.normals[:, axis])
        normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
        sky = self.sky(points[first], normals, reach=0.5 * self.extent)
        return sky[inverse]

    def sky(self, points: NDArray[np.float64], normals: NDArray[np.float64], reach: float) -> F32:
        """Cosine-weighted openness (n,) of points (n, 3); occluders fade out over ``reach``."""
        i = np.arange(_OCCLUSION_RAYS)
        radius, angle = np.sqrt((i + 0.5) / _OCCLUSION_RAYS), i * np.pi * (3 - np.sqrt(5))
        local = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
        local = np.concatenate([local, np.sqrt(1 - radius**2)[:, None]], axis=1)
        # A frame around each normal that is continuous but at one pole (Duff et al., "Building an
        # Orthonormal Basis, Revisited", JCGT 2017).
        x, y, z = normals.T
        sign = np.where(z >= 0, 1.0, -1.0)
        a = -1 / (sign + z)
        b = x * y * a
        tangent = np.stack([1 + sign * x * x * a, sign * b, -sign * x], axis=1)
        bitangent = np.stack([b, sign + y * y * a, -y], axis=1)
        start = points + 2e-3 * self.extent * normals
        out = np.empty(len(points), np.float32)
        step = max(_CHUNK // _OCCLUSION_RAYS, 1)
        for k in range(0, len(points), step):
            part = slice(k, k + step)
            directions = (
                local[None, :, :1] * tangent[part, None]
                + local[None, :, 1:2] * bitangent[part, None]
                + local[None, :, 2:] * normals[part, None]
            )
            distance, _ = self.scene.cast(start[part, None], directions)
            out[part] = np.minimum(distance / reach, 1).mean(axis=1)
        return out

    def render(
        self, camera: Camera, look: Look = UNLIT, *, supersample: int = 2
    ) -> tuple[F32, F32]:
        """One picture: straight-alpha rgb (h, w, 3) and coverage (h, w), both float32."""
        return self.looks(camera, (look,), supersample=supersample)[0]

    def looks(
        self, camera: Camera, looks: tuple[Look, ...], *, supersample: int = 2
    ) -> list[tuple[F32, F32]]:
        """The same sight in several looks, for little more than the price of one."""
        fine = camera.resized(camera.width * supersample, camera.height * supersample)
        hits = self.scene.look(fine)
        mask = hits.mask
        hit = Surface(self, fine, hits)
        number = _pooled(mask, supersample)
        alpha: F32 = number / np.float32(supersample**2)
        pictures: list[tuple[F32, F32]] = []
        for look in looks:
            full = np.zeros((*mask.shape, 3), np.float32)
            full[mask] = hit.colour(look)
            mean = _pooled(full, supersample)
            mean /= np.maximum(number, 1)[..., None]
            pictures.append((mean, alpha))
        return pictures


def mip_levels(picture: U8) -> list[Mip]:
    """A picture (h, w, c) and its halves, down to about four pixels."""
    levels: list[Mip] = [picture]
    while min(levels[-1].shape[:2]) >= 8:
        t = levels[-1].astype(np.float32)
        t = np.pad(t, ((0, t.shape[0] % 2), (0, t.shape[1] % 2), (0, 0)), mode="edge")
        half = (t[::2, ::2] + t[1::2, ::2] + t[::2, 1::2] + t[1::2, 1::2]) / np.float32(4)
        levels.append(half.astype(np.float32, copy=False))
    return levels


def _pooled(fine: NDArray[Any], factor: int) -> F32:
    """Sums over factor x factor blocks, (h f, w f, ...) -> (h, w, ...), in a fixed order."""
    total = np.zeros(
        (fine.shape[0] // factor, fine.shape[1] // factor, *fine.shape[2:]), np.float32
    )
    for row in range(factor):
        for column in range(factor):
            total += fine[row::factor, column::factor]
    return total


class Surface:
    """The surface points behind the pixels of one picture (k of them, in reading order)."""

    def __init__(self, stage: Stage, camera: Camera, hits: Hits) -> None:
        mask = hits.mask
        self._stage, self._camera = stage, camera
        self._face = hits.face[mask]
        self._depth = hits.depth[mask]
        self._geometric = hits.normal[mask]
        self._rays = camera.directions()[mask].astype(np.float32)
        b = hits.barycentric[mask]
        self._corners = stage.asset.faces[self._face]
        self._weights = (1 - b[:, 0] - b[:, 1], b[:, 0], b[:, 1])

    def interpolate(self, values: F32) -> F32:
        """Vertex values (n, c) or (n,) at the surface points."""
        w = [x.reshape(-1, *([1] * (values.ndim - 1))) for x in self._weights]
        result: F32 = sum(w[i] * values[self._corners[:, i]] for i in range(1, 3)) + (
            w[0] * values[self._corners[:, 0]]
        )
        return result

    @cached_property
    def texture(self) -> F32:
        """(k, 3) texture colours in [0, 1], trilinear between mip levels."""
        return self._filtered(self._stage._mips) / np.float32(255)

    def _filtered(self, mips: list[Mip]) -> F32:
        """(k, c) values of a picture over the atlas, trilinear between its mip levels."""
        stage = self._stage
        uv = self.interpolate(stage.asset.uv)
        # The side of a pixel on the surface; foreshortening stretches one axis only, so the
        # geometric mean of both footprints carries its square root.
        unit = self._rays / np.linalg.norm(self._rays, axis=1, keepdims=True)
        facing = np.maximum(np.abs((unit * self._geometric).sum(axis=1)), 0.05)
        side = self._depth / np.float32(self._camera.fy) / np.sqrt(facing)
        ratio = np.float32(len(mips[0]) / len(stage.asset.texture))
        texels = np.maximum(side * stage._texels_per_unit[self._face] * ratio, 1)
        level = np.minimum(np.log2(texels), np.float32(len(mips) - 1))
        lower = level.astype(np.int32)
        fraction = (level - lower)[:, None]
        out = np.empty((len(uv), mips[0].shape[2]), np.float32)
        for number in np.unique(lower):
            here = np.flatnonzero(lower == number)
            colour = texture_at(mips[number], uv[here])
            blend = here[fraction[here, 0] > 0]
            if len(blend):
                fine = colour[fraction[here, 0] > 0]
                coarse = texture_at(mips[number + 1], uv[blend])
                colour[fraction[here, 0] > 0] = fine + fraction[blend] * (coarse - fine)
            out[here] = colour
        return out

    @cached_property
    def normal(self) -> F32:
        """(k, 3) unit normals that the surface is lit with, the normal map's where there is one."""
        stage = self._stage
        normal = self.interpolate(stage.asset.normals)
        mips, tangents = stage._normal_mips, stage.asset.tangents
        if mips is not None and tangents is not None:
            # As glTF clients do it: z out of the surface, y up in the picture.
            local = self._filtered(mips) / np.float32(127.5) - 1
            tangent = self.interpolate(tangents)
            bitangent = np.sign(tangent[:, 3:]) * np.cross(normal, tangent[:, :3])
            normal = (
                local[:, :1] * tangent[:, :3] + local[:, 1:2] * bitangent + local[:, 2:] * normal
            )
        away = (normal * self._rays).sum(axis=1) > 0  # smooth normals may lean over the horizon
        normal[away] = self._geometric[away]
        unit: F32 = normal / np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-6)
        return unit

    @cached_property
    def light(self) -> F32:
        """(k,) studio light on a white surface, linear, around 1 where it is brightest."""
        stage, rotation = self._stage, self._camera.world_from_camera[:3, :3]
        normal = self.normal
        sky = self.interpolate(stage.occlusion)
        # A sky brighter above than below, darkened in hollows, then wrapped lights.
        total = _AMBIENT * sky * (0.8 + 0.2 * normal[:, 1])
        for direction, strength in _LIGHTS:
            towards = rotation @ (np.array(direction) / np.linalg.norm(direction))
            wrapped = (normal @ towards.astype(np.float32) + 0.25) / 1.25
            total += strength * np.maximum(wrapped, 0) * (0.35 + 0.65 * sky)
        light: F32 = total.astype(np.float32)
        return light

    def colour(self, look: Look) -> F32:
        """(k, 3) sRGB colours of the surface points in one look."""
        if look.textured and not look.light:
            return self.texture
        if look.textured:
            base = _linear(self.texture)
        else:
            base = np.broadcast_to(np.array(_CLAY, np.float32), (len(self._face), 3))
        gain = 1 + look.light * (self.light - 1)
        if look.textured:
            gain = gain * (1 + 0.12 * look.light)  # gives back what the shading takes on average
        return _encoded(_shoulder(base * gain[:, None]))


def _shoulder(value: F32) -> F32:
    """Roll highlights off above .8 instead of clipping them; 1 is never passed."""
    over = np.maximum(value - np.float32(0.8), 0)
    rolled: F32 = np.minimum(value, np.float32(0.8)) + over / (1 + over / np.float32(0.2))
    return rolled


def _table(function: Callable[[NDArray[np.float64]], NDArray[np.float64]]) -> F32:
    return function(np.linspace(0, 1, 4097)).astype(np.float32)


# The sRGB transfer curve (IEC 61966-2-1) as tables: pow on a million values is the slow part.
_TO_LINEAR = _table(lambda s: np.where(s <= 0.04045, s / 12.92, ((s + 0.055) / 1.055) ** 2.4))
_TO_ENCODED = _table(
    lambda q: np.where(q**2 <= 0.0031308, 12.92 * q**2, 1.055 * q ** (2 / 2.4) - 0.055)
)


def _linear(encoded: F32) -> F32:
    linear: F32 = _TO_LINEAR[np.clip(encoded * 4096 + 0.5, 0, 4096).astype(np.int32)]
    return linear


def _encoded(linear: F32) -> F32:
    # Looked up by the square root, where the curve is nearly straight also in the dark.
    encoded: F32 = _TO_ENCODED[np.clip(np.sqrt(linear) * 4096 + 0.5, 0, 4096).astype(np.int32)]
    return encoded
