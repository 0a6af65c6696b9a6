"""Eight photos through real worker processes: each reads the model once, no photo marks another."""

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
from img2mesh.jobs.request import OutputOptions
from img2mesh.worker import task
from img2mesh.worker.protocol import ReportProgress
from tests.conftest import ROOT, toy_picture
from tests.models.tiny import BALLS

PHOTOS, WORKERS = 8, 2
SHEETS = ("views.png", "refined.png")


def counted(payload: Mapping[str, Any], report_progress: ReportProgress) -> dict[str, Any]:
    """The shipped worker's function; leaves who did it, and how often a model was read by then."""
    done = task.run(payload, report_progress)
    facts = {"worker": os.getpid(), "reads": loaded.reads}
    Path(payload["folder"], "worker.json").write_text(json.dumps(facts))
    return done


def bytes_of(folder: Path) -> list[bytes]:
    return [(folder / name).read_bytes() for name in SHEETS]


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
    settings = {
        "views.generator": folder, "refined.generator": folder,
        "views.steps": 1, "refined.steps": 1, "cutout.max_size": 256, "depths.resolution": 16,
    }  # fmt: skip
    plan = planning.plan_photos(
        planning.entries_from([str(photos[0].parent)], None), preset="draft", assignments=[],
        options=OutputOptions(), offline=True, overrides=settings, until="refined", no_cache=True,
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

    together = [bytes_of(tmp_path / "out" / photo.stem) for photo in photos]
    before = loaded.reads
    for item, expected in zip(plan.items, together, strict=True):
        loaded.forget()
        single = {**plan.payload(item), "output_dir": str(tmp_path / "alone")}
        alone = task.run(single, lambda stage, fraction: None)
        assert bytes_of(Path(alone["folder"])) == expected, item.name
    loaded.forget()
    assert loaded.reads == before + PHOTOS
    assert len({sheets[0] for sheets in together}) == PHOTOS
    assert all(views != refined for views, refined in together)
