"""The fit's parts one by one: samples, matches, leaps, losses, step rule, carving."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from img2mesh.field.grid import blur
from img2mesh.field.initial import initial_field, redistance
from img2mesh.field.leap import cover_masks, leap
from img2mesh.field.levels import propose_levels
from img2mesh.field.losses import curvature_gradient, fourth_difference, second_difference
from img2mesh.field.matching import count_agreements, propose_depths
from img2mesh.field.occupancy import occupied
from img2mesh.field.pictures import Supervised, comparable_colours, gather
from img2mesh.field.rays import Rays, stage_rays
from img2mesh.field.sampling import Samples, place_samples
from img2mesh.field.steps import StepRule
from img2mesh.geometry.grid import Grid
from img2mesh.geometry.silhouettes import make_silhouettes
from img2mesh.geometry.visual_hull import hull_values, tight_box
from tests.field import scenes

CPU = torch.device("cpu")
BALL = Grid.around(np.full(3, -1.0), np.ones(3), grid=48, margin=0.0)


def ball(radius: float) -> Tensor:
    return torch.as_tensor(np.linalg.norm(BALL.slab(0, 48), axis=-1) - radius, dtype=torch.float32)


def rays_of(views: scenes.ViewSet, stride: int = 2) -> Rays:
    pictures = gather(views, use_photo=False)
    outlines = make_silhouettes([p.view for p in pictures])
    return stage_rays(pictures, outlines, stride=stride, blur_px=0.5, device=CPU)


def march(field: Tensor, rays: Rays, near: float = 0.12, behind: float = 0.1) -> Samples:
    return place_samples(field, BALL, rays, near=near, behind=behind, jitter=torch.zeros(len(rays)))


@pytest.fixture(scope="module")
def views() -> scenes.ViewSet:
    return scenes.views_of(scenes.sphere(), size=64, known=True)


def test_marching_finds_the_surface_of_a_ball(views: scenes.ViewSet) -> None:
    rays = rays_of(views)
    samples = march(ball(0.8), rays)
    origin = rays.pictures.origin.T[:, rays.view]
    closest = torch.linalg.cross(origin, rays.direction, dim=0).norm(dim=0)
    closest = closest / rays.direction.norm(dim=0)  # distance of the ray from the centre
    hit = torch.isfinite(samples.surface)
    assert bool((hit == (closest < 0.8))[(closest - 0.8).abs() > 0.01].all())
    at = origin + samples.surface * rays.direction
    clear = hit & (closest < 0.75)  # grazing rays magnify the grid's own error
    assert float((at.norm(dim=0) - 0.8).abs()[clear].max()) < 0.005


def test_samples_are_few_ascending_and_only_around_the_first_surface(
    views: scenes.ViewSet,
) -> None:
    rays = rays_of(views)
    near, behind = 0.12, 0.1
    samples = march(ball(0.8), rays, near, behind)
    for r in range(0, len(rays), 97):
        depth = samples.depth[samples.start[r] : samples.start[r + 1]]
        assert len(depth) < 40 and bool((depth.diff() > 0).all())
        limit = samples.surface[r] + behind / float(rays.direction[:, r].norm()) + 1e-4
        assert bool((depth <= limit).all())
    used, compact = samples.compact()
    assert bool((compact.start.diff() >= 2).all()) and len(compact.surface) == len(used)
    assert torch.equal(compact.depth[:3], samples.depth[samples.start[used[0]] :][:3])


def test_matching_finds_the_ball_under_a_fatter_surface(views: scenes.ViewSet) -> None:
    rays = rays_of(views, stride=1)
    assert rays.depth is not None
    surface = march(ball(0.88), rays).surface
    maps = torch.full((len(rays.pictures.rgb),), float("inf"))
    maps[rays.pixel] = surface
    depth, score, distinct = propose_depths(
        rays,
        surface,
        maps,
        stride=1,
        outward=0.08,
        inward=0.24,
        spacing=0.02,
        minimum=0.5,
    )
    agree = count_agreements(rays, depth, stride=1, tolerance=0.03)
    good = (agree > 0) & torch.isfinite(rays.depth)
    assert float(good.float().mean()) > 0.2
    error = (depth - rays.depth).abs()[good]
    assert float(error.median()) < 0.01
    assert float(error.median()) < 0.2 * float((surface - rays.depth).abs()[good].median())
    assert bool((score[good] >= 0.5).all())
    assert bool(((distinct >= 0) & (distinct <= 1)).all())


def test_leap_takes_the_surface_to_its_matches(views: scenes.ViewSet) -> None:
    rays = rays_of(views)
    assert rays.depth is not None
    surface = march(ball(0.88), rays).surface
    # Only the right half of every picture is matched: the rest moves with its neighbourhood.
    trust = (torch.isfinite(rays.depth) & (rays.pixel % 64 > 32)).float()
    moved = leap(ball(0.88), BALL, rays, surface, rays.depth, trust, spread=2.0)
    after = march(moved, rays).surface
    both = torch.isfinite(after) & torch.isfinite(rays.depth) & (trust > 0)
    assert float((after - rays.depth).abs()[both].median()) < 0.015


def test_masks_are_covered_again(views: scenes.ViewSet) -> None:
    rays = rays_of(views)
    field = ball(0.7)
    missed = [int(((rays.alpha > 0.5) & ~torch.isfinite(march(field, rays).surface)).sum())]
    for _ in range(3):
        surface = march(field, rays).surface
        field = cover_masks(field, BALL, rays, surface, spread=1.0, depth=0.01)
        missed.append(int(((rays.alpha > 0.5) & ~torch.isfinite(march(field, rays).surface)).sum()))
    assert missed[-1] < 0.1 * missed[0]
    assert float(field[24, 24, 24]) < 0  # and nothing else was taken away


def test_carving_with_depths_beats_the_hull() -> None:
    truth = scenes.bowl()
    known = scenes.views_of(truth, known=True)
    pictures = gather(known, use_photo=False)
    outlined = hull_values(make_silhouettes([p.view for p in pictures]), BALL)
    carved = initial_field(pictures, outlined, BALL)
    hull = initial_field([Supervised(p.view) for p in pictures], outlined, BALL)
    errors = [
        scenes.chamfer(
            scenes.surface_of(scenes.RadianceField(f, BALL.origin, BALL.voxel, 1.0)), truth
        )
        for f in (carved, hull)
    ]
    assert errors[0] < 0.5 * errors[1]


def test_redistancing_keeps_the_zero_set_and_restores_slope_one() -> None:
    true = ball(0.6).numpy()
    bent = np.clip(true, -0.05, 0.05)
    again = redistance(bent, BALL.voxel)
    assert np.abs(again - true).max() < 1.1 * BALL.voxel
    near = np.abs(true) < 0.5 * BALL.voxel
    assert np.abs(again - true)[near].max() < 1e-6


def test_curvature_gradient_matches_autograd() -> None:
    field = torch.randn(9, 8, 7, generator=torch.Generator().manual_seed(2)).requires_grad_()
    band = (torch.rand(9, 8, 7, generator=torch.Generator().manual_seed(3)) > 0.4).float()
    voxel, loss = 0.3, torch.zeros(())
    for axis in range(3):
        n = field.shape[axis]
        bend = second_difference(field, axis) / voxel
        loss = loss + (bend.square() * band.narrow(axis, 1, n - 2)).sum() / band.sum()
    (wanted,) = torch.autograd.grad(loss, field)
    assert torch.allclose(curvature_gradient(field.detach(), band, voxel), wanted, atol=1e-4)


def test_fourth_difference_ignores_cubics_and_damps_the_voxel_pitch() -> None:
    x = torch.arange(10.0)[:, None, None].expand(10, 10, 10)
    assert float(fourth_difference(0.1 * x**3 - x).abs().max()) < 1e-3
    zigzag = (-1.0) ** x
    inner = (slice(2, -2),) * 3
    assert torch.allclose(fourth_difference(zigzag)[inner], 16 * zigzag[inner])


def test_step_rule_is_scale_free_smooth_and_bounded() -> None:
    field = ball(0.6)
    band = (field.abs() < 3 * BALL.voxel).float()
    gradient = torch.randn(field.shape, generator=torch.Generator().manual_seed(1)) + 1.0
    moves = []
    for factor in (1.0, 1e4):
        changed = field.clone()
        rule = StepRule(torch.zeros_like(field))
        for _ in range(30):
            rule.step(
                changed, gradient * factor, band, voxel=BALL.voxel, blur_voxels=2.0, length=0.1
            )
        moves.append(changed - field)
    assert torch.allclose(moves[0], moves[1], atol=1e-5)
    assert float(moves[0][24, 24, 24]) < 0  # downhill
    assert float((moves[0] - blur(moves[0], 1.0)).abs().max()) < 0.2 * float(moves[0].abs().max())
    spike = torch.zeros_like(field)
    spike[24, 24, 24] = 1e6
    one = field.clone()
    rule = StepRule(torch.zeros_like(field))
    rule.step(one, spike, torch.ones_like(band), voxel=BALL.voxel, blur_voxels=0.0, length=9.0)
    assert float((one - field).abs().max()) < 0.8 * BALL.voxel


def test_background_colour_never_reaches_the_comparison(views: scenes.ViewSet) -> None:
    view = views.views[0]
    loud = scenes.View(
        np.where(view.alpha[..., None] > 0.95, view.rgb, np.float32([1, 0, 1])),
        view.alpha,
        view.camera,
    )
    assert np.array_equal(comparable_colours(view, 2.0), comparable_colours(loud, 2.0))


def test_occupied_cells_are_those_the_shell_passes_through() -> None:
    field = ball(0.6)
    cells = occupied(field, 0.1)
    assert cells.shape == (47, 47, 47)
    centre = torch.as_tensor(BALL.slab(0, 47)[:, :-1, :-1] + BALL.voxel / 2)
    distance = centre.norm(dim=-1) - 0.6
    assert bool(cells[distance < 0.1].all())
    assert not bool(cells[distance > 0.1 + BALL.voxel].any())


def test_planes_find_a_flat_top_that_the_hull_domes() -> None:
    truth = scenes.box()
    views = scenes.views_of(truth, known=True)
    rays = rays_of(views)
    assert rays.depth is not None
    outlines = make_silhouettes(views.views)
    grid = tight_box(outlines, grid=48, margin=0.05)
    hull = torch.as_tensor(hull_values(outlines, grid))
    surface = place_samples(
        hull, grid, rays, near=0.1, behind=0.0, jitter=torch.zeros(len(rays))
    ).surface
    maps = torch.full((len(rays.pictures.rgb),), float("inf"))
    maps[rays.pixel] = surface
    depth, score = propose_levels(rays, hull, grid, maps, planes=126, stride=2, reach=0.5)
    height = rays.pictures.origin[rays.view, 1] + rays.depth * rays.direction[1]
    top = (height - 0.45).abs() < 1e-3  # the box is 0.9 high
    found = top & (score > 0)
    assert float(found.float().sum()) > 0.3 * float(top.float().sum())
    error = (depth - rays.depth).abs()[found].median()
    assert error < 0.03 and error < 0.3 * (surface - rays.depth).abs()[found].median()
