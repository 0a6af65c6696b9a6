"""Convex bodies that stand in for a mesh in collisions (approximate convex decomposition).

CoACD (Wei et al., "Approximate Convex Decomposition for 3D Meshes with Collision-Aware Concavity
and Tree Search", SIGGRAPH 2022) cuts the body into nearly convex parts. Each part's hull is then
brought down to the vertex limit from inside and grown until the set holds the surface again.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from img2mesh.artifacts import Mesh, TexturedMesh
from img2mesh.core.arrays import F64
from img2mesh.errors import Img2MeshError, InputError, missing_extra
from img2mesh.geometry.mesh import area_vectors, compact, sample_surface, volume
from img2mesh.geometry.raycast import Scene
from img2mesh.geometry.topology import topology
from img2mesh.io.glb_container import Block, clean_name, pack, version

#: Faces of the body that is cut at most: more cost time and change nothing at this concavity.
_FACES = 6000

#: Concavity below which a part is left whole, as a share of CoACD's unit box.
_CONCAVITY = 0.05

#: The surface counts as enclosed up to this share of the diagonal outside the hulls.
TOLERANCE = 0.02

#: What must be enclosed, and how far hulls are grown for it at most.
_ENCLOSED, _GROWTH = 0.995, np.linspace(1, 1.15, 16)

_SAMPLES = 30_000


def collision_hulls(
    asset: TexturedMesh, *, hulls: int, vertices: int
) -> tuple[tuple[Mesh, ...], float]:
    """At most ``hulls`` convex bodies of at most ``vertices`` corners that hold the asset.

    Returns:
        the hulls in the asset's frame, largest first, and the share of the asset's surface inside
        them or at most ``TOLERANCE`` of the diagonal outside.

    Raises:
        InputError: a limit out of range.
        MissingExtraError: coacd is not installed.
        Img2MeshError: the body could not be cut into convex parts.
    """
    if not 1 <= hulls <= 256:
        raise InputError(f"the number of collision hulls must be 1 to 256, got {hulls}")
    if not 4 <= vertices <= 256:
        raise InputError(f"a collision hull takes 4 to 256 vertices, got {vertices}")
    parts = [reduced(part, vertices) for part in decompose(asset, hulls)]
    points, _ = sample_surface(asset.vertices, asset.faces, _SAMPLES, np.random.default_rng(0))
    slack = TOLERANCE * float(np.linalg.norm(np.ptp(points, axis=0)))
    for growth in _GROWTH:
        bodies = [_hull(_grown(part, growth)) for part in parts]
        share = enclosed(bodies, points, slack)
        if share >= _ENCLOSED:
            break
    bodies.sort(key=lambda body: volume(body.vertices, body.faces), reverse=True)
    return tuple(bodies), round(share, 5)


def decompose(asset: TexturedMesh, hulls: int) -> list[F64]:
    """The corners (k, 3) of nearly convex parts of the asset.

    Raises:
        MissingExtraError: coacd is not installed.
        Img2MeshError: coacd found no parts.
    """
    # Loaded before coacd: the other way round open3d fails with std::bad_cast, as both bring their
    # own C++ runtime and the first one serves both.
    import open3d  # noqa: F401

    try:
        import coacd
    except ImportError as cause:
        raise missing_extra("coacd", extra="collision", purpose="collision hulls") from cause
    import fast_simplification

    joined = asset.joined
    body, faces = joined.vertices, joined.faces
    if len(faces) > _FACES:
        fewer, triangles = fast_simplification.simplify(
            body.copy(), faces.copy(), target_count=_FACES
        )
        kept = topology(triangles)
        if kept.watertight and kept.winding_consistent:  # else CoACD would remesh, slowly
            body, faces = fewer, triangles
    # CoACD measures concavity in its own units: the body is handed over at unit size.
    low, size = body.min(axis=0).astype(np.float64), float(np.ptp(body, axis=0).max())
    coacd.set_log_level("error")
    parts = coacd.run_coacd(
        coacd.Mesh((body - low) / size, np.asarray(faces, np.int32)),
        threshold=_CONCAVITY,
        max_convex_hull=hulls,
        preprocess_mode="auto",
        resolution=1000,
        mcts_iterations=60,
        mcts_nodes=15,
        seed=0,
    )
    found = [np.asarray(points, np.float64) * size + low for points, _ in parts]
    found = [points for points in found if _solid(points)]
    if not found:
        raise Img2MeshError("the mesh could not be cut into convex parts; leave out --collision")
    return found[:hulls]


def reduced(points: F64, limit: int) -> F64:
    """The corners (k, 3) of a convex body, at most ``limit``: always the farthest out is next.

    A body of fewer corners lies inside; it is grown to the volume of the whole.
    """
    from scipy.spatial import ConvexHull

    whole = ConvexHull(points)
    corners = points[whole.vertices]
    if len(corners) <= limit:
        return corners
    chosen = _first_four(corners)
    while len(chosen) < limit:
        planes = ConvexHull(corners[chosen]).equations
        outside = (corners @ planes[:, :3].T + planes[:, 3]).max(axis=1)
        outside[chosen] = -np.inf
        chosen.append(int(outside.argmax()))
    few = corners[chosen]
    return _grown(few, float(np.cbrt(whole.volume / ConvexHull(few).volume)))


def enclosed(hulls: list[Mesh], points: F64, slack: float) -> float:
    """Share of the points (n, 3) inside a hull or at most ``slack`` away from one."""
    from scipy.spatial import ConvexHull

    free = np.ones(len(points), bool)
    for hull in hulls:
        planes = ConvexHull(hull.vertices.astype(np.float64)).equations
        free &= (points @ planes[:, :3].T + planes[:, 3]).max(axis=1) > 0
    if not free.any():
        return 1.0
    starts = np.cumsum([0, *(len(hull.vertices) for hull in hulls)])
    scene = Scene(
        np.concatenate([hull.vertices for hull in hulls]),
        np.concatenate([h.faces + start for h, start in zip(hulls, starts, strict=False)]),
    )
    nearest, _ = scene.closest(points[free])
    far = np.linalg.norm(nearest - points[free], axis=1) > slack
    return float(1 - far.sum() / len(points))


def collision_glb(hulls: tuple[Mesh, ...], name: str) -> bytes:
    """The hulls as a GLB: one node each, ``UCX_<name>_00`` and so on, no material.

    The names are those Unreal Engine reads as collision of the mesh called ``name``.
    """
    name, block = clean_name(name), Block()
    meshes, labels = [], [f"UCX_{name}_{k:02d}" for k in range(len(hulls))]
    for label, hull in zip(labels, hulls, strict=True):
        position = block.vertices(hull.vertices, bounds=True)
        indices = block.indices(hull.faces, len(hull.vertices))
        primitive = {"attributes": {"POSITION": position}, "indices": indices, "mode": 4}
        meshes.append({"name": label, "primitives": [primitive]})
    document = {
        "asset": {"version": "2.0", "generator": f"img2mesh {version()}"},
        "scene": 0,
        "scenes": [{"name": f"{name} collision", "nodes": list(range(len(hulls)))}],
        "nodes": [{"name": label, "mesh": k} for k, label in enumerate(labels)],
        "meshes": meshes,
        **block.tables(),
    }
    return pack(document, block.data)


def _hull(points: F64) -> Mesh:
    """The convex hull of points as a mesh with outward faces and no stray vertex."""
    from scipy.spatial import ConvexHull

    # Rounded before the hull is made: what is written is convex, not what it was rounded from.
    rounded = np.unique(points.astype(np.float32), axis=0)
    hull = ConvexHull(rounded.astype(np.float64))
    corners, faces = rounded.astype(np.float64), hull.simplices.copy()
    inward = (area_vectors(corners, faces) * hull.equations[:, :3]).sum(axis=1) < 0
    faces[inward] = faces[inward][:, ::-1]
    return Mesh(*compact(rounded, faces))


def _grown(points: F64, factor: float) -> F64:
    middle = points.mean(axis=0)
    return middle + factor * (points - middle)


def _solid(points: F64) -> bool:
    """Whether the points span a body at all (and not a plane)."""
    if len(points) < 4:
        return False
    spread_along = np.linalg.svd(points - points.mean(axis=0), compute_uv=False)
    return bool(spread_along[2] > 1e-6 * max(spread_along[0], 1e-30))


def _first_four(corners: F64) -> list[int]:
    """Four corners far apart that span a body."""
    first = int(corners[:, 0].argmin())
    second = int(np.linalg.norm(corners - corners[first], axis=1).argmax())
    along = corners[second] - corners[first]
    third = int(np.linalg.norm(np.cross(corners - corners[first], along), axis=1).argmax())
    normal: NDArray[np.float64] = np.cross(along, corners[third] - corners[first])
    fourth = int(np.abs((corners - corners[first]) @ normal).argmax())
    return [first, second, third, fourth]
