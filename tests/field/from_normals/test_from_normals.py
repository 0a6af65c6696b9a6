"""Depth from normals: integrated, placed by the other views, and believed only where they agree."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from img2mesh.artifacts import ViewSet
from img2mesh.core.arrays import F32
from img2mesh.core.rigs import RIGS
from img2mesh.field.from_normals.depth import DepthEstimate, estimate_depth
from img2mesh.field.from_normals.fusion import Surfaces, disagreement_deg, fuse
from img2mesh.field.from_normals.integration import PixelGrid, integrate
from img2mesh.field.from_normals.semi_global import aggregate
from img2mesh.field.pictures import observations_of
from img2mesh.geometry.silhouettes import make_silhouettes
from tests import shapes
from tests.field import scenes

CPU = torch.device("cpu")


def estimates(views: ViewSet) -> tuple[DepthEstimate | None, ...]:
    observations = observations_of(replace(views, depth=None), use_photo=False)
    return estimate_depth(observations, make_silhouettes([o.view for o in observations]), CPU)


def pixels_of(views: ViewSet, k: int, stride: int) -> tuple[PixelGrid, F32]:
    """The pixels of one view, and its true log depth."""
    assert views.normals is not None and views.depth is not None
    camera = views.cameras[k]
    mask = np.isfinite(views.depth[k])
    pixels = PixelGrid.of(mask, views.normals[k], camera.directions(), camera.fx, stride)
    truth = np.log(views.depth[k][::stride, ::stride].reshape(-1)[pixels.flat])
    return pixels, truth


@pytest.fixture(scope="module")
def bowl() -> ViewSet:
    """Plain: nothing but its normals tells the hollow from a full ball."""
    return scenes.views_of(shapes.bowl(), size=80, known=True, plain=True)


def test_one_known_depth_places_a_whole_smooth_patch() -> None:
    pixels, truth = pixels_of(scenes.views_of(shapes.ball(), known=True), 0, 2)
    middle = len(pixels) // 2
    anchor = np.full(len(pixels), np.nan)
    anchor[middle] = truth[middle]
    found = integrate(pixels, anchor, np.ones(len(pixels)), width=0.01).log_depth
    off = np.abs(np.exp(found) - np.exp(truth))
    assert np.median(off) < 0.01 and np.quantile(off, 0.95) < 0.06
    other = integrate(pixels, anchor + 0.1, np.ones(len(pixels)), width=0.01).log_depth
    np.testing.assert_allclose(other, found + 0.1, atol=1e-6)


def test_a_jump_loses_its_weight() -> None:
    """Two upright squares, one before the other: the planes across the edge must not weigh."""
    camera = RIGS["zero123plus-v1.2"].cameras(64)[0]
    rays = camera.directions()
    normals = np.broadcast_to(-camera.forward, rays.shape)
    pixels = PixelGrid.of(np.ones(rays.shape[:2], bool), normals, rays, camera.fx, 1)
    left = np.arange(len(pixels)) % 64 < 32
    truth = np.where(left, np.log(3.0), np.log(4.0))
    some = np.where(np.arange(len(pixels)) % 7 == 0, truth, np.nan)
    found = integrate(pixels, some, np.full(len(pixels), 0.02), width=0.01)
    np.testing.assert_allclose(found.log_depth, truth, atol=2e-3)
    edge = np.arange(len(pixels)) % 64 == 31
    assert found.weight[0][edge].max() < 0.05  # to the right
    assert np.median(found.weight[0][left & ~edge]) == pytest.approx(0.5, abs=0.1)


def test_a_weak_majority_wins_on_smooth_surface_but_not_across_a_jump() -> None:
    camera = RIGS["zero123plus-v1.2"].cameras(16)[0]
    rays = camera.directions()
    normals = np.broadcast_to(-camera.forward, rays.shape)
    pixels = PixelGrid.of(np.ones(rays.shape[:2], bool), normals, rays, camera.fx, 1)
    column = np.arange(len(pixels)) % 16
    cost = torch.full((len(pixels), 12), 0.5)
    cost[:, 3] = 0.3  # most say a little for 3 ...
    cost[column >= 12, 3], cost[column >= 12, 9] = 0.5, 0.2  # ... and a few columns for 9
    cost[::5, 6] = 0.1  # some err
    smooth = np.full((4, len(pixels)), 0.5)
    torn = smooth.copy()
    torn[0][column == 11] = torn[1][column == 12] = 0
    assert (aggregate(cost, pixels, torn).argmin(1).numpy() == np.where(column < 12, 3, 9)).all()
    assert (aggregate(cost, pixels, smooth).argmin(1).numpy() != 6).all()


def test_a_view_that_contradicts_the_others_is_overruled() -> None:
    views = scenes.views_of(shapes.ball(), known=True)
    pixels, truth = (list(x) for x in zip(*(pixels_of(views, k, 2) for k in range(6)), strict=True))
    wrong, near = [z.copy() for z in truth], [1.0] * 6
    shown = pixels[0].normal @ views.cameras[1].forward < -0.5  # seen well by a neighbour too
    wrong[0][shown] -= 0.06  # too near: the neighbour looks through it
    fused = fuse(Surfaces.of(views.cameras, pixels, wrong, near), 0.03)
    error = np.abs(fused[0].log_depth - truth[0])
    # Where only a slanted look contradicts it, the squarer view keeps its word.
    assert np.median(error[shown]) < 0.01 and (error[shown] < 0.02).mean() > 0.7
    assert np.quantile(error[~shown], 0.95) < 0.03  # the rim grazes its own views
    honest = fuse(Surfaces.of(views.cameras, pixels, truth, near), 0.03)
    assert np.mean(honest[0].confidence[shown]) > np.mean(fused[1].confidence) > 0.5
    assert disagreement_deg(Surfaces.of(views.cameras, pixels, truth, near), 0.03) < 3


def test_normals_place_a_plain_hollow(bowl: ViewSet) -> None:
    assert bowl.depth is not None
    for k, estimate in enumerate(estimates(bowl)):
        assert estimate is not None
        known = np.isfinite(estimate.depth) & np.isfinite(bowl.depth[k])
        assert known.sum() > 0.75 * np.isfinite(bowl.depth[k]).sum()
        off = np.abs(estimate.depth - bowl.depth[k])[known]
        assert np.median(off) < 0.012
        assert (off < 0.05).mean() > 0.85
        assert estimate.confidence.min() >= 0 and estimate.confidence.max() <= 1


def test_orthographic_views_place_their_normals_too() -> None:
    """A camera 1000 away sees the object within a thousandth of its depth."""
    views = scenes.views_of(shapes.bowl(), size=64, known=True, plain=True, rig="wonder3d")
    assert views.depth is not None
    for k, estimate in enumerate(estimates(views)):
        assert estimate is not None
        known = np.isfinite(estimate.depth) & np.isfinite(views.depth[k])
        assert known.sum() > 0.75 * np.isfinite(views.depth[k]).sum()
        off = np.abs(estimate.depth - views.depth[k])[known]
        assert np.median(off) < 0.02 and (off < 0.05).mean() > 0.85


def test_normals_that_contradict_each_other_give_no_depth(bowl: ViewSet) -> None:
    assert bowl.normals is not None
    rng = np.random.default_rng(0)
    wrong = rng.standard_normal(bowl.normals.shape) * 0.5 + bowl.normals
    wrong /= np.linalg.norm(wrong, axis=-1, keepdims=True)
    given: F32 = np.where(bowl.alpha[..., None] > 0.5, wrong, 0).astype(np.float32)
    assert all(g is None for g in estimates(replace(bowl, normals=given)))


def test_views_without_normals_are_left_alone() -> None:
    views = scenes.views_of(shapes.ball(), size=48, known=True)
    assert views.normals is not None
    only_one = views.normals.copy()
    only_one[1:] = 0
    assert estimates(replace(views, normals=only_one)) == (None,) * 6
    assert estimates(replace(views, normals=None)) == (None,) * 6
    five = views.normals.copy()
    five[2] = 0
    found = estimates(replace(views, normals=five))
    assert [g is None for g in found] == [False, False, True, False, False, False]
