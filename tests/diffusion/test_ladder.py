"""The ladder of the sampler's benchmark: rungs that fail are told, and cost no other rung."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from benchmarks import sampler
from img2mesh.errors import Img2MeshError
from img2mesh.multiview.zero123plus import Sample

CPU = torch.device("cpu")
RUNGS = [sampler.PLAIN, sampler.Rung("usual"), sampler.Rung("fast", speed="fast")]


def climbed(monkeypatch: pytest.MonkeyPatch, errors: dict[str, Exception]) -> list[dict[str, Any]]:
    """The records of a ladder whose rungs draw grey, 0.1 brighter each, or raise."""

    def measure(rung: sampler.Rung, *_: Any, **__: Any) -> tuple[dict[str, Any], Sample]:
        if rung.name in errors:
            raise errors[rung.name]
        grey = np.full((1, 6, 4, 3), 0.1 * RUNGS.index(rung), np.float32)
        record = {"rung": rung.name, "seconds": 2.0, "dtype": "float32", "peak_memory_mb": 1}
        return record, Sample(torch.zeros(1, 4, 6, 4), grey)

    monkeypatch.setattr(sampler, "measure", measure)
    nothing: Any = None
    return sampler.climb(nothing, nothing, CPU, steps=1, tile=2, chosen=RUNGS)


def test_without_the_first_rung_the_others_have_no_factors(monkeypatch: pytest.MonkeyPatch) -> None:
    full = torch.OutOfMemoryError("CUDA out of memory.\nTried to allocate 10 GiB")
    plain, usual, fast = climbed(monkeypatch, {"plain": full})
    assert plain == {"rung": "plain", "failed": "CUDA out of memory."}
    assert usual["seconds"] == fast["seconds"] == 2.0
    assert not {"speed_up", "image_difference_mean"} & (usual.keys() | fast.keys())


def test_a_rung_between_that_fails_leaves_the_next_its_factors(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    error = Img2MeshError("the decoded views are not finite numbers")
    plain, usual, fast = climbed(monkeypatch, {"usual": error})
    assert usual["failed"] == str(error) and plain["speed_up"] == 1
    assert fast["image_difference_max"] == pytest.approx(0.2) and fast["speed_up"] == 1


def test_an_error_without_words_is_told_by_its_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    told = climbed(monkeypatch, {rung.name: MemoryError() for rung in RUNGS})
    assert [one["failed"] for one in told] == ["MemoryError"] * 3
