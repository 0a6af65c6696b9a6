"""Occlusion of bodies where it can be reckoned by hand."""

from __future__ import annotations

import numpy as np
import trimesh

from img2mesh.artifacts import Mesh, TexturedMesh
from img2mesh.geometry.mesh import vertex_normals
from img2mesh.geometry.raycast import Scene, ambient_occlusion
from img2mesh.texture.atlas import unwrap
from img2mesh.texture.occlusion import bake_orm


def plain(body: trimesh.Trimesh, size: int = 128) -> TexturedMesh:
    mesh = Mesh(body.vertices, body.faces)
    atlas = unwrap(mesh, size)
    return TexturedMesh(
        mesh.vertices[atlas.source_vertex],
        atlas.faces,
        atlas.uv,
        vertex_normals(mesh.vertices, mesh.faces)[atlas.source_vertex],
        np.zeros((size, size, 3), np.uint8),
        np.ones((size, size), np.uint8),
        atlas.source_vertex,
    )


def test_a_convex_body_hides_nothing_from_itself() -> None:
    """Not even a coarse one, whose smooth normals lean over its flat faces."""
    orm = bake_orm(plain(trimesh.creation.icosphere(2)), resolution=128, roughness=0.9)
    assert orm[..., 0].min() >= 254
    assert (orm[..., 1] == 230).all() and (orm[..., 2] == 0).all()


def test_half_the_sky_is_left_at_the_foot_of_a_wall() -> None:
    wall = trimesh.creation.box(
        (0.2, 20, 20), trimesh.transformations.translation_matrix((0, 0, 0))
    )
    floor = np.array([[0.1 + 1e-3, 0.0, 0.0], [30.0, 0.0, 0.0]])
    up = np.tile([0.0, 1.0, 0.0], (2, 1))
    sky = ambient_occlusion(
        Scene(wall.vertices, wall.faces), floor, up, flat=up, rays=64, reach=10.0, offset=0.04
    )
    # Cosine-weighted, a high wall beside a point hides half of its sky; close by, all of that.
    assert abs(sky[0] - 0.5) < 0.05
    assert sky[1] > 0.99


def test_the_bottom_of_a_deep_cup_is_dark() -> None:
    profile = np.array([(0.001, 0), (0.5, 0), (0.5, 2), (0.4, 2), (0.4, 0.1), (0.001, 0.1)], float)
    cup = trimesh.creation.revolve(profile, sections=32)
    cup.update_faces(cup.nondegenerate_faces())
    asset = plain(trimesh.Trimesh(cup.vertices, cup.faces, process=True))
    orm = bake_orm(asset, resolution=128, roughness=0.5)
    uv = asset.uv[asset.faces].mean(axis=1) * 128
    levels = orm[uv[:, 1].astype(int), uv[:, 0].astype(int), 0]
    corners = asset.vertices[asset.faces]
    middle = corners.mean(axis=1)
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    across = np.hypot(middle[:, 0], middle[:, 1])
    outside = (across > 0.45) & (np.abs(normal[:, 2]) < 1e-6)
    bottom = (across < 0.35) & (middle[:, 2] > 0.05) & (middle[:, 2] < 0.15)
    assert outside.any() and bottom.any()
    assert levels[outside].min() > 250
    assert levels[bottom].max() < 180  # the walls are near, but not at, the point: half dark


def test_nothing_is_darker_than_the_foot_of_a_step() -> None:
    """Texels around a chart of the step lie inside its body, where it is dark: they don't count."""
    block = trimesh.creation.box((1.0, 1.0, 1.0))
    corner = trimesh.creation.box((1.0, 1.0, 2.0))
    corner.apply_translation((0.5, 0.5, 0))
    step = trimesh.boolean.difference([block, corner], engine="manifold").subdivide().subdivide()
    occlusion = bake_orm(plain(step, 256), resolution=256, roughness=0.9)[..., 0]
    # A wall hides half of the sky at its foot, less what is out of reach or off the leaning normal.
    assert 0.4 * 255 < occlusion.min() < 0.9 * 255
