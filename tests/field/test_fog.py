"""Fog: what the views together show to be empty, where no outline shows it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from img2mesh.artifacts import ViewSet
from img2mesh.errors import InputError
from img2mesh.field import fit
from img2mesh.field.fog import carve_by_fog
from img2mesh.field.grid import locate, look_up_channels
from img2mesh.field.pictures import Supervised, gather
from img2mesh.field.rays import stage_rays
from img2mesh.geometry.grid import Grid
from img2mesh.geometry.raycast import Scene
from img2mesh.geometry.silhouettes import make_silhouettes
from img2mesh.geometry.visual_hull import hull_values, tight_box
from tests.field import scenes

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def bench() -> ViewSet:
    return scenes.views_of(scenes.bench(), size=128, known=True)


def carved(views: ViewSet, steps: int) -> tuple[Supervised, ...]:
    pictures = gather(replace(views, depth=None, normals=None), use_photo=False)
    outlines = make_silhouettes(views.views)
    box = tight_box(outlines, grid=48, margin=0.05)
    hull = torch.as_tensor(hull_values(outlines, box))
    rays = stage_rays(pictures, outlines, stride=2, blur_px=1.0, device=CPU)
    return carve_by_fog(pictures, rays, hull, box, stride=2, steps=steps)


def share_within(views: ViewSet, found: Sequence[NDArray], tolerance: float) -> float:
    """Of the object's pixels, how many have the right depth."""
    assert views.depth is not None
    error = np.abs(np.stack(found) - views.depth)[np.isfinite(views.depth)]
    return float((error < tolerance).mean())


def test_fog_sees_the_corner_that_no_outline_shows(bench: ViewSet) -> None:
    hull = scenes.surface_of(scenes.hull_of(bench.views, grid=64))
    scene = Scene(hull.vertices, hull.faces)
    before = share_within(bench, [scene.look(c).depth for c in bench.cameras], 0.08)
    depths = [v.depth for v in carved(bench, 200) if v.depth is not None]
    after = share_within(bench, depths, 0.08)
    assert before < 0.6  # .54; with fog .9
    assert after > 0.8


def test_depth_is_known_inside_the_masks_and_nowhere_else(bench: ViewSet) -> None:
    for view in carved(bench, 100):
        assert view.depth is not None
        assert np.array_equal(np.isfinite(view.depth), view.view.alpha > 0.5)


def test_the_same_pictures_give_the_same_fog(bench: ViewSet) -> None:
    for one, two in zip(carved(bench, 50), carved(bench, 50), strict=True):
        assert one.depth is not None and two.depth is not None
        assert np.array_equal(one.depth, two.depth, equal_nan=True)


def test_a_fit_to_pictures_alone_starts_from_fog(bench: ViewSet) -> None:
    pictures = replace(bench, depth=None, normals=None)
    one, two = (fit(pictures, grid=24, fog_steps=n).sdf for n in (0, 100))
    assert not np.array_equal(one, two)


def test_fog_moves_the_progress_bar(bench: ViewSet) -> None:
    parts: dict[int, list[float]] = {0: [], 40: []}
    for steps, told in parts.items():
        fit(
            replace(bench, depth=None, normals=None), grid=24, fog_steps=steps, progress=told.append
        )
        assert told == sorted(told) and told[-1] == 1
    assert len(parts[40]) == len(parts[0]) + 40


def test_where_depth_is_known_there_is_no_fog(bench: ViewSet) -> None:
    one = fit(bench, grid=24, fog_steps=0)
    two = fit(bench, grid=24, fog_steps=200)
    assert np.array_equal(one.sdf, two.sdf)


def test_a_negative_number_of_steps_is_refused(bench: ViewSet) -> None:
    with pytest.raises(InputError, match="fog_steps -1 must be 0"):
        fit(bench, grid=24, fog_steps=-1)


def test_the_table_look_up_is_trilinear_and_its_gradient_the_transpose() -> None:
    box = Grid(np.zeros(3), 1.0, (3, 4, 5))
    generator = torch.Generator().manual_seed(0)
    table = torch.rand((60, 4), generator=generator, requires_grad=True)
    points = torch.rand((3, 50), generator=generator) * torch.tensor([[2.0], [3.0], [4.0]])
    value = look_up_channels(table, locate(box, points))
    x, y, z = points.double()
    grid = table.detach().double().reshape(3, 4, 5, 4)
    expected = torch.zeros((50, 4), dtype=torch.float64)
    for i in range(3):
        for j in range(4):
            for k in range(5):
                near = (1 - (x - i).abs()).clamp(0) * (1 - (y - j).abs()).clamp(0)
                expected += (near * (1 - (z - k).abs()).clamp(0))[:, None] * grid[i, j, k]
    assert torch.allclose(value.double(), expected, atol=1e-6)
    wanted = torch.rand(value.shape, generator=generator)
    (gradient,) = torch.autograd.grad((value * wanted).sum(), table)
    # The look-up is linear: <A t, w> = <t, A^T w>.
    assert torch.allclose((value.detach() * wanted).sum(), (table.detach() * gradient).sum())


def test_without_a_hull_that_rays_meet_the_views_stay_as_they_are(bench: ViewSet) -> None:
    pictures = gather(replace(bench, depth=None, normals=None), use_photo=False)
    outlines = make_silhouettes(bench.views)
    box = tight_box(outlines, grid=24, margin=0.05)
    rays = stage_rays(pictures, outlines, stride=2, blur_px=1.0, device=CPU)
    nothing = torch.full(box.shape, 1.0)
    for rays_left in (rays, rays.take(torch.empty(0, dtype=torch.int64))):
        found = carve_by_fog(pictures, rays_left, nothing, box, stride=2, steps=5)
        assert all(v.depth is None for v in found)
