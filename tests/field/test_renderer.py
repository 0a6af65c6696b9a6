"""The setting ``renderer``: nerfacc's functions give the same surface, and cost who chose them."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import nerfacc
import numpy as np
import pytest
import torch
from torch import Tensor

from img2mesh.artifacts import ViewSet
from img2mesh.errors import InputError
from img2mesh.field import nerfacc_cuda
from img2mesh.field.march import place_samples
from img2mesh.field.samples import Shell
from tests import shapes
from tests.field import scenes
from tests.field.balls import ball, march, rays_of
from tests.field.fits import brief_fit

#: Where nerfacc loads its extension, or compiles it, and prints that it could not.
BACKEND = "nerfacc.cuda._backend"


@pytest.fixture(scope="module")
def views() -> ViewSet:
    return scenes.views_of(shapes.ball(), size=64, known=True)


def test_a_fit_by_nerfacc_ends_at_the_same_surface_and_the_default_never_asks_for_its_extension(
    views: ViewSet, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delitem(sys.modules, BACKEND, raising=False)
    one, two = (brief_fit(views, renderer=name).sdf for name in ("torch", "nerfacc"))
    assert not np.array_equal(one, two)  # other sums
    near = np.abs(one) < 0.1
    assert float(np.abs(one - two)[near].max()) < 1e-4
    assert BACKEND not in sys.modules and capsys.readouterr().out == ""


def test_without_the_extension_the_choice_is_refused_in_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", "")  # no nvcc
    monkeypatch.delitem(sys.modules, BACKEND, raising=False)
    with pytest.raises(InputError, match=r"needs nerfacc's CUDA extension.*use renderer torch"):
        nerfacc_cuda.require_extension()
    assert capsys.readouterr().out == ""  # stdout is for --json


def traversed(
    origins: Tensor,
    directions: Tensor,
    binaries: Tensor,
    boxes: Tensor,
    *,
    near_planes: Tensor,
    step_size: float,
) -> tuple[Any, Any, None]:
    """What nerfacc's kernel does: steps whose middles are in occupied cells."""
    number = torch.arange(200)
    start = near_planes[:, None] + step_size * number
    points = origins[:, None] + (start + step_size / 2)[..., None] * directions[:, None]
    low, high = boxes[0, :3], boxes[0, 3:]
    size = torch.tensor(binaries.shape[1:])
    cell = ((points - low) / (high - low) * size).floor().long()
    inside = ((cell >= 0) & (cell < size)).all(-1)
    x, y, z = cell.clamp(min=0).minimum(size - 1).unbind(-1)
    ray, column = torch.nonzero(inside & binaries[0, x, y, z], as_tuple=True)
    vals = start[ray, column]
    return (
        SimpleNamespace(vals=vals, is_left=torch.ones_like(vals, dtype=torch.bool)),
        SimpleNamespace(ray_indices=ray.int()),
        None,
    )


def test_samples_by_occupancy_find_the_surface_and_make_their_grid_once(
    views: ViewSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def counted(*args: Any, **kwargs: Any) -> tuple[Any, Any, None]:
        calls.append(args)
        return traversed(*args, **kwargs)

    monkeypatch.setattr(nerfacc, "traverse_grids", counted)
    rays, sdf = rays_of(views), ball(0.8)
    shell = Shell(near=0.12, behind=0.1)
    jitter = torch.rand(len(rays), generator=torch.Generator().manual_seed(0))
    found = place_samples(sdf, rays, shell, jitter, nerfacc_cuda.march_by_occupancy)
    expected = march(sdf, rays)
    assert len(calls) == 1
    both = torch.isfinite(found.surface) & torch.isfinite(expected.surface)
    assert float(both.float().sum()) > 0.98 * float(torch.isfinite(expected.surface).sum())
    assert float((found.surface - expected.surface)[both].abs().median()) < 1e-3
    assert 0.8 < len(found.ray) / len(expected.ray) < 1.2


def test_occupied_cells_are_those_the_shell_passes_through() -> None:
    sdf = ball(0.6)
    cells = nerfacc_cuda.occupied(sdf.values, 0.1)
    assert cells.shape == (47, 47, 47)
    centre = torch.as_tensor(sdf.grid.slab(0, 47)[:, :-1, :-1] + sdf.voxel / 2)
    distance = centre.norm(dim=-1) - 0.6
    assert bool(cells[distance < 0.1].all())
    assert not bool(cells[distance > 0.1 + sdf.voxel].any())


@pytest.mark.gpu
def test_nerfaccs_extension_renders_the_same_on_a_gpu(views: ViewSet) -> None:
    try:
        nerfacc_cuda.require_extension()
    except InputError as error:
        pytest.skip(str(error))
    gpu = torch.device("cuda")
    one, two = (brief_fit(views, device=gpu, renderer=name).sdf for name in ("torch", "nerfacc"))
    assert float(np.abs(one - two)[np.abs(one) < 0.1].mean()) < 1e-3
