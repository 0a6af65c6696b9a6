"""Matches between the views: found, told apart, and what the surface does with them."""

from __future__ import annotations

import pytest
import torch

from img2mesh.artifacts import ViewSet
from img2mesh.field.grid import Sdf
from img2mesh.field.lookup import DepthMaps
from img2mesh.field.stereo.ncc import distinctness
from img2mesh.field.stereo.plane_sweep import match_on_planes
from img2mesh.field.stereo.ray_sweep import count_agreements, match_along_rays
from img2mesh.field.stereo.warp import cover_silhouettes, warp_to_matches
from img2mesh.geometry.silhouettes import make_silhouettes
from img2mesh.geometry.visual_hull import hull_values, tight_box
from tests import shapes
from tests.field import scenes
from tests.field.balls import GRID, ball, march, rays_of


@pytest.fixture(scope="module")
def views() -> ViewSet:
    return scenes.views_of(shapes.ball(), size=64, known=True)


def test_matching_finds_the_ball_under_a_fatter_surface(views: ViewSet) -> None:
    rays = rays_of(views, stride=1)
    assert rays.depth is not None
    surface = march(ball(0.88), rays).surface
    matches = match_along_rays(
        rays,
        surface,
        DepthMaps.of(rays, surface, stride=1),
        outward=0.08,
        inward=0.24,
        spacing=0.02,
        minimum=0.5,
    )
    agree = count_agreements(rays, matches.depth, stride=1, tolerance=0.03)
    good = (agree > 0) & torch.isfinite(rays.depth)
    assert float(good.float().mean()) > 0.2
    error = (matches.depth - rays.depth).abs()[good]
    assert float(error.median()) < 0.01
    assert float(error.median()) < 0.2 * float((surface - rays.depth).abs()[good].median())
    assert bool((matches.score[good] >= 0.5).all())
    assert bool(((matches.distinct >= 0) & (matches.distinct <= 1)).all())


def test_only_lone_sharp_peaks_are_distinct() -> None:
    steps = torch.arange(30.0)
    sharp = torch.exp(-0.5 * ((steps - 12) / 1.0) ** 2)
    twice = sharp + 0.99 * torch.exp(-0.5 * ((steps - 22) / 1.0) ** 2)
    slow = 0.95 - 0.0005 * (steps - 12) ** 2
    found = distinctness(torch.stack([sharp, twice, slow], dim=1))
    assert float(found[0]) == 1
    assert float(found[1]) < 0.05
    assert float(found[2]) < 0.05


def test_warping_takes_the_surface_to_its_matches(views: ViewSet) -> None:
    rays = rays_of(views)
    assert rays.depth is not None
    surface = march(ball(0.88), rays).surface
    # Only the right half of every picture is matched: the rest moves with its neighbourhood.
    weight = (torch.isfinite(rays.depth) & (rays.pixel % 64 > 32)).float()
    moved = warp_to_matches(ball(0.88), rays, surface, rays.depth, weight, spread=2.0)
    after = march(Sdf(moved, GRID), rays).surface
    both = torch.isfinite(after) & torch.isfinite(rays.depth) & (weight > 0)
    assert float((after - rays.depth).abs()[both].median()) < 0.015


def test_masks_are_covered_again(views: ViewSet) -> None:
    rays = rays_of(views)
    field = ball(0.7)
    missed = [int(((rays.alpha > 0.5) & ~torch.isfinite(march(field, rays).surface)).sum())]
    for _ in range(3):
        surface = march(field, rays).surface
        field = Sdf(cover_silhouettes(field, rays, surface, spread=1.0, depth=0.01), GRID)
        missed.append(int(((rays.alpha > 0.5) & ~torch.isfinite(march(field, rays).surface)).sum()))
    assert missed[-1] < 0.1 * missed[0]
    assert float(field.values[24, 24, 24]) < 0  # and nothing else was taken away


def test_planes_find_a_flat_top_that_the_hull_domes() -> None:
    truth = shapes.box()
    views = scenes.views_of(truth, known=True)
    rays = rays_of(views)
    assert rays.depth is not None
    outlines = make_silhouettes(views.views)
    grid = tight_box(outlines, grid=48, margin=0.05)
    hull = Sdf(torch.as_tensor(hull_values(outlines, grid)), grid)
    surface = march(hull, rays, near=0.1, behind=0.0).surface
    maps = DepthMaps.of(rays, surface, stride=2)
    depth, score = match_on_planes(rays, hull, maps, planes=96, reach=0.5)
    height = rays.pictures.origin[1, rays.view] + rays.depth * rays.direction[1]
    top = (height - 0.45).abs() < 1e-3  # the box is 0.9 high
    found = top & (score > 0)
    assert float(found.float().sum()) > 0.3 * float(top.float().sum())
    error = (depth - rays.depth).abs()[found].median()
    assert error < 0.03 and error < 0.3 * (surface - rays.depth).abs()[found].median()
