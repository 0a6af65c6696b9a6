"""UV unwrapping: charts without overlap on one square atlas."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from img2mesh.artifacts import Mesh
from img2mesh.core.arrays import F32, I32
from img2mesh.errors import Img2MeshError
from img2mesh.geometry.mesh import areas

#: Empty texels between charts at 1024 texels, in proportion at other sizes: keeps two mip levels
#: free of the neighbour chart's colour.
GUTTER = 4

#: xatlas packs into a rectangle up to this much larger than the hint (measured: 1.08 to 1.33),
#: which is then scaled down to the square, gutters included.
_SHRINK = 1.3

#: Extents that are unwrapped as they are.
_USUAL = 0.25, 16.0

#: Largest grid that charts are packed on: a finer one takes longer and packs no tighter.
_PACKING = 1024

#: A chart with more than this share of its texels claimed by two faces overlaps itself.
_MOST_CONTESTED = 1e-3

#: A chart with more than this share of its faces folded is cut anew as a whole; of others only
#: the spot is taken out.
_MOST_FOLDED = 0.02


@dataclass(frozen=True)
class Atlas:
    """Where each corner of a mesh lies on the texture; vertices are split at chart borders.

    Attributes:
        faces: (m, 3) int32 into the split vertices, in the mesh's order of faces.
        uv: (n, 2) float32 in [0, 1], origin top left.
        source_vertex: (n,) int32 the mesh's own vertex of each split one.
    """

    faces: I32
    uv: F32
    source_vertex: I32


def unwrap(mesh: Mesh, resolution: int) -> Atlas:
    """Cut a mesh into charts, lay them flat and pack them.

    Cutting (:mod:`.charts`) and flattening (:mod:`.flattening`) are ours, packing is xatlas's.
    Charts that fold or overlap themselves are handed to xatlas to cut and flatten as well.

    Raises:
        Img2MeshError: the packer lost faces.
    """
    from img2mesh.texture.charts import cut
    from img2mesh.texture.flattening import flatten, folded

    mesh = _usual(mesh)
    chart = cut(mesh.vertices, mesh.faces)
    source, faces = _split(mesh.faces, chart)
    uv = flatten(mesh.vertices[source], faces, chart)
    bad = _lost(folded(uv, faces), mesh.faces, chart)
    flat = _Flat(source, faces, _to_scale(uv, mesh.vertices[source], faces, chart), chart)
    if bad.any():
        flat = _cut_by_xatlas(mesh, flat, bad)
    square = _pack(flat, resolution)
    overlapping = _overlapping(square, flat, resolution)
    if overlapping.any():
        flat = _cut_by_xatlas(mesh, flat, overlapping[flat.chart])
        square = _pack(flat, resolution)
    return Atlas(flat.faces, square, flat.source.astype(np.int32))


def _usual(mesh: Mesh) -> Mesh:
    """The mesh at a usual size, by a power of two: xatlas loses faces of tiny ones."""
    extent = float(np.ptp(mesh.vertices, axis=0).max())
    if not extent > 0 or _USUAL[0] <= extent <= _USUAL[1]:
        return mesh
    return Mesh(mesh.vertices * np.float32(2.0 ** -round(float(np.log2(extent)))), mesh.faces)


@dataclass(frozen=True)
class _Flat:
    """Charts laid flat one by one, before they are packed.

    ``source`` (n,) is the mesh's vertex of every split one, ``faces`` (m, 3), ``uv`` (n, 2) in
    world units with each chart in a place of its own or not, ``chart`` (m,).
    """

    source: NDArray[np.int64]
    faces: I32
    uv: NDArray[np.float64]
    chart: NDArray[np.int64]


def _split(faces: I32, chart: NDArray[np.int64]) -> tuple[NDArray[np.int64], I32]:
    """One vertex for every chart it borders: its source (n,) and the faces that name it (m, 3)."""
    count = int(faces.max()) + 1
    key, number = np.unique(chart[:, None] * count + faces, return_inverse=True)
    return key % count, number.reshape(faces.shape).astype(np.int32)


def _to_scale(
    uv: NDArray[np.float64],
    points: NDArray[np.floating],
    faces: I32,
    chart: NDArray[np.int64],
) -> NDArray[np.float64]:
    """Every chart as large as the surface it shows, in world units."""
    true = np.bincount(chart, areas(points, faces))
    a, b, c = (uv[faces[:, k]] for k in range(3))
    ab, ac = b - a, c - a
    shown = np.bincount(chart, np.abs(ab[:, 0] * ac[:, 1] - ab[:, 1] * ac[:, 0])) / 2
    scale = np.sqrt(true / np.maximum(shown, 1e-30))
    of_vertex = np.zeros(len(uv), np.int64)
    of_vertex[faces] = chart[:, None]
    return uv * scale[of_vertex][:, None]


def _lost(bad: NDArray[np.bool_], faces: I32, chart: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Faces to flatten anew: the folded ones and their neighbours, or the whole chart."""
    touched = np.zeros(int(faces.max()) + 1, bool)
    touched[faces[bad]] = True
    near = touched[faces].any(axis=1) & (np.bincount(chart, bad)[chart] > 0)
    many = np.bincount(chart, bad) > _MOST_FOLDED * np.bincount(chart)
    return near | many[chart]


def _cut_by_xatlas(mesh: Mesh, flat: _Flat, again: NDArray[np.bool_]) -> _Flat:
    """The same charts, with the faces marked (m,) cut and flattened anew by xatlas."""
    import xatlas

    used, faces = np.unique(mesh.faces[again], return_inverse=True)
    faces = faces.reshape(-1, 3)
    packer = xatlas.Atlas()
    packer.add_mesh(np.ascontiguousarray(mesh.vertices[used], np.float32), faces.astype(np.uint32))
    packer.generate(xatlas.ChartOptions(), xatlas.PackOptions())
    back, new_faces, uv = packer.get_mesh(0)
    _check(np.array_equal(back[new_faces], faces))
    # Faces without area belong to no chart of xatlas: they get one together.
    count = packer.get_mesh_chart_count(0)
    number = np.full(len(new_faces), count, np.int64)
    for k in range(count):
        number[packer.get_mesh_chart(0, k).faces] = k
    size = np.array([packer.width, packer.height], np.float64)
    uv = _to_scale(uv * size, mesh.vertices[used[back]], new_faces.astype(np.int32), number)
    kept_vertices, kept_faces = np.unique(flat.faces[~again], return_inverse=True)
    all_faces = np.empty_like(flat.faces)
    all_faces[~again] = kept_faces.reshape(-1, 3)
    all_faces[again] = new_faces + len(kept_vertices)
    chart = flat.chart.copy()
    chart[again] = number + int(flat.chart.max()) + 1
    return _Flat(
        np.concatenate([flat.source[kept_vertices], used[back]]),
        all_faces,
        np.concatenate([flat.uv[kept_vertices], uv]),
        np.unique(chart, return_inverse=True)[1],
    )


def _pack(flat: _Flat, resolution: int) -> F32:
    """(n, 2) the charts side by side in the unit square, origin top left, gutters between."""
    import xatlas

    packing = xatlas.PackOptions()
    packing.resolution = min(resolution, _PACKING)
    packing.padding = int(np.ceil(_SHRINK * max(GUTTER * packing.resolution / 1024, 2)))
    packer = xatlas.Atlas()
    packer.add_uv_mesh(
        np.ascontiguousarray(flat.uv, np.float32),
        np.ascontiguousarray(flat.faces, np.uint32),
        np.ascontiguousarray(flat.chart[:, None], np.uint32),
    )
    packer.generate(xatlas.ChartOptions(), packing)
    back, faces, uv = packer.get_mesh(0)
    _check(packer.atlas_count == 1 and np.array_equal(back[faces], flat.faces))
    # Back to texels of xatlas's own rectangle, whose longer side becomes the atlas side.
    size = np.array([packer.width, packer.height], np.float64)
    square = np.empty((len(flat.uv), 2))
    square[back] = np.clip(uv * size / size.max(), 0, 1)
    square[:, 1] = 1 - square[:, 1]  # xatlas counts v upwards (and mirrors some charts to pack)
    return square.astype(np.float32)


def _check(complete: bool) -> None:
    if not complete:
        raise Img2MeshError("the mesh could not be unwrapped on one atlas; use fewer faces")


def _overlapping(uv: F32, flat: _Flat, resolution: int) -> NDArray[np.bool_]:
    """Which charts have texels that two of their faces claim: more than noise at borders."""
    from img2mesh.texture.raster import rasterise

    texels = rasterise(uv, flat.faces, resolution)
    count = int(flat.chart.max()) + 1
    chart = flat.chart[texels.face[texels.inside]]
    twice = np.bincount(chart, texels.contested[texels.inside], count)
    return twice > np.maximum(_MOST_CONTESTED * np.bincount(chart, minlength=count), 1)
