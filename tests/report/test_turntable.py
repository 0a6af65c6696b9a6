"""The animated picture: frames, size, motion, and an old file that survives a failure."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from img2mesh.errors import Img2MeshError, InputError
from img2mesh.report import save_turntable
from tests.shapes import box_asset


def test_one_full_turn_that_loops(tmp_path: Path) -> None:
    done: list[float] = []
    path = tmp_path / "new folder" / "turn.webp"
    save_turntable(box_asset(), path, frames=4, size=96, progress=done.append)
    with Image.open(path) as film:
        assert (film.n_frames, film.size, film.info["loop"]) == (4, (96, 96), 0)
        frames = []
        for i in range(4):
            film.seek(i)
            frames.append(np.asarray(film.convert("RGB"), float))
    # The frames face the front, the right, the back and the left of the box.
    for frame, channel in zip(frames, (0, 2, 1), strict=False):
        middle = frame[40:56, 40:56].mean(axis=(0, 1))
        assert middle.argmax() == channel
    assert done == sorted(done)
    assert done[-1] == 1.0


def test_a_failure_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "turn.webp"
    path.write_bytes(b"old")

    def fails(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", fails)
    with pytest.raises(Img2MeshError, match="No space left"):
        save_turntable(box_asset(), path, frames=2, size=32)
    assert [p.name for p in tmp_path.iterdir()] == ["turn.webp"]
    assert path.read_bytes() == b"old"


def test_no_frames_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="frames"):
        save_turntable(box_asset(), tmp_path / "x.webp", frames=0)
