"""A ball as a field, and rays that look at it: what tests of single parts start from."""

from __future__ import annotations

import numpy as np
import torch

from img2mesh.artifacts import ViewSet
from img2mesh.field.grid import Sdf
from img2mesh.field.march import place_samples
from img2mesh.field.pictures import observations_of
from img2mesh.field.rays import Rays, make_rays
from img2mesh.field.samples import Samples, Shell
from img2mesh.geometry.grid import Grid
from img2mesh.geometry.silhouettes import make_silhouettes

GRID = Grid.around(np.full(3, -1.0), np.ones(3), grid=48, margin=0.0)


def ball(radius: float) -> Sdf:
    """Around the origin."""
    distance = np.linalg.norm(GRID.slab(0, 48), axis=-1) - radius
    return Sdf(torch.as_tensor(distance, dtype=torch.float32), GRID)


def rays_of(views: ViewSet, stride: int = 2) -> Rays:
    observations = observations_of(views, use_photo=False)
    outlines = make_silhouettes([o.view for o in observations])
    cpu = torch.device("cpu")
    return make_rays(observations, outlines, stride=stride, blur_px=0.5, device=cpu)


def march(sdf: Sdf, rays: Rays, near: float = 0.12, behind: float = 0.1) -> Samples:
    return place_samples(sdf, rays, Shell(near, behind))
