"""The delivery frame on a box whose numbers are known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from img2mesh.artifacts import TexturedMesh
from img2mesh.errors import InputError
from tests.rooms import to_asset_frame
from tests.shapes import box_asset


def bounds(asset: TexturedMesh) -> np.ndarray:
    return np.array([asset.vertices.min(axis=0), asset.vertices.max(axis=0)])


@pytest.fixture
def box() -> TexturedMesh:
    return box_asset((4.0, 1.0, 2.0), centre=(10.0, 20.0, 30.0))


def test_base_pivot_stands_on_the_ground(box: TexturedMesh) -> None:
    placed = to_asset_frame(box)
    np.testing.assert_allclose(bounds(placed), [[-0.5, 0, -0.25], [0.5, 0.25, 0.25]], atol=1e-7)


@pytest.mark.parametrize("word", ["centre", "center"])
def test_centre_pivot_and_scale(box: TexturedMesh, word: str) -> None:
    placed = to_asset_frame(box, pivot=word, scale=2.0)
    np.testing.assert_allclose(bounds(placed), [[-1, -0.25, -0.5], [1, 0.25, 0.5]], atol=1e-7)


def test_the_matrix_takes_world_points_to_the_asset(box: TexturedMesh) -> None:
    """Also when the mesh had been moved before: the matrices compose."""
    moved = replace(box, asset_from_world=np.array(np.diag([2.0, 2, 2, 1])))
    world = box.vertices / 2
    placed = to_asset_frame(moved, scale=0.7)
    matrix = placed.asset_from_world
    np.testing.assert_allclose(world @ matrix[:3, :3].T + matrix[:3, 3], placed.vertices, atol=1e-6)
    np.testing.assert_allclose(matrix[:3, :3], np.eye(3) * 2 * 0.7 / 4)


def test_the_axes_stay(box: TexturedMesh) -> None:
    placed = to_asset_frame(box)
    np.testing.assert_array_equal(placed.normals, box.normals)
    front = np.flatnonzero(box.normals[:, 2] > 0.5)
    assert (placed.vertices[front, 2] > 0).all()
    for name in ("faces", "uv", "texture", "coverage", "source_vertex"):
        np.testing.assert_array_equal(getattr(placed, name), getattr(box, name))


def test_world_leaves_everything_untouched(box: TexturedMesh) -> None:
    assert to_asset_frame(box, frame="world", scale=3.0, pivot="centre") is box


def test_copies_of_a_vertex_stay_identical() -> None:
    rng = np.random.default_rng(0)
    box = box_asset()
    points = rng.normal(size=(8, 3)).astype(np.float32)[box.source_vertex]
    placed = to_asset_frame(replace(box, vertices=points), scale=1 / 3)
    assert len(np.unique(placed.vertices, axis=0)) == 8


def test_vertices_of_no_face_do_not_count(box: TexturedMesh) -> None:
    stray = replace(
        box,
        vertices=np.concatenate([box.vertices, [[1e3, 1e3, 1e3]]]),
        uv=np.concatenate([box.uv, [[0, 0]]]),
        normals=np.concatenate([box.normals, [[0, 0, 1]]]),
        source_vertex=np.concatenate([box.source_vertex, [8]]),
    )
    np.testing.assert_array_equal(to_asset_frame(stray).vertices[:-1], to_asset_frame(box).vertices)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"frame": "camera"}, "camera.*asset, world"),
        ({"pivot": "top"}, "top.*base, centre"),
        ({"scale": 0.0}, "positive"),
        ({"scale": float("nan")}, "positive"),
        ({"scale": float("inf")}, "positive"),
    ],
)
def test_bad_arguments(box: TexturedMesh, arguments: dict[str, float], words: str) -> None:
    with pytest.raises(InputError, match=words):
        to_asset_frame(box, **arguments)  # type: ignore[arg-type]


def test_a_mesh_without_extent_cannot_be_scaled(box: TexturedMesh) -> None:
    with pytest.raises(InputError, match="extent"):
        to_asset_frame(replace(box, vertices=np.ones_like(box.vertices)))
