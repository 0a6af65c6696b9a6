"""Density: what the views together show to be empty, where no outline shows it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from img2mesh.artifacts import ViewSet
from img2mesh.field.density import carve_by_density
from img2mesh.field.grid import Sdf, locate, look_up_channels
from img2mesh.field.pictures import Observation, observations_of
from img2mesh.field.rays import Rays, make_rays
from img2mesh.geometry.grid import Grid
from img2mesh.geometry.raycast import Scene
from img2mesh.geometry.silhouettes import make_silhouettes
from img2mesh.geometry.visual_hull import hull_values, tight_box
from tests import shapes
from tests.field import scenes
from tests.field.fits import brief_fit

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def bench() -> ViewSet:
    return scenes.views_of(shapes.bench(), size=96, known=True)


def nobody(_: float) -> None:
    """Takes progress."""


def carve(views: ViewSet, steps: int, grid: int = 48) -> tuple[Observation, ...]:
    observations, rays, box = ready(views, grid)
    hull = Sdf(torch.as_tensor(hull_values(make_silhouettes(views.views), box)), box)
    return carve_by_density(observations, rays, hull, stride=2, steps=steps, progress=nobody)


def ready(views: ViewSet, grid: int) -> tuple[tuple[Observation, ...], Rays, Grid]:
    blind = replace(views, depth=None, normals=None)
    observations = observations_of(blind, use_photo=False)
    outlines = make_silhouettes(views.views)
    rays = make_rays(observations, outlines, stride=2, blur_px=1.0, device=CPU)
    return observations, rays, tight_box(outlines, grid=grid, margin=0.05)


@pytest.fixture(scope="module")
def carved(bench: ViewSet) -> tuple[Observation, ...]:
    return carve(bench, 200)


def share_within(views: ViewSet, found: Sequence[NDArray], tolerance: float) -> float:
    """Of the object's pixels, how many have the right depth."""
    assert views.depth is not None
    error = np.abs(np.stack(found) - views.depth)[np.isfinite(views.depth)]
    return float((error < tolerance).mean())


def test_density_sees_the_corner_that_no_outline_shows(
    bench: ViewSet, carved: tuple[Observation, ...]
) -> None:
    hull = scenes.surface_of(scenes.hull_of(bench.views, grid=64))
    scene = Scene(hull.vertices, hull.faces)
    before = share_within(bench, [scene.look(c).depth for c in bench.cameras], 0.08)
    after = share_within(bench, [o.depth for o in carved if o.depth is not None], 0.08)
    assert before < 0.6  # .54; with the density .9
    assert after > 0.8


def test_depth_is_known_inside_the_masks_and_nowhere_else(
    carved: tuple[Observation, ...],
) -> None:
    for seen in carved:
        assert seen.depth is not None
        assert np.array_equal(np.isfinite(seen.depth), seen.view.alpha > 0.5)


@pytest.fixture(scope="module")
def small_bench() -> ViewSet:
    return scenes.views_of(shapes.bench(), size=64, known=True)


def test_the_same_pictures_give_the_same_density(small_bench: ViewSet) -> None:
    for one, two in zip(carve(small_bench, 50), carve(small_bench, 50), strict=True):
        assert one.depth is not None and two.depth is not None
        assert np.array_equal(one.depth, two.depth, equal_nan=True)


def test_a_fit_to_pictures_alone_starts_from_density_and_tells_of_it(small_bench: ViewSet) -> None:
    pictures = replace(small_bench, depth=None, normals=None)
    told: dict[int, list[float]] = {0: [], 40: []}
    one, two = (brief_fit(pictures, density_steps=n, progress=t.append) for n, t in told.items())
    assert not np.array_equal(one.sdf, two.sdf)
    for parts in told.values():
        assert parts == sorted(parts) and parts[-1] == 1
    assert len(told[40]) == len(told[0]) + 40


def test_where_depth_is_known_there_is_no_density(small_bench: ViewSet) -> None:
    one, two = (brief_fit(small_bench, density_steps=n) for n in (0, 200))
    assert np.array_equal(one.sdf, two.sdf)


def test_the_table_look_up_is_trilinear_and_its_gradient_the_transpose() -> None:
    grid = Grid(np.zeros(3), 1.0, (3, 4, 5))
    generator = torch.Generator().manual_seed(0)
    table = torch.rand((4, 60), generator=generator, requires_grad=True)
    points = torch.rand((3, 50), generator=generator) * torch.tensor([[2.0], [3.0], [4.0]])
    value = look_up_channels(table, locate(grid, points))
    x, y, z = points.double()
    corners = table.detach().double().reshape(4, 3, 4, 5)
    expected = torch.zeros((4, 50), dtype=torch.float64)
    for i in range(3):
        for j in range(4):
            for k in range(5):
                near = (1 - (x - i).abs()).clamp(0) * (1 - (y - j).abs()).clamp(0)
                expected += near * (1 - (z - k).abs()).clamp(0) * corners[:, i, j, k, None]
    assert torch.allclose(value.double(), expected, atol=1e-6)
    wanted = torch.rand(value.shape, generator=generator)
    (gradient,) = torch.autograd.grad((value * wanted).sum(), table)
    # The look-up is linear: <A t, w> = <t, A^T w>.
    assert torch.allclose((value.detach() * wanted).sum(), (table.detach() * gradient).sum())


def test_without_a_hull_that_rays_meet_the_views_stay_as_they_are(bench: ViewSet) -> None:
    observations, rays, box = ready(bench, 24)
    nothing = Sdf(torch.full(box.shape, 1.0), box)
    for rays_left in (rays, rays.take(torch.empty(0, dtype=torch.int64))):
        found = carve_by_density(
            observations, rays_left, nothing, stride=2, steps=5, progress=nobody
        )
        assert all(o.depth is None for o in found)
