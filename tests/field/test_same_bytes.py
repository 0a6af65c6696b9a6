"""The same pictures give the same bytes: after a kill, on any number of threads."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from img2mesh.artifacts import RadianceField, ViewSet
from img2mesh.core.runtime import threads
from img2mesh.field.from_normals.depth import estimate_depth
from img2mesh.field.pictures import observations_of
from img2mesh.geometry.silhouettes import make_silhouettes
from tests import shapes
from tests.field import scenes
from tests.field.fits import brief, brief_fit

ROOT = Path(__file__).parents[2]


def box_views() -> ViewSet:
    return scenes.views_of(shapes.box(), size=64, known=True)


@pytest.fixture(scope="module")
def known() -> ViewSet:
    return box_views()


@pytest.fixture(scope="module")
def pictures(known: ViewSet) -> ViewSet:
    return replace(known, depth=None, normals=None)


@pytest.fixture(scope="module")
def whole(pictures: ViewSet) -> RadianceField:
    return brief_fit(pictures)


class Killed(Exception):
    pass


def killer(moment: float) -> Callable[[float], None]:
    """Ends the fit it tells its progress once that part is done."""

    def kill(done: float) -> None:
        if done > moment:
            raise Killed

    return kill


@pytest.mark.parametrize("moment", [0.05, 0.3, 0.55, 0.95])
def test_killed_fit_resumes_to_the_same_bytes(
    pictures: ViewSet, whole: RadianceField, tmp_path: Path, moment: float
) -> None:
    later: list[float] = []
    with pytest.raises(Killed):
        brief_fit(pictures, scratch=tmp_path, progress=killer(moment))
    resumed = brief_fit(pictures, scratch=tmp_path, progress=later.append)
    assert later[0] > moment - 0.2  # it did not start again
    assert resumed.sdf.tobytes() == whole.sdf.tobytes()
    assert resumed.voxel == whole.voxel and np.array_equal(resumed.origin, whole.origin)


def test_another_fits_or_damaged_checkpoint_is_ignored(
    pictures: ViewSet, whole: RadianceField, tmp_path: Path
) -> None:
    with pytest.raises(Killed):
        brief_fit(pictures, seed=1, scratch=tmp_path, progress=killer(0.5))
    assert (tmp_path / "fit.safetensors").is_file()
    assert brief_fit(pictures, scratch=tmp_path).sdf.tobytes() == whole.sdf.tobytes()
    (tmp_path / "fit.safetensors").write_bytes(b"\x10\0\0\0\0\0\0\0not a checkpoint")
    assert brief_fit(pictures, scratch=tmp_path).sdf.tobytes() == whole.sdf.tobytes()


def fit_digest(field: RadianceField) -> str:
    return hashlib.sha256(field.sdf.tobytes()).hexdigest()


def depth_digest(known: ViewSet) -> str:
    """Of the depths that the normals alone give."""
    observations = observations_of(replace(known, depth=None), use_photo=False)
    silhouettes = make_silhouettes([o.view for o in observations])
    digest = hashlib.sha256()
    for estimate in estimate_depth(observations, silhouettes, torch.device("cpu")):
        assert estimate is not None
        digest.update(estimate.depth.tobytes() + estimate.confidence.tobytes())
    return digest.hexdigest()


def test_bytes_do_not_depend_on_the_number_of_threads(known: ViewSet, whole: RadianceField) -> None:
    """Neither of a fit nor of depths from normals."""
    script = (
        "from tests.field.test_same_bytes import *\n"
        "known = box_views()\n"
        "pictures = replace(known, depth=None, normals=None)\n"
        "print(threads(), fit_digest(brief_fit(pictures)), depth_digest(known))\n"
    )
    other = "2" if threads() == 1 else "1"
    count = {"OMP_NUM_THREADS": other, "OPENBLAS_NUM_THREADS": other, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
        env={**os.environ, **count},
    )
    assert done.stdout.split() == [other, fit_digest(whole), depth_digest(known)]


def test_torch_is_left_as_it_was(pictures: ViewSet) -> None:
    before = torch.get_num_threads()
    one_step = (replace(brief(pictures).schedule[-1], iterations=1),)
    brief_fit(pictures, schedule=one_step, density_steps=0)
    assert torch.get_num_threads() == before
