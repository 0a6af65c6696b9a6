"""What the views show at the mesh's vertices: registered, exposed alike, levelled, completed.

All that couples views or spreads over the surface is solved here, on the vertices; texels then
only look up and blend.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from img2mesh.artifacts import Mesh
from img2mesh.core.arrays import F32
from img2mesh.geometry.raycast import Scene
from img2mesh.imaging.lookup import texels_at
from img2mesh.texture.alignment import Visibility, Warp, align, moved
from img2mesh.texture.inpainting import membrane
from img2mesh.texture.projection import SHARPEN, weigh
from img2mesh.texture.seam_levelling import exposure_gains, level_seams
from img2mesh.texture.sources import Source, blurred, pixel_size

Floats = NDArray[np.float64]

#: Views that the registration moves by less than this (root mean square, in pixels of a picture of
#: 320) agree already. Eight objects: exact views on true and on fitted meshes 0.1 to 0.2, views
#: warped by 1.5 pixels 0.7 and more.
_IN_REGISTER = 0.4


@dataclass(frozen=True)
class VertexColours:
    """What the views agree on at n vertices.

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


def solve_vertex_colours(
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
        exact: what the views' maker says; taken over only if the pictures bear it out.
    """
    count = len(mesh.vertices)
    weights = np.zeros((len(sources), count))
    visible = []
    for k, source in enumerate(sources):
        view = Visibility(*weigh(source, scene, mesh.vertices, normals, offset=offset))
        visible.append(view)
        weights[k][view.seen] = view.weight
    low = [blurred(s.rgb, 0.5 * spacing / pixel_size(s, mesh.vertices)) for s in sources]
    photo = np.array([source.is_photo for source in sources])
    colours = _colours(low, visible, None, count)
    gains = exposure_gains(colours, weights, photo)
    warps: list[Warp] | None = align(sources, visible, gains, count)
    assert warps is not None
    off = moved(warps, sources, visible)
    notes: tuple[str, ...] = ()
    if off > _IN_REGISTER:
        notes = (f"the views disagreed by about {off:.1f} pixels and were brought into register",)
        colours = _colours(low, visible, warps, count)
        gains = exposure_gains(colours, weights, photo)
    else:
        warps = None
        if exact:
            gains = np.ones_like(gains)
    shares = weights**SHARPEN
    shares /= np.maximum(shares.sum(axis=0), 1e-30)
    smooth, correction = level_seams(mesh.faces, colours * gains[:, None], shares, photo)
    seen = weights.max(axis=0) > 0
    smooth = membrane(mesh, smooth, seen)
    return VertexColours(smooth, correction, gains.astype(np.float32), warps, seen, notes)


def _colours(
    low: list[F32], visible: list[Visibility], warps: list[Warp] | None, count: int
) -> Floats:
    """(s, n, 3) what each source shows at each vertex; 0 where it does not see."""
    out = np.zeros((len(low), count, 3))
    for k, view in enumerate(visible):
        out[k][view.seen] = texels_at(low[k], warps[k](view.uv) if warps else view.uv)
    return out
