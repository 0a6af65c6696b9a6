"""The output folder: sheets of any number of views, files in place or not at all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from img2mesh.imaging import sheet
from img2mesh.jobs.delivery import Deliverable, place


@pytest.mark.parametrize("count", [3, 4, 7, 8])
def test_any_number_of_pictures_fits_on_a_sheet(count: int) -> None:
    stack = np.arange(1, count + 1, dtype=float)[:, None, None, None] * np.ones((1, 2, 3, 1))
    made = sheet.tile(stack)
    assert made.shape == (2 * ((count + 1) // 2), 6, 1)
    found = [made[2 * (i // 2), 3 * (i % 2), 0] for i in range(count)]
    assert found == list(range(1, count + 1))


def test_a_failed_write_leaves_the_old_file_and_no_litter(tmp_path: Path) -> None:
    target = tmp_path / "mesh.glb"
    target.write_bytes(b"old")

    def fails(path: Path) -> None:
        path.write_bytes(b"half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        place(tmp_path, Deliverable("mesh.glb", "mesh", fails))
    assert target.read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["mesh.glb"]
