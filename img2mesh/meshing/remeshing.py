"""Even triangles or quads instead of as few as possible: for rigging, sculpting, simulation.

``triangle`` is isotropic remeshing (Botsch and Kobbelt 2004) by pymeshlab, ``quad`` field-aligned
quads (Jakob et al. 2015, "Instant Field-Aligned Meshes") by pynanoinstantmeshes. Both spread their
faces evenly, so at the same budget they lie two to ten times farther off the surface than
decimation, which spends faces where it bends.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from img2mesh.core.arrays import F32, I32
from img2mesh.core.silence import muted
from img2mesh.errors import Img2MeshError, missing_extra
from img2mesh.geometry.mesh import areas, compact
from img2mesh.geometry.raycast import Scene
from img2mesh.geometry.topology import defects
from img2mesh.meshing.decimation import TOLERANCE, decimate
from img2mesh.meshing.repair import repair

Kind = Literal["triangle", "quad"]

#: The surface is decimated to this many times the target first: enough detail, a tenth the time.
_DETAIL = 4

#: Triangles are made this many times the target, for polishing to take the worst ones.
_SPARE = 1.01

_ATTEMPTS = 5


def remesh(
    vertices: F32, faces: I32, target: int, *, kind: Kind
) -> tuple[F32, I32, tuple[str, ...]]:
    """Cover a closed surface anew with ``target`` triangles of even size.

    Args:
        vertices: (n, 3).
        faces: (m, 3), a closed manifold.
        target: triangles; a quad counts as the two it is stored as.
        kind: with ``quad``, faces 2k and 2k + 1 are the two halves of quad k.

    Returns:
        vertices, faces, and notes for the user where the budget could not be met.

    Raises:
        MissingExtraError: the library is not installed; names the pip line.
        Img2MeshError: no attempt gave a closed manifold.
    """
    vertices, faces, _ = decimate(vertices, faces, _DETAIL * target)
    build = _triangles if kind == "triangle" else _quads
    best: tuple[F32, I32] | None = None
    wish = float(target)
    for _ in range(_ATTEMPTS):
        points, triangles = build(vertices, faces, wish, target)
        sound = len(triangles) > 0 and not defects(triangles)
        if sound and (best is None or abs(len(triangles) - target) < abs(len(best[1]) - target)):
            best = points, triangles
            if abs(len(triangles) - target) <= TOLERANCE * target:
                break
        wish *= np.clip(target / max(len(triangles), 1), 0.5, 2) if sound else 1.07
    if best is None:
        raise Img2MeshError(
            f"remeshing to {target} {kind}s gave no closed surface; use more --target-faces, "
            f"--remesh {'triangle' if kind == 'quad' else 'none'}"
        )
    count = len(best[1])
    if abs(count - target) <= max(TOLERANCE * target, 1):
        return (*best, ())
    note = f"the mesh has {count} faces instead of {target}: remeshing comes no nearer"
    return (*best, (note,))


def _triangles(vertices: F32, faces: I32, wish: float, target: int) -> tuple[F32, I32]:
    from img2mesh.meshing.polishing import polish

    try:
        import pymeshlab
    except ImportError:
        raise missing_extra("pymeshlab", extra="remesh", purpose="--remesh triangle") from None
    meshes = pymeshlab.MeshSet()
    if not hasattr(meshes, "meshing_isotropic_explicit_remeshing"):
        raise Img2MeshError(
            "pymeshlab came without its filters, for which it needs libOpenGL: "
            "apt-get install libopengl0"
        )
    meshes.add_mesh(pymeshlab.Mesh(vertices.astype(np.float64), faces))
    # An equilateral triangle of side s has the area sqrt(3) / 4 s².
    side = float(np.sqrt(4 * areas(vertices, faces).sum() / (np.sqrt(3) * _SPARE * wish)))
    meshes.meshing_isotropic_explicit_remeshing(
        iterations=6, targetlen=pymeshlab.PureValue(side), adaptive=False
    )
    made = meshes.current_mesh()
    points, triangles = repair(
        np.ascontiguousarray(made.vertex_matrix(), np.float32),
        np.ascontiguousarray(made.face_matrix(), np.int32),
    )
    if target < len(triangles) <= 1.05 * target and not defects(triangles):
        points, triangles = polish(points, triangles, Scene(vertices, faces), target=target)
    return points, triangles


def _quads(vertices: F32, faces: I32, wish: float, target: int) -> tuple[F32, I32]:
    try:
        from pynanoinstantmeshes import remesh as instant_meshes
    except ImportError:
        raise missing_extra(
            "pynanoinstantmeshes", extra="remesh", purpose="--remesh quad"
        ) from None
    with muted(1):  # it talks on stdout, which belongs to results
        # The library splits each quad in four at the end, and a quad here is two triangles.
        points, quads = instant_meshes(
            np.ascontiguousarray(vertices, np.float32),
            np.ascontiguousarray(faces, np.uint32),
            max(int(wish / 8), 8),
            rosy=4,
            posy=4,
            smooth_iter=2,
            deterministic=True,
        )
    points = np.ascontiguousarray(points, np.float32)
    quads = np.asarray(quads).astype(np.int32)
    corner = points[quads]
    one = np.linalg.norm(corner[:, 0] - corner[:, 2], axis=1)
    other = np.linalg.norm(corner[:, 1] - corner[:, 3], axis=1)
    quads = np.where((one <= other)[:, None], quads, np.roll(quads, -1, axis=1))
    triangles = np.stack([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]], axis=1).reshape(-1, 3)
    if defects(triangles):
        return points, triangles
    return compact(points, triangles)
