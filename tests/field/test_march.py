"""Samples lie around the first surface of each ray, and the surface is where it should be."""

from __future__ import annotations

import pytest
import torch

from img2mesh.artifacts import ViewSet
from tests import shapes
from tests.field import scenes
from tests.field.balls import ball, march, rays_of


@pytest.fixture(scope="module")
def views() -> ViewSet:
    return scenes.views_of(shapes.ball(), size=64, known=True)


def test_marching_finds_the_surface_of_a_ball(views: ViewSet) -> None:
    rays = rays_of(views)
    samples = march(ball(0.8), rays)
    origin = rays.origin
    closest = torch.linalg.cross(origin, rays.direction, dim=0).norm(dim=0)
    closest = closest / rays.direction.norm(dim=0)  # distance of the ray from the centre
    hit = torch.isfinite(samples.surface)
    assert bool((hit == (closest < 0.8))[(closest - 0.8).abs() > 0.01].all())
    at = origin + samples.surface * rays.direction
    clear = hit & (closest < 0.75)  # grazing rays magnify the grid's own error
    assert float((at.norm(dim=0) - 0.8).abs()[clear].max()) < 0.005


def test_samples_are_few_ascending_and_only_around_the_first_surface(
    views: ViewSet,
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
