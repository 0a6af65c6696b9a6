"""Work on several threads: side by side, in order, and by one torch thread each."""

from __future__ import annotations

import threading

import pytest
import torch

from img2mesh.field.parallel import each

CPU = torch.device("cpu")


def test_parts_are_worked_on_side_by_side_and_come_back_in_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    both = threading.Barrier(2, timeout=60)

    def work(part: int) -> tuple[int, int]:
        both.wait()  # passes only if another part is at work too
        return part, torch.get_num_threads()

    assert each(work, [3, 1], CPU) == [(3, 1), (1, 1)]


def test_an_error_in_a_part_comes_through(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    with pytest.raises(ZeroDivisionError):
        each(lambda part: 1 / part, [1, 0, 2], CPU)
