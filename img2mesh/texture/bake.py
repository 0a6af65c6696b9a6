"""Painting: every texel from the views that see it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from img2mesh.artifacts import Mesh, TexturedMesh, ViewSet
from img2mesh.core.arrays import F32, OUTSIDE, SEEN_IN_PHOTO, SEEN_IN_VIEWS, U8, UNSEEN
from img2mesh.geometry.mesh import areas, diagonal, unit, vertex_normals
from img2mesh.geometry.raycast import Scene
from img2mesh.imaging.lookup import texels_at
from img2mesh.texture.atlas import Atlas
from img2mesh.texture.delighting import light, mean_level, without_light
from img2mesh.texture.inpainting import detail
from img2mesh.texture.maps import padded
from img2mesh.texture.projection import SHARPEN, weigh
from img2mesh.texture.raster import Texels, rasterise
from img2mesh.texture.sources import Source, blurred, doubled, pixel_size, prepare
from img2mesh.texture.vertex_colours import VertexColours, solve_vertex_colours

#: Rays start this share of the diagonal off the surface, so that a face does not hide itself.
_OFFSET = 1e-3

#: The rim's detail fades into the unseen over this many typical edges (``docs/texture.md``).
_REACH = 3.0

#: Pictures whose pixels are larger than 1 / this texels are interpolated smoothly (held-out PSNR
#: of exact views +0.15 dB, in the photo +0.6 dB).
_MAGNIFIED = 0.8

#: Summed weight at which a seen texel trusts its pixels and the smooth fill equally.
_HALF_CONFIDENCE = 0.002


def bake(
    mesh: Mesh,
    atlas: Atlas,
    views: ViewSet,
    *,
    resolution: int,
    delight: bool,
    progress: Callable[[float], None],
) -> TexturedMesh:
    """Paint an unwrapped mesh from the posed views.

    Args:
        mesh: closed surface.
        atlas: its unwrapping.
        views: what to paint with.
        resolution: side of the square atlas.
        delight: take the views' smooth light out of the colours.
        progress: told the fraction done.
    """
    scene = Scene(mesh.vertices, mesh.faces)
    normals = vertex_normals(mesh.vertices, mesh.faces)
    size = diagonal(mesh.vertices, mesh.faces)
    sources = [
        prepare(view, scene, diagonal=size, is_photo=k >= len(views))
        for k, view in enumerate(views.posed)
    ]
    progress(0.2)
    texels = rasterise(atlas.uv, atlas.faces, resolution)
    points = texels.interpolate(mesh.faces, mesh.vertices)
    directions = unit(texels.interpolate(mesh.faces, normals))
    texel = _texel_size(mesh, texels)
    solved = solve_vertex_colours(
        mesh,
        normals,
        scene,
        sources,
        spacing=_spacing(mesh),
        offset=_OFFSET * size,
        exact=views.provenance.exact,
    )
    progress(0.5)

    painted = np.zeros((len(points), 3), np.float32)
    sharp = np.zeros(len(points), np.float32)
    plain = np.zeros(len(points), np.float32)
    coverage = np.full(len(points), UNSEEN, np.uint8)
    for k, source in enumerate(sources):
        seen, uv, weight = weigh(source, scene, points, directions, offset=_OFFSET * size)
        uv = solved.warps[k](uv) if solved.warps else uv
        share = weight**SHARPEN
        painted[seen] += share[:, None] * solved.gains[k] * _sampled(source, uv, texel, points)
        sharp[seen] += share
        plain[seen] += weight
        coverage[seen] = np.maximum(
            coverage[seen], SEEN_IN_PHOTO if source.is_photo else SEEN_IN_VIEWS
        )
        progress(0.5 + 0.4 * (k + 1) / len(sources))
    painted /= np.maximum(sharp, 1e-20)[:, None]
    painted += texels.interpolate(mesh.faces, solved.correction)
    confidence = (plain / (plain + _HALF_CONFIDENCE))[:, None]
    colour = (
        confidence * painted + (1 - confidence) * texels.interpolate(mesh.faces, solved.smooth)
    ).astype(np.float32)

    sure = confidence[:, 0] > 0.5
    colour = _filled(mesh, texels, points, directions, coverage, sure, colour, solved.smooth)
    notes = (*solved.notes, *_notes(texels, coverage))
    if delight:
        colour, note = _delit(mesh, normals, solved, colour, directions)
        notes = (*notes, note)
    return TexturedMesh(
        vertices=mesh.vertices[atlas.source_vertex],
        faces=atlas.faces,
        uv=atlas.uv,
        normals=normals[atlas.source_vertex],
        texture=padded(texels, _bytes(colour), resolution),
        coverage=_coverage(texels, coverage, resolution),
        source_vertex=atlas.source_vertex,
        notes=(*mesh.notes, *notes),
    )


def _filled(
    mesh: Mesh,
    texels: Texels,
    points: F32,
    directions: F32,
    coverage: U8,
    sure: NDArray[np.bool_],
    colour: F32,
    smooth: F32,
) -> F32:
    """Colours with the rim's detail carried on into what nobody saw."""
    unseen = coverage == UNSEEN
    # Faces around those with unseen texels: enough rim, and few enough texels to search.
    near = np.zeros(len(mesh.vertices), bool)
    near[mesh.faces[np.unique(texels.face[unseen])]] = True
    rim: NDArray[np.bool_] = np.any(near[mesh.faces], axis=1)
    known, wanted = np.flatnonzero(rim[texels.face] & sure), np.flatnonzero(unseen)
    rest = colour - texels.interpolate(mesh.faces, smooth)
    reach = _REACH * _spacing(mesh)
    out = colour.copy()
    out[wanted] += detail(points, directions, rest, known, wanted, reach=reach)
    return out


def _delit(
    mesh: Mesh,
    normals: F32,
    solved: VertexColours,
    colour: F32,
    directions: F32,
) -> tuple[F32, str]:
    """Texel colours without the light that the vertices show, and a note on it."""
    smooth, seen = solved.smooth, solved.seen
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
        return texels_at(doubled(source.rgb), 2 * uv)
    return texels_at(blurred(source.rgb, float(np.sqrt(max(footprint**2 - 1, 0) / 12))), uv)


def _area(mesh: Mesh) -> float:
    return float(areas(mesh.vertices, mesh.faces).sum())


def _spacing(mesh: Mesh) -> float:
    """Typical distance between vertices."""
    return float(np.sqrt(_area(mesh) / len(mesh.vertices)))


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
