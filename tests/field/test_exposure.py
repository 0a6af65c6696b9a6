"""What makes one point look different in two views is found, and divided out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from img2mesh.artifacts import ViewSet
from img2mesh.field.exposure import Exposure, estimate_exposure
from img2mesh.field.grid import Sdf
from img2mesh.field.lookup import DepthMaps
from img2mesh.field.pictures import observations_of
from img2mesh.field.rays import make_rays
from img2mesh.geometry.grid import Grid
from img2mesh.geometry.silhouettes import make_silhouettes
from tests import shapes
from tests.field import scenes


def estimate(views: ViewSet) -> Exposure:
    """What is found on a ball whose shape is known."""
    observations = observations_of(views, use_photo=False)
    cpu = torch.device("cpu")
    rays = make_rays(observations, make_silhouettes(views.views), stride=1, blur_px=0.5, device=cpu)
    grid = Grid.around(np.full(3, -1.0), np.ones(3), grid=48, margin=0.0)
    field = torch.as_tensor(np.linalg.norm(grid.slab(0, 48), axis=-1) - 0.8, dtype=torch.float32)
    assert rays.depth is not None
    surface = rays.depth.nan_to_num(nan=float("inf"))
    return estimate_exposure(Sdf(field, grid), rays, surface, DepthMaps.of(rays, surface, 1))


def test_exposure_and_headlight_are_found() -> None:
    views = scenes.views_of(shapes.ball(), known=True)
    assert views.normals is not None
    plain = estimate(views)  # nothing to divide out
    assert plain.headlight < 0.02 and float(plain.gain.abs().max()) < 0.01
    gains = np.array([0.08, -0.06, 0.03, 0.0, -0.05, 0.0])
    lit = []
    for k, camera in enumerate(views.cameras):
        rays = camera.directions()
        cosine = -(views.normals[k] * rays).sum(-1) / np.linalg.norm(rays, axis=-1)
        lit.append(0.7 * views.rgb[k] * np.exp(gains[k] + 0.12 * cosine)[..., None])
    views = replace(views, rgb=np.stack(lit).clip(0, 1).astype(np.float32))
    found = estimate(views)
    assert found.headlight == pytest.approx(0.12, abs=0.03)
    wanted = gains - gains.mean()
    np.testing.assert_allclose(found.gain.numpy(), wanted[None].repeat(3, 0), atol=0.015)
    # Divided out, a point seen by two views has the colour both would show without their share.
    view, cosine = torch.tensor([0, 1]), torch.tensor([0.9, 0.4])
    shown = 0.5 * torch.exp(found.gain[:, view] + found.headlight * cosine)
    torch.testing.assert_close(found.divide_out(shown, view, cosine), torch.full((3, 2), 0.5))
