"""Ghosts: one colour out of views that do not agree."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy import ndimage

from img2mesh.texture import texture_mesh
from img2mesh.texture.blending import Sample, blend
from tests.texture.test_texture import around, ball, sampled

GREY, RED, BLUE = (0.5, 0.5, 0.5), (0.9, 0.1, 0.1), (0.1, 0.1, 0.9)


def say(colour, weight, seen=(0,)):
    seen = np.array(seen)
    return Sample(
        seen,
        np.full(len(seen), weight, np.float32),
        np.tile(np.array(colour, np.float32), (len(seen), 1)),
    )


def test_two_that_agree_outvote_the_one_that_looks_straightest():
    colour, total = blend([say(RED, 0.8), say(BLUE, 0.75), say(BLUE, 0.75)], 1, exact=False)
    np.testing.assert_allclose(colour[0], BLUE, atol=0.03)
    np.testing.assert_allclose(total, 2.3, rtol=1e-6)


def test_of_two_that_disagree_one_is_taken_not_the_mean():
    colour, _ = blend([say(RED, 0.8), say(BLUE, 0.7)], 1, exact=False)
    np.testing.assert_allclose(colour[0], RED, atol=0.03)


def test_views_that_agree_are_blended_by_weight():
    colour, _ = blend([say((0.5, 0.5, 0.5), 1.0), say((0.52, 0.52, 0.52), 1.0)], 1, exact=False)
    np.testing.assert_allclose(colour[0], 0.51, atol=1e-3)


def test_points_nobody_sees_and_chunks_keep_their_places():
    seen = np.arange(0, 120_000, 2)
    colour, total = blend([say(GREY, 0.5, seen)], 120_001, exact=False)
    np.testing.assert_allclose(colour[seen], 0.5)
    assert (total[1::2] == 0).all()
    assert total[120_000] == 0


def stripes(p):
    return np.where((np.sin(14 * p[..., :1]) > 0) & (p[..., 2:] < 9), 0.9, 0.1).repeat(3, axis=-1)


def test_misplaced_edges_leave_no_doubles():
    """Stripes seen by views that are each off by 1.5 pixels and 5 %: dark or light, little grey."""
    views = around(ball(), colour=stripes)
    rng = np.random.default_rng(0)
    moved, gains = [], []
    for rgb in views.rgb:
        angle = rng.uniform(0, 2 * np.pi)
        step = (1.5 * np.sin(angle), 1.5 * np.cos(angle), 0)
        inner = np.where((rgb == [1.0, 0.0, 1.0]).all(axis=-1, keepdims=True), 0.5, rgb)
        gain = 1 + rng.uniform(-0.05, 0.05)
        moved.append(np.clip(ndimage.shift(inner, step, order=1, mode="nearest") * gain, 0, 1))
        gains.append(gain)
    provenance = replace(views.provenance, exact=False)
    shaken = replace(views, rgb=np.stack(moved), provenance=provenance)
    off = []
    for given in (views, shaken):
        points, colour, coverage = sampled(texture_mesh(ball(), given, resolution=256))
        inside = (coverage == 2) & (np.abs(np.sin(14 * points[:, 0])) > 0.6)  # away from edges
        off.append((np.abs(colour - stripes(points))[inside].max(axis=1) > 0.25).mean())
    assert off[0] < 0.01
    assert off[1] < 0.05
