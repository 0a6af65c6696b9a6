"""Fits for tests: as the pipeline makes them, and brief ones that go through every part."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from img2mesh.artifacts import RadianceField, ViewSet
from img2mesh.field.losses import Weights
from img2mesh.field.optimize import Fit, optimize
from img2mesh.field.pictures import observations_of
from img2mesh.field.schedule import make_schedule
from img2mesh.geometry.silhouettes import make_silhouettes
from img2mesh.pipeline import radiance


def fit(views: ViewSet, **settings: Any) -> RadianceField:
    """With the defaults of the stage."""
    return radiance(views, **settings)


def brief(views: ViewSet, *, use_photo: bool = True, **changed: Any) -> Fit:
    """Every level, matching and warp, but few steps: enough to compare bytes."""
    observations = observations_of(views, use_photo=use_photo)
    levels = make_schedule(exact=True, grid=24, fine_grid=0, known_depth=False)
    few = {"iterations": 8, "refresh": 3, "rematch": 6, "rays": 1500, "planes": 16}
    whole = Fit(
        observations,
        make_silhouettes([o.view for o in observations]),
        None,
        tuple(replace(level, **few) for level in levels),
        Weights(50.0, 0.1, 20.0, 1.0, 100.0),
        density_steps=20,
        seed=42,
        device=torch.device("cpu"),
    )
    return replace(whole, **changed)


def brief_fit(views: ViewSet, **changed: Any) -> RadianceField:
    return optimize(brief(views, **changed))
