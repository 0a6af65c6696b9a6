"""Coarse depths: of the hull, or those that came with the views."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from img2mesh.errors import InputError
from img2mesh.pipeline import depths
from tests import shapes
from tests.field import scenes


def test_hull_depths_cover_the_masks_and_lie_just_in_front_of_the_truth() -> None:
    views = scenes.views_of(shapes.ball(), known=True)
    truth = views.depth
    assert truth is not None
    coarse = depths(replace(views, depth=None), resolution=96)
    assert coarse.cameras == views.cameras  # the very same
    both = np.isfinite(coarse.depth) & np.isfinite(truth)
    covered = np.isfinite(coarse.depth) == (views.alpha > 0.5)
    assert covered.mean() > 0.98
    # A hull contains the shape, so it is never behind it by more than the grid's spacing ...
    assert (coarse.depth - truth)[both].max() < 0.03
    # ... and in front of it only by what the outlines leave open.
    assert 0 < np.median((truth - coarse.depth)[both]) < 0.1


def test_given_depths_are_handed_on() -> None:
    views = scenes.views_of(shapes.box(), known=True)
    assert views.depth is not None
    assert np.array_equal(depths(views).depth, views.depth, equal_nan=True)


def test_senseless_resolution_is_refused() -> None:
    with pytest.raises(InputError, match="8 to 512"):
        depths(scenes.views_of(shapes.ball()), resolution=3)
