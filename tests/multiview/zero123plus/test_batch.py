"""Photos one after another in one worker: the model is read once, and no photo marks the next."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from img2mesh.diffusion import loaded
from img2mesh.jobs.request import OutputOptions, request_from
from img2mesh.worker import task
from tests.conftest import toy_picture
from tests.models.tiny import BALLS


def test_a_worker_reads_the_model_once(
    checkpoint: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = str(checkpoint(BALLS, balls=True))
    photos = []
    for turn in range(2):
        photos.append(tmp_path / f"{turn}.png")
        toy_picture(128).transpose(Image.Transpose(turn + 1)).save(photos[-1])
    overrides = {
        "views.generator": folder, "refined.generator": folder,
        "views.steps": 2, "refined.steps": 2, "cutout.max_size": 256, "depths.resolution": 16,
    }  # fmt: skip
    request = request_from(overrides=overrides, until="refined", no_cache=True, device="cpu")
    payload = task.encode(request, OutputOptions())

    def draw(photo: Path, out: Path) -> list[bytes]:
        given = {**payload, "source": str(photo), "output_dir": str(out)}
        task.run(given, lambda stage, fraction: None)
        return [(out / photo.stem / name).read_bytes() for name in ("views.png", "refined.png")]

    loaded.forget()
    before = loaded.reads
    together = [draw(photo, tmp_path / "together") for photo in photos]
    assert loaded.reads == before + 1
    alone = []
    for photo in photos:
        loaded.forget()
        alone.append(draw(photo, tmp_path / "alone"))
    loaded.forget()
    assert loaded.reads == before + 3 and together == alone
    assert len({views for views, _ in together}) == 2 and all(a != b for a, b in together)
