"""Photos one after another in a worker: the model is read once, and no photo marks the next."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from img2mesh.batch import planning
from img2mesh.batch.local import LocalExecutor
from img2mesh.batch.run import Output, run_batch
from img2mesh.batch.scheduler import Policy
from img2mesh.core.runtime import with_threads
from img2mesh.diffusion import loaded
from img2mesh.jobs.request import OutputOptions, request_from
from img2mesh.worker import task
from img2mesh.worker.protocol import ReportProgress
from tests.conftest import ROOT, toy_picture
from tests.models.tiny import BALLS

PHOTOS, WORKERS = 8, 2


def counted(payload: Mapping[str, Any], report_progress: ReportProgress) -> dict[str, Any]:
    """The shipped worker's function; leaves who did it, and how often a model was read by then."""
    done = task.run(payload, report_progress)
    facts = {"worker": os.getpid(), "reads": loaded.reads}
    Path(payload["folder"], "worker.json").write_text(json.dumps(facts))
    return done


@pytest.fixture
def photos(tmp_path: Path) -> list[Path]:
    """The toy, turned and mirrored in every way."""
    folder = tmp_path / "photos"
    folder.mkdir()
    files = [folder / f"{k}.png" for k in range(PHOTOS)]
    for k, file in enumerate(files):
        turned = toy_picture(96).rotate(90 * (k % 4))
        (turned if k < 4 else turned.transpose(Image.Transpose.FLIP_LEFT_RIGHT)).save(file)
    return files


def test_a_worker_reads_the_model_once_for_all_its_photos(
    photos: list[Path], checkpoint: Callable[..., Path], tmp_path: Path
) -> None:
    folder = str(checkpoint(BALLS, balls=True))
    settings = {"views.generator": folder, "views.steps": 1, "cutout.max_size": 256}
    plan = planning.plan_photos(
        planning.entries_from([str(photos[0].parent)], None), preset="draft", assignments=[],
        options=OutputOptions(), offline=True, overrides=settings, until="views", no_cache=True,
        device="cpu",
    )  # fmt: skip
    function = f"{__name__}:{counted.__name__}"
    # As many threads as here: on another number a network sums in another order.
    environment = {**with_threads(torch.get_num_threads()), "PYTHONPATH": str(ROOT)}
    ended = run_batch(
        plan,
        tmp_path / "out",
        lambda opened, count: (
            LocalExecutor(function, jobs=WORKERS, environment=environment, logs=opened.logs),
            "two workers",
        ),
        Policy(retries=0),
        Output(quiet=True),
    )
    assert ended == 0
    facts = [json.loads((tmp_path / "out" / p.stem / "worker.json").read_text()) for p in photos]
    assert len({fact["worker"] for fact in facts}) == WORKERS
    assert [fact["reads"] for fact in facts] == [1] * PHOTOS

    before, drawn = loaded.reads, set()
    for item in plan.items:
        loaded.forget()
        single = {**plan.payload(item), "output_dir": str(tmp_path / "alone")}
        alone = Path(task.run(single, lambda stage, fraction: None)["folder"]) / "views.png"
        together = tmp_path / "out" / item.name / "views.png"
        assert alone.read_bytes() == together.read_bytes(), item.name
        drawn.add(together.read_bytes())
    loaded.forget()
    assert loaded.reads == before + PHOTOS == before + len(drawn)


def test_both_passes_of_a_photo_take_the_same_model(
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
