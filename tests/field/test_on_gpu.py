"""The fit as it runs on a GPU, on a pretend one: nothing mixed, and little waited for."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from img2mesh.artifacts import RadianceField, ViewSet
from img2mesh.field.from_normals.depth import with_estimated_depth
from img2mesh.field.pictures import observations_of
from img2mesh.field.schedule import Level
from img2mesh.geometry.silhouettes import make_silhouettes
from tests import shapes
from tests.field import scenes
from tests.field.fits import brief, brief_fit
from tests.pretend_gpu import PretendGpu

#: A step waits for the rays that are compared, and for the pairs of views that see them.
STEP_WAITS = 2
#: Placing samples waits ten times, a match some thirty; nothing of it depends on the grid.
OTHER_WAITS = 400


@pytest.fixture(scope="module")
def known() -> ViewSet:
    return scenes.views_of(shapes.box(), size=32, known=True)


@pytest.fixture(scope="module")
def pictures(known: ViewSet) -> ViewSet:
    return replace(known, depth=None, normals=None)


def on_gpu(views: ViewSet, **changed: object) -> tuple[RadianceField, PretendGpu]:
    with PretendGpu() as gpu:
        return brief_fit(views, device=gpu.device, **changed), gpu


def short(views: ViewSet, **changed: object) -> tuple[Level, ...]:
    """One level from the hull on."""
    return (replace(brief(views).schedule[0], warps=(), **changed),)


def close(one: RadianceField, two: RadianceField) -> None:
    """Sums in blocks of another size differ in their last bits, and steps carry them on."""
    near = np.abs(one.sdf) < 2 * one.voxel
    assert float(np.abs(one.sdf - two.sdf)[near].max()) < 0.01 * one.voxel


def test_pictures_alone(pictures: ViewSet) -> None:
    """Density, matches, warps, exposure, both levels."""
    levels = tuple(replace(v, iterations=4, refresh=3, rematch=3) for v in brief(pictures).schedule)
    few = {"schedule": levels, "density_steps": 4}
    field, gpu = on_gpu(pictures, **few)
    close(field, brief_fit(pictures, **few))
    steps = sum(level.iterations for level in levels)
    assert gpu.waits.total() <= STEP_WAITS * steps + OTHER_WAITS, gpu.waits.most_common(9)


def test_nerfaccs_dense_rendering(pictures: ViewSet) -> None:
    level = short(pictures, iterations=3)
    field, _ = on_gpu(pictures, schedule=level, density_steps=0, renderer="nerfacc")
    close(field, brief_fit(pictures, schedule=level, density_steps=0))


def test_known_depth_and_normals(known: ViewSet) -> None:
    field, _ = on_gpu(known)
    close(field, brief_fit(known))


def test_depth_from_normals(known: ViewSet) -> None:
    observations = observations_of(replace(known, depth=None), use_photo=False)
    silhouettes = make_silhouettes([o.view for o in observations])
    with PretendGpu() as gpu:
        found = with_estimated_depth(observations, silhouettes, gpu.device)
        assert gpu.operations > 0
    assert all(o.depth is not None for o in found)


def test_more_steps_wait_twice_each_and_launch_less_than_a_thousand_kernels(
    pictures: ViewSet,
) -> None:
    counts = []
    for steps in (2, 6):
        level = short(pictures, iterations=steps, refresh=9, rematch=9)
        _, gpu = on_gpu(pictures, schedule=level, density_steps=0)
        counts.append((gpu.waits.total(), gpu.operations))
    (waits, kernels), (more_waits, more_kernels) = counts
    assert more_waits - waits == 4 * STEP_WAITS
    assert more_kernels - kernels < 4 * 1000


def test_matching_takes_as_many_launches_for_many_planes_as_for_few(pictures: ViewSet) -> None:
    counts = []
    for planes in (24, 48):
        level = short(pictures, iterations=1, planes=planes)
        _, gpu = on_gpu(pictures, schedule=level, density_steps=0)
        counts.append(gpu.operations)
    assert counts[1] - counts[0] < 100 and counts[1] < 6000  # a wider window is one more addition
