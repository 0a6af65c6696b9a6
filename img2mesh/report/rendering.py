"""Pictures of a textured mesh by ray casting: for measuring (unlit) and for looking at (lit)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from img2mesh.artifacts import TexturedMesh
from img2mesh.core.arrays import F32, F64, U8
from img2mesh.core.cameras import Camera
from img2mesh.geometry.mesh import areas, bounds, unit
from img2mesh.geometry.raycast import Hits, Scene, ambient_occlusion
from img2mesh.imaging.colour import linear_to_srgb, over, srgb_to_linear
from img2mesh.imaging.lookup import texture_at

_OCCLUSION_RAYS = 32  # more shows no difference at 384 pixels
Mip = NDArray[np.float32] | NDArray[np.uint8]
_CLAY = (0.60, 0.59, 0.575)  # linear reflectance of the untextured look

# Three lights fixed to the camera, so that every side reads alike: direction in camera axes
# (x right, y up, z towards the viewer) and strength. A large key from above left, a weak fill from
# the right, a rim from behind; chosen by eye.
_LIGHTS = (((-0.6, 0.75, 0.5), 0.78), ((0.85, 0.1, 0.5), 0.12), ((0.35, 0.6, -0.75), 0.25))
_AMBIENT = 0.36


@dataclass(frozen=True)
class Style:
    """How a surface is shown.

    Attributes:
        textured: the asset's texture, or plain clay.
        light: 0 shows the colours as they are, 1 is the full studio light.
    """

    textured: bool = True
    light: float = 0.0


#: Colours as stored: what measurements compare. The texture already carries the views' shading.
UNLIT = Style()
#: Colours gently shaded, enough for the shape to read.
SHADED = Style(light=0.6)
#: The shape alone.
CLAY = Style(textured=False, light=1.0)


def render(
    asset: TexturedMesh,
    camera: Camera,
    *,
    supersample: int = 2,
    lit: bool = False,
    background: ArrayLike | None = None,
) -> tuple[F32, F32]:
    """One picture of the asset; :class:`Renderer` is cheaper for several.

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
    rgb, alpha = Renderer(asset).render(camera, SHADED if lit else UNLIT, supersample=supersample)
    if background is not None:
        rgb = over(rgb, alpha, background)
    return rgb, alpha


class Renderer:
    """An asset set up for pictures: acceleration structure, mip levels and occlusion, made once."""

    def __init__(self, asset: TexturedMesh) -> None:
        self.asset = asset
        self.scene = Scene(asset.vertices, asset.faces)
        low, high = bounds(asset.vertices, asset.faces)
        self.low, self.high = low.astype(np.float64), high.astype(np.float64)

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
        area = areas(self.asset.vertices, self.asset.faces)
        height, width = self.asset.texture.shape[:2]
        uv = self.asset.uv[self.asset.faces].astype(np.float64) * (width, height)
        a, b = uv[:, 1] - uv[:, 0], uv[:, 2] - uv[:, 0]
        texels = np.abs(a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0])
        return np.sqrt(texels / np.maximum(2 * area, 1e-20)).astype(np.float32)

    @cached_property
    def occlusion(self) -> F32:
        """(n,) how much of the sky each vertex sees, 1 = all; nearby surfaces count most."""
        points = self.asset.vertices.astype(np.float64)
        _, first, inverse = np.unique(
            self.asset.source_vertex, return_index=True, return_inverse=True
        )
        # One normal for all copies of a vertex: no seam in the shading.
        normals = [np.bincount(inverse, weights=axis) for axis in self.asset.normals.T]
        mean = unit(np.stack(normals, axis=1))
        return self.ambient_occlusion(points[first], mean, reach=0.5 * self.extent)[inverse]

    def ambient_occlusion(self, points: F64, normals: F64, reach: float) -> F32:
        """Cosine-weighted openness (n,) of points (n, 3); occluders fade out over ``reach``."""
        return ambient_occlusion(
            self.scene,
            points,
            normals,
            flat=normals,
            rays=_OCCLUSION_RAYS,
            reach=reach,
            offset=2e-3 * self.extent,
        )

    def render(
        self, camera: Camera, style: Style = UNLIT, *, supersample: int = 2
    ) -> tuple[F32, F32]:
        """One picture: straight-alpha rgb (h, w, 3) and coverage (h, w), both float32."""
        return self.render_styles(camera, (style,), supersample=supersample)[0]

    def render_styles(
        self, camera: Camera, styles: tuple[Style, ...], *, supersample: int = 2
    ) -> list[tuple[F32, F32]]:
        """The same sight in several styles, for little more than the price of one."""
        fine = camera.resized(camera.width * supersample, camera.height * supersample)
        hits = self.scene.look(fine)
        mask = hits.mask
        hit = Surface(self, fine, hits)
        number = _pooled(mask, supersample)
        alpha: F32 = number / np.float32(supersample**2)
        pictures: list[tuple[F32, F32]] = []
        for style in styles:
            full = np.zeros((*mask.shape, 3), np.float32)
            full[mask] = hit.colour(style)
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

    def __init__(self, renderer: Renderer, camera: Camera, hits: Hits) -> None:
        mask = hits.mask
        self._renderer, self._camera = renderer, camera
        self._face = hits.face[mask]
        self._depth = hits.depth[mask]
        self._geometric = hits.normal[mask]
        self._rays = camera.directions()[mask].astype(np.float32)
        b = hits.barycentric[mask]
        self._corners = renderer.asset.faces[self._face]
        self._weights = (1 - b[:, 0] - b[:, 1], b[:, 0], b[:, 1])

    def interpolate(self, values: F32) -> F32:
        """Vertex values (n, c) or (n,) at the surface points."""
        w = [x.reshape(-1, *([1] * (values.ndim - 1))) for x in self._weights]
        return sum(w[i] * values[self._corners[:, i]] for i in range(1, 3)) + (
            w[0] * values[self._corners[:, 0]]
        )

    @cached_property
    def texture(self) -> F32:
        """(k, 3) texture colours in [0, 1], trilinear between mip levels."""
        return self._filtered(self._renderer._mips) / np.float32(255)

    def _filtered(self, mips: list[Mip]) -> F32:
        """(k, c) values of a picture over the atlas, trilinear between its mip levels."""
        renderer = self._renderer
        uv = self.interpolate(renderer.asset.uv)
        # The side of a pixel on the surface; foreshortening stretches one axis only, so the
        # geometric mean of both footprints carries its square root.
        unit = self._rays / np.linalg.norm(self._rays, axis=1, keepdims=True)
        facing = np.maximum(np.abs((unit * self._geometric).sum(axis=1)), 0.05)
        side = self._depth / np.float32(self._camera.fy) / np.sqrt(facing)
        ratio = np.float32(len(mips[0]) / len(renderer.asset.texture))
        texels = np.maximum(side * renderer._texels_per_unit[self._face] * ratio, 1)
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
        renderer = self._renderer
        normal = self.interpolate(renderer.asset.normals)
        mips, tangents = renderer._normal_mips, renderer.asset.tangents
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
        return unit(normal)

    @cached_property
    def light(self) -> F32:
        """(k,) studio light on a white surface, linear, around 1 where it is brightest."""
        renderer, rotation = self._renderer, self._camera.world_from_camera[:3, :3]
        normal = self.normal
        sky = self.interpolate(renderer.occlusion)
        # A sky brighter above than below, darkened in hollows, then wrapped lights.
        total = _AMBIENT * sky * (0.8 + 0.2 * normal[:, 1])
        for direction, strength in _LIGHTS:
            towards = rotation @ (np.array(direction) / np.linalg.norm(direction))
            wrapped = (normal @ towards.astype(np.float32) + 0.25) / 1.25
            total += strength * np.maximum(wrapped, 0) * (0.35 + 0.65 * sky)
        return total.astype(np.float32)

    def colour(self, style: Style) -> F32:
        """(k, 3) sRGB colours of the surface points in one style."""
        if style.textured and not style.light:
            return self.texture
        if style.textured:
            base = srgb_to_linear(self.texture)
        else:
            base = np.broadcast_to(np.array(_CLAY, np.float32), (len(self._face), 3))
        gain = 1 + style.light * (self.light - 1)
        if style.textured:
            gain = gain * (1 + 0.12 * style.light)  # gives back what the shading takes on average
        return linear_to_srgb(_shoulder(base * gain[:, None]))


def _shoulder(value: F32) -> F32:
    """Roll highlights off above .8 instead of clipping them; 1 is never passed."""
    beyond = np.maximum(value - np.float32(0.8), 0)
    return np.minimum(value, np.float32(0.8)) + beyond / (1 + beyond / np.float32(0.2))
