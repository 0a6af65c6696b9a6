"""Levels of detail: exact budgets, closed bodies, the same texture, honest errors."""

from __future__ import annotations

import sys
from functools import cache

import numpy as np
import pytest
import trimesh

from img2mesh.artifacts import Mesh, TexturedMesh
from img2mesh.artifacts.game import GameParts
from img2mesh.errors import InputError, MissingExtraError
from img2mesh.export.lods import _without_twins, apart, levels_of_detail
from img2mesh.geometry.mesh import vertex_normals
from img2mesh.imaging.lookup import texture_at
from img2mesh.texture.atlas import unwrap
from img2mesh.texture.maps import padded
from img2mesh.texture.raster import rasterise

SIZE = 256


@cache
def ring() -> TexturedMesh:
    """A torus of 4 000 faces, unwrapped, coloured by a formula of the place."""
    body = trimesh.creation.torus(0.5, 0.2, major_sections=50, minor_sections=40)
    mesh = Mesh(body.vertices, body.faces)
    atlas = unwrap(mesh, SIZE)
    assert len(atlas.source_vertex) > len(mesh.vertices), "no chart border to keep"
    texels = rasterise(atlas.uv, atlas.faces, SIZE)
    points = texels.interpolate(mesh.faces, mesh.vertices)
    picture = padded(texels, np.round(255 * colour(points)).astype(np.uint8), SIZE)
    return TexturedMesh(
        mesh.vertices[atlas.source_vertex],
        atlas.faces,
        atlas.uv,
        vertex_normals(mesh.vertices, mesh.faces)[atlas.source_vertex],
        picture,
        np.ones((SIZE, SIZE), np.uint8),
        atlas.source_vertex,
    )


def colour(points):
    return 0.5 + 0.3 * np.sin(3 * points + np.array([0, 1, 2]))


@cache
def chain():
    return levels_of_detail(ring(), count=3, ratio=0.5)


def test_every_budget_is_met() -> None:
    levels, notes = chain()
    assert [lod.target for lod in levels] == [2000, 1000, 500]
    for lod in levels:
        assert abs(len(lod.faces) - lod.target) <= 0.01 * lod.target
    assert notes == ()


def test_levels_are_closed_and_use_the_mesh_s_own_vertices() -> None:
    for mesh in GameParts(lods=chain()[0]).lod_meshes(ring()):
        joined = mesh.joined
        body = trimesh.Trimesh(joined.vertices, joined.faces, process=False)
        assert body.is_watertight and body.is_winding_consistent
        assert body.euler_number == 0
        corner = {tuple(row) for row in np.hstack([ring().vertices, ring().uv]).tolist()}
        assert {tuple(row) for row in np.hstack([mesh.vertices, mesh.uv]).tolist()} <= corner
        np.testing.assert_array_equal(mesh.texture, ring().texture)


def test_colours_stay_in_place_also_along_chart_borders() -> None:
    for number, mesh in enumerate(GameParts(lods=chain()[0]).lod_meshes(ring())):
        weights = np.random.default_rng(1).dirichlet((1, 1, 1), len(mesh.faces))
        points = np.einsum("nk,nkc->nc", weights, mesh.vertices[mesh.faces])
        uv = np.einsum("nk,nkc->nc", weights, mesh.uv[mesh.faces]).astype(np.float32)
        seen = texture_at(mesh.texture, uv) / 255
        assert np.abs(seen - colour(points)).mean() < (0.01, 0.02, 0.04)[number]
        assert np.quantile(np.abs(seen - colour(points)), 0.99) < 0.15


def test_charts_do_not_fold_over_each_other() -> None:
    for lod in chain()[0]:
        assert rasterise(ring().uv, lod.faces, 512).overlap < 4e-5


def test_errors_are_true_and_grow_along_the_chain() -> None:
    levels, _ = chain()
    means, largest = [lod.error_mean for lod in levels], [lod.error_max for lod in levels]
    assert means == sorted(means) and largest == sorted(largest)
    assert 0 < means[0] < largest[0] < 5
    # The torus is a formula: its own distance to each level is what was stated.
    diagonal = np.linalg.norm(np.ptp(ring().vertices, axis=0))
    for lod in levels:
        corners = ring().vertices[lod.faces].astype(float)
        middle = corners.mean(axis=1)
        inward = 0.2 - np.hypot(np.hypot(middle[:, 0], middle[:, 1]) - 0.5, middle[:, 2])
        assert 100 * inward.max() / diagonal < lod.error_max + 0.3
    assert apart(ring(), ring().faces).max() < 1e-6


def test_the_same_mesh_gives_the_same_levels() -> None:
    again, _ = levels_of_detail(ring(), count=3, ratio=0.5)
    for one, other in zip(chain()[0], again, strict=True):
        np.testing.assert_array_equal(one.faces, other.faces)
        assert (one.error_mean, one.error_max) == (other.error_mean, other.error_max)


@pytest.mark.parametrize(("count", "ratio"), [(-1, 0.5), (9, 0.5), (2, 1.0), (2, 0.0)])
def test_nonsense_is_refused(count: int, ratio: float) -> None:
    with pytest.raises(InputError, match=r"levels of detail must be .* got"):
        levels_of_detail(ring(), count=count, ratio=ratio)


def test_none_asked_for_needs_no_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "meshoptimizer", None)
    assert levels_of_detail(ring(), count=0, ratio=0.5) == ((), ())
    with pytest.raises(MissingExtraError, match=r"pip install 'img2mesh\[lods\]'"):
        levels_of_detail(ring(), count=1, ratio=0.5)


def test_faces_back_to_back_are_taken_out() -> None:
    """As a stem that collapsed: the rest stays as it was."""
    asset = ring()
    twins = np.int32([[0, 1, 2], [2, 1, 0]])
    np.testing.assert_array_equal(
        _without_twins(asset, np.concatenate([asset.faces[100:], twins])), asset.faces[100:]
    )
