"""Levels of detail that keep the texture: fewer faces over the same vertices and the same uv.

meshoptimizer's edge collapse joins vertices that exist, on both sides of a chart border at once:
every level is closed where the mesh is, and its uv and textures are the mesh's own.
``docs/game-assets.md`` compares it with MeshLab's textured collapse.
"""

from __future__ import annotations

import ctypes

import numpy as np
from numpy.typing import NDArray

from img2mesh.artifacts import TexturedMesh
from img2mesh.artifacts.game import Lod
from img2mesh.core.arrays import I32
from img2mesh.errors import InputError, missing_extra
from img2mesh.geometry.mesh import diagonal, sample_surface
from img2mesh.geometry.raycast import Scene

#: The fewest faces a level may ask for: a tetrahedron.
_FEWEST = 4

#: What a shift in the texture counts against one in space, either of size one. Without it, charts
#: of coarse levels fold over each other (measured in ``docs/game-assets.md``).
_UV_WEIGHT = 60.0

#: Points on each surface that its distance from the other is measured at: with so many, the
#: largest distance found is within a few per cent of what ever more points would find.
_SAMPLES = 300_000


def levels_of_detail(
    asset: TexturedMesh, *, count: int, ratio: float
) -> tuple[tuple[Lod, ...], tuple[str, ...]]:
    """``count`` coarser versions, each with ``ratio`` times the faces of the one before.

    The stated errors grow along the chain: where a coarser level happens to measure better than
    the one before, it states that one's error.

    Returns:
        the levels, finest first, and notes where a budget could not be met.

    Raises:
        InputError: count or ratio out of range.
        MissingExtraError: meshoptimizer is not installed.
    """
    if count < 0 or count > 8:
        raise InputError(f"the number of levels of detail must be 0 to 8, got {count}")
    if not 0.05 <= ratio <= 0.95:
        raise InputError(f"the ratio between levels of detail must be 0.05 to 0.95, got {ratio:g}")
    size = diagonal(asset.vertices, asset.faces)
    levels: list[Lod] = []
    notes: list[str] = []
    mean = largest = 0.0
    for number in range(1, count + 1):
        target = round(len(asset.faces) * ratio**number)
        if target < _FEWEST:
            notes.append(f"LOD {number} is left out: {target} faces make no body")
            break
        faces = simplified(asset, target)
        if len(faces) > 1.01 * target + 1:
            notes.append(
                f"LOD {number} has {len(faces)} faces instead of {target}: "
                "fewer would tear the texture apart"
            )
        distances = apart(asset, faces)
        mean = max(mean, 100 * float(distances.mean()) / size)
        largest = max(largest, 100 * float(distances.max()) / size)
        levels.append(Lod(faces, target, round(mean, 5), round(largest, 5)))
    return tuple(levels), tuple(notes)


def simplified(asset: TexturedMesh, target: int) -> I32:
    """At most ``target`` faces (m, 3) over the asset's own vertices, if chart borders allow it."""
    try:
        import meshoptimizer
    except ImportError as cause:
        raise missing_extra("meshoptimizer", extra="lods", purpose="levels of detail") from cause

    indices = np.ascontiguousarray(asset.faces.reshape(-1), np.uint32)
    positions = np.ascontiguousarray(asset.vertices, np.float32)
    uv, weights = np.ascontiguousarray(asset.uv, np.float32), np.full(2, _UV_WEIGHT, np.float32)
    result = np.zeros_like(indices)
    # The binding declares no C types for this function, so that plain numbers would be handed over
    # at the wrong width: all of them are given, as what the C header says.
    size = ctypes.c_size_t
    kept = meshoptimizer.simplify_with_attributes(
        result,
        indices,
        positions,
        uv,
        weights,
        index_count=size(indices.size),
        vertex_count=size(len(positions)),
        vertex_positions_stride=size(positions.strides[0]),
        vertex_attributes_stride=size(uv.strides[0]),
        attribute_count=size(len(weights)),
        target_index_count=size(3 * target),
        # The budget decides; the error is measured and stated.
        target_error=ctypes.c_float(1e9),
        options=ctypes.c_uint(0),
    )
    return _without_twins(asset, result[:kept].reshape(-1, 3).astype(np.int32))


def _without_twins(asset: TexturedMesh, faces: I32) -> I32:
    """Faces without pairs back to back on the same three points: nothing lies between them.

    A thin stem may collapse into such a pair; clients drop one of the two, which opens the body.
    """
    key = np.sort(asset.source_vertex[faces], axis=1)
    _, group, count = np.unique(key, axis=0, return_inverse=True, return_counts=True)
    return faces[count[group.reshape(-1)] != 2]


def apart(asset: TexturedMesh, faces: I32) -> NDArray[np.float64]:
    """Distances between the asset's surface and that of other faces on its vertices, both ways.

    Measured at points spread evenly over either surface and at the asset's vertices.
    """
    both = (asset.faces, faces)
    scenes = [Scene(asset.vertices, each) for each in both]
    found = []
    for own, other in ((0, 1), (1, 0)):
        points, _ = sample_surface(asset.vertices, both[own], _SAMPLES, np.random.default_rng(0))
        if own == 0:
            points = np.concatenate([points, asset.vertices[np.unique(asset.faces)]])
        nearest, _ = scenes[other].closest(points)
        found.append(np.linalg.norm(nearest - points, axis=1))
    return np.concatenate(found)
