"""Numeric parity with the recorded runs of the public programs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from img2mesh.multiview.zero123.camera import camera_vectors, centres, moves_between
from tests.multiview.zero123.conftest import CASES, GOLDEN


@pytest.mark.parametrize("name", CASES)
def test_every_intermediate_and_result_agrees(name: str, run_case: Callable[..., Any]) -> None:
    case = run_case(name)
    deviations = case.deviations()
    assert {n: d for n, d in deviations.items() if not d < 1e-4} == {}
    assert {"latents_final", "image", "encoder_hidden_states"} < deviations.keys()
    assert case.sample.images.dtype == np.float32


def test_camera_vectors_of_recorded_pairs() -> None:
    recorded = load_file(GOLDEN / "extras.safetensors")
    given, target = (centres(recorded[f"cam_{n}_RT"].numpy()) for n in ("cond", "target"))
    vectors = camera_vectors(*moves_between(given, target))
    assert torch.allclose(vectors.double(), recorded["cam_embedding"].double(), atol=1e-6)
