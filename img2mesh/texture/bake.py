"""Painting: every texel from the views that see it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from img2mesh.artifacts import Mesh, TexturedMesh, ViewSet
from img2mesh.core.arrays import F32, OUTSIDE, SEEN_IN_PHOTO, SEEN_IN_VIEWS, U8, UNSEEN
from img2mesh.geometry.raycast import Scene
from img2mesh.texture.atlas import Atlas, vertex_normals
from img2mesh.texture.colours import VertexColours, settle
from img2mesh.texture.delighting import light, mean_level, without_light
from img2mesh.texture.inpainting import detail
from img2mesh.texture.maps import padded
from img2mesh.texture.projection import SHARPEN, weigh
from img2mesh.texture.raster import Texels, rasterise
from img2mesh.texture.sources import Source, blurred, doubled, look_up, pixel_size, prepare

#: Rays start this share of the diagonal off the surface, so that a face does not hide itself.
_OFFSET = 1e-3

#: The rim's detail fades into the unseen over this many typical edges (PSNR of unseen texels of
#: four objects with 0, 1, 2, 4 and 8: 17.6, 18.9, 19.2, 19.3 and 19.1 dB).
_REACH = 3.0

#: Pictures whose pixels are larger than 1 / this texels are interpolated smoothly (held-out PSNR
#: of exact views +0.15 dB, in the photo +0.6 dB).
_MAGNIFIED = 0.8

#: Summed weight at which a seen texel trusts its pixels and the smooth fill equally.
_HALF_TRUST = 0.002


def bake(
    mesh: Mesh,
    atlas: Atlas,
    views: ViewSet,
    *,
    resolution: int,
    name: str,
    delight: bool = False,
    progress: Callable[[float], None],
) -> TexturedMesh:
    """Paint an unwrapped mesh from the posed views.

    Args:
        mesh: closed surface.
        atlas: its unwrapping.
        views: what to paint with.
        resolution: side of the square atlas.
        name: of the object.
        delight: take the views' smooth light out of the colours.
        progress: told the fraction done.
    """
    scene = Scene(mesh.vertices, mesh.faces)
    normals = vertex_normals(mesh.vertices, mesh.faces)
    diagonal = float(np.linalg.norm(np.ptp(mesh.vertices[np.unique(mesh.faces)], axis=0)))
    sources = [
        prepare(view, scene, diagonal=diagonal, is_photo=k >= len(views))
        for k, view in enumerate(views.posed)
    ]
    progress(0.2)
    texels = rasterise(atlas.uv, atlas.faces, resolution)
    points = texels.interpolate(mesh.faces, mesh.vertices)
    directions = texels.interpolate(mesh.faces, normals)
    directions /= np.maximum(np.linalg.norm(directions, axis=1, keepdims=True), 1e-12)
    texel = _texel_size(mesh, texels)
    settled = settle(
        mesh,
        normals,
        scene,
        sources,
        spacing=float(np.sqrt(_area(mesh) / len(mesh.vertices))),
        offset=_OFFSET * diagonal,
        exact=views.provenance.exact,
    )
    progress(0.5)

    painted = np.zeros((len(points), 3), np.float32)
    sharp = np.zeros(len(points), np.float32)
    plain = np.zeros(len(points), np.float32)
    coverage = np.full(len(points), UNSEEN, np.uint8)
    for k, source in enumerate(sources):
        seen, uv, weight = weigh(source, scene, points, directions, offset=_OFFSET * diagonal)
        uv = settled.warps[k](uv) if settled.warps else uv
        share = weight**SHARPEN
        painted[seen] += share[:, None] * settled.gains[k] * _sampled(source, uv, texel, points)
        sharp[seen] += share
        plain[seen] += weight
        coverage[seen] = np.maximum(
            coverage[seen], SEEN_IN_PHOTO if source.is_photo else SEEN_IN_VIEWS
        )
        progress(0.5 + 0.4 * (k + 1) / len(sources))
    painted /= np.maximum(sharp, 1e-20)[:, None]
    painted += texels.interpolate(mesh.faces, settled.correction)
    belief = (plain / (plain + _HALF_TRUST))[:, None]
    colour = (
        belief * painted + (1 - belief) * texels.interpolate(mesh.faces, settled.smooth)
    ).astype(np.float32)

    trusted = belief[:, 0] > 0.5
    colour = _filled(mesh, texels, points, directions, coverage, trusted, colour, settled.smooth)
    notes = (*settled.notes, *_notes(texels, coverage))
    if delight:
        colour, note = _delit(mesh, normals, settled, colour, directions)
        notes = (*notes, note)
    return TexturedMesh(
        vertices=mesh.vertices[atlas.source_vertex],
        faces=atlas.faces,
        uv=atlas.uv,
        normals=normals[atlas.source_vertex],
        texture=padded(texels, _bytes(colour), resolution),
        coverage=_coverage(texels, coverage, resolution),
        source_vertex=atlas.source_vertex,
        name=name,
        notes=(*mesh.notes, *notes),
    )


def _filled(
    mesh: Mesh,
    texels: Texels,
    points: F32,
    directions: F32,
    coverage: U8,
    trusted: NDArray[np.bool_],
    colour: F32,
    smooth: F32,
) -> F32:
    """Colours with the rim's detail carried on into what nobody saw."""
    unseen = coverage == UNSEEN
    # Faces around those with unseen texels: enough rim, and few enough texels to search.
    near = np.zeros(len(mesh.vertices), bool)
    near[mesh.faces[np.unique(texels.face[unseen])]] = True
    rim: NDArray[np.bool_] = np.any(near[mesh.faces], axis=1)
    known, wanted = np.flatnonzero(rim[texels.face] & trusted), np.flatnonzero(unseen)
    rest = colour - texels.interpolate(mesh.faces, smooth)
    reach = _REACH * float(np.sqrt(_area(mesh) / len(mesh.vertices)))
    out = colour.copy()
    out[wanted] += detail(points, directions, rest, known, wanted, reach=reach)
    return out


def _delit(
    mesh: Mesh,
    normals: F32,
    settled: VertexColours,
    colour: F32,
    directions: F32,
) -> tuple[F32, str]:
    """Texel colours without the light that the vertices show, and a note on it."""
    smooth, seen = settled.smooth, settled.seen
    found = light(mesh.faces, normals, smooth, seen)
    around = mean_level(normals, found, seen.astype(np.float64))
    after = without_light(smooth, normals, found, level=around)[seen]
    change = float(after.std() / max(smooth[seen].std(), 1e-6)) if len(after) else 1.0
    note = f"the views' smooth light was divided out; the colours vary {change:.0%} as much"
    return without_light(colour, directions, found, level=around), note


def _sampled(source: Source, uv: NDArray[np.float64], texel: float, points: F32) -> F32:
    """A picture's colours at pixel coordinates, filtered for texels of this world size.

    A box of r pixels (the texel's footprint) has standard deviation r / sqrt(12); bilinear
    interpolation already smooths like r = 1. Magnified pictures are doubled instead.
    """
    footprint = texel / pixel_size(source, points)
    if footprint < _MAGNIFIED:
        return look_up(doubled(source.rgb), 2 * uv)
    return look_up(blurred(source.rgb, float(np.sqrt(max(footprint**2 - 1, 0) / 12))), uv)


def _area(mesh: Mesh) -> float:
    a, b, c = (mesh.vertices[mesh.faces[:, k]].astype(np.float64) for k in range(3))
    return float(np.linalg.norm(np.cross(b - a, c - a), axis=1).sum() / 2)


def _texel_size(mesh: Mesh, texels: Texels) -> float:
    """World size of a texel: the charts are packed at one scale."""
    return float(np.sqrt(_area(mesh) / max(int(texels.inside.sum()), 1)))


def _bytes(colour: F32) -> U8:
    return np.round(np.clip(colour, 0, 1) * 255).astype(np.uint8)


def _coverage(texels: Texels, coverage: U8, resolution: int) -> U8:
    out = np.full(resolution * resolution, OUTSIDE, np.uint8)
    out[texels.index[texels.inside]] = coverage[texels.inside]
    return out.reshape(resolution, resolution)


def _notes(texels: Texels, coverage: U8) -> tuple[str, ...]:
    inside = coverage[texels.inside]
    unseen = float((inside == UNSEEN).mean())
    notes = []
    if unseen > 0.005:
        notes.append(f"{unseen:.0%} of the surface was seen in no view and is filled in")
    if texels.overlap > 1e-3:
        notes.append(f"{texels.overlap:.1%} of the texture is claimed by more than one chart")
    return tuple(notes)
