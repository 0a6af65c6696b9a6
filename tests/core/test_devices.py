"""Devices that a stage cannot use."""

from __future__ import annotations

from typing import Any

import pytest

from img2mesh import pipeline
from img2mesh.graph import Run


@pytest.mark.parametrize("device", ["mps", "cpu", "cuda:1"])
def test_the_fit_leaves_apples_gpu_alone(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    told: dict[str, Any] = {}
    monkeypatch.setattr(pipeline.field, "fit", lambda views, **settings: told.update(settings))
    run = Run(device=device)
    pipeline.radiance(None, run=run)  # type: ignore[arg-type]
    assert told["device"] == ("cpu" if device == "mps" else device)
    assert ["double precision" in note for note in run.notes] == [True] * (device == "mps")
