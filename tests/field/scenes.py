"""Renders of shapes with known geometry: what the field's tests look at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from img2mesh.artifacts import Mesh, RadianceField, View, ViewSet
from img2mesh.core.cameras import Camera
from img2mesh.core.rigs import RIGS
from img2mesh.geometry.raycast import Scene
from img2mesh.geometry.visual_hull import hull_sdf


def paint(points: NDArray[np.floating]) -> NDArray[np.float32]:
    """(..., 3) smooth colour texture of space, with detail at every scale the fit looks at."""
    x, y, z = np.moveaxis(np.asarray(points, np.float64), -1, 0)
    red = 0.5 + 0.25 * np.sin(9 * x + 4 * y) + 0.2 * np.sin(21 * z - 13 * y)
    green = 0.5 + 0.25 * np.sin(8 * y - 5 * z) + 0.2 * np.sin(19 * x + 15 * y)
    blue = 0.5 + 0.25 * np.sin(10 * z + 6 * x) + 0.2 * np.sin(23 * y - 9 * x)
    return np.clip(np.stack([red, green, blue], -1), 0, 1).astype(np.float32)


def look(mesh: Mesh, camera: Camera, *, plain: bool = False) -> tuple[View, NDArray, NDArray]:
    """A view at 3x3 samples a pixel, with the depth and normals of the pixel centres."""
    scene = Scene(mesh.vertices, mesh.faces)
    fine = camera.resized(camera.width * 3, camera.height * 3)
    hits = scene.look(fine)
    points = fine.origin + fine.directions() * np.nan_to_num(hits.depth)[..., None]
    rgb = np.full_like(points, 0.6) if plain else paint(points)
    rgb = np.where(hits.mask[..., None], rgb, 0.0)
    shape = (camera.height, 3, camera.width, 3)
    alpha = hits.mask.reshape(shape).mean((1, 3))
    mean = rgb.reshape(*shape, 3).mean((1, 3)) / np.maximum(alpha, 1e-6)[..., None]
    centre = scene.look(camera)
    view = View(np.clip(mean, 0, 1), np.clip(alpha, 0, 1), camera)
    return view, centre.depth, centre.normal


def views_of(
    mesh: Mesh,
    *,
    size: int = 96,
    known: bool = False,
    plain: bool = False,
    rig: str = "zero123plus-v1.2",
) -> ViewSet:
    """Six views on a rig; ``known`` adds depths and normals."""
    looks = [look(mesh, c, plain=plain) for c in RIGS[rig].cameras(size)]
    views = ViewSet(
        np.stack([v.rgb for v, _, _ in looks]),
        np.stack([v.alpha for v, _, _ in looks]),
        tuple(v.camera for v, _, _ in looks if v.camera is not None),
    )
    if known:
        depth, normals = np.stack([d for _, d, _ in looks]), np.stack([n for _, _, n in looks])
        views = replace(views, depth=depth, normals=normals)
    return views


def hull_of(views: Sequence[View], *, grid: int, relax_px: float = 0.0) -> RadianceField:
    """The visual hull as a field."""
    sdf, points = hull_sdf(views, grid=grid, relax_px=relax_px)
    return RadianceField(sdf, points.origin, points.voxel, points.voxel)


def surface_of(field: RadianceField) -> Mesh:
    from skimage.measure import marching_cubes

    vertices, faces, _, _ = marching_cubes(field.sdf.copy(), 0.0, gradient_direction="descent")
    return Mesh(field.origin + field.voxel * vertices, faces)


def chamfer(a: Mesh, b: Mesh, count: int = 4000) -> float:
    """Mean of the two mean distances between surfaces, world units."""
    return (_one_way(a, b, count) + _one_way(b, a, count)) / 2


def _one_way(a: Mesh, b: Mesh, count: int) -> float:
    rng = np.random.default_rng(0)
    corners = a.vertices[a.faces].astype(np.float64)
    area = np.linalg.norm(
        np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1
    )
    some = corners[rng.choice(len(area), count, p=area / area.sum())]
    weight = rng.dirichlet((1, 1, 1), count)
    points = (some * weight[..., None]).sum(1)
    nearest, _ = Scene(b.vertices, b.faces).closest(points)
    return float(np.linalg.norm(points - nearest, axis=1).mean())


def shifted(views: ViewSet, pixels: int) -> ViewSet:
    """Every other view moved up, the others moved down."""
    moves = [pixels if k % 2 else -pixels for k in range(len(views.cameras))]
    rgb = np.stack([np.roll(p, m, axis=0) for p, m in zip(views.rgb, moves, strict=True)])
    alpha = np.stack([np.roll(p, m, axis=0) for p, m in zip(views.alpha, moves, strict=True)])
    return replace(views, rgb=rgb, alpha=alpha)
