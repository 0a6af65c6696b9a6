"""What the views say of the mesh's vertices: registered, exposed alike, levelled, completed.

All that couples views or spreads over the surface is settled here, on the vertices; texels then
only look up and blend.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from img2mesh.artifacts import Mesh
from img2mesh.core.arrays import F32
from img2mesh.geometry.raycast import Scene
from img2mesh.texture.alignment import Look, Warp, align, moved
from img2mesh.texture.inpainting import membrane
from img2mesh.texture.levelling import exposure_gains, level
from img2mesh.texture.projection import SHARPEN, weigh
from img2mesh.texture.sources import Source, blurred, look_up, pixel_size

Floats = NDArray[np.float64]

#: Views that the registration moves by less than this (root mean square, in pixels of a picture of
#: 320) agree already. Eight objects: exact views on true and on fitted meshes 0.1 to 0.2, views
#: warped by 1.5 pixels 0.7 and more.
_IN_REGISTER = 0.4


@dataclass(frozen=True)
class VertexColours:
    """The views' common word on n vertices.

    Attributes:
        smooth: (n, 3) levelled low-frequency colour of every vertex, seen or not.
        correction: (n, 3) what levelling adds to the blend of the views.
        gains: (s, 3) factor of each source.
        warps: of each source; None where the views agree already.
        seen: (n,) bool.
        notes: sentences for the user.
    """

    smooth: F32
    correction: F32
    gains: F32
    warps: list[Warp] | None
    seen: NDArray[np.bool_]
    notes: tuple[str, ...] = ()


def settle(
    mesh: Mesh,
    normals: F32,
    scene: Scene,
    sources: list[Source],
    *,
    spacing: float,
    offset: float,
    exact: bool,
) -> VertexColours:
    """Make the sources agree on the vertices.

    Args:
        mesh: closed surface.
        normals: (n, 3) of its vertices.
        scene: the same, for occlusion.
        sources: prepared views.
        spacing: typical distance of vertices.
        offset: world units by which rays start off the surface.
        exact: what the views' maker says; believed only if the pictures bear it out.
    """
    count = len(mesh.vertices)
    weights = np.zeros((len(sources), count))
    looks = []
    for k, source in enumerate(sources):
        look = Look(*weigh(source, scene, mesh.vertices, normals, offset=offset))
        looks.append(look)
        weights[k][look.seen] = look.weight
    low = [blurred(s.rgb, 0.5 * spacing / pixel_size(s, mesh.vertices)) for s in sources]
    photo = np.array([source.is_photo for source in sources])
    colours = _colours(low, looks, None, count)
    gains = exposure_gains(colours, weights, photo)
    warps: list[Warp] | None = align(sources, looks, gains, count)
    assert warps is not None
    off = moved(warps, sources, looks)
    notes: tuple[str, ...] = ()
    if off > _IN_REGISTER:
        notes = (f"the views disagreed by about {off:.1f} pixels and were brought into register",)
        colours = _colours(low, looks, warps, count)
        gains = exposure_gains(colours, weights, photo)
    else:
        warps = None
        if exact:
            gains = np.ones_like(gains)
    shares = weights**SHARPEN
    shares /= np.maximum(shares.sum(axis=0), 1e-30)
    smooth, correction = level(mesh.faces, colours * gains[:, None], shares, photo)
    seen = weights.max(axis=0) > 0
    smooth = membrane(mesh, smooth, seen)
    return VertexColours(smooth, correction, gains.astype(np.float32), warps, seen, notes)


def _colours(low: list[F32], looks: list[Look], warps: list[Warp] | None, count: int) -> Floats:
    """(s, n, 3) what each source shows at each vertex; 0 where it does not see."""
    out = np.zeros((len(low), count, 3))
    for k, look in enumerate(looks):
        out[k][look.seen] = look_up(low[k], warps[k](look.uv) if warps else look.uv)
    return out
