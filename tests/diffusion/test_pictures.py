"""Stock text-to-image pipelines: what they draw hangs on the wish alone, and no code of a folder
runs."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from img2mesh.diffusion import checkpoints, pictures
from img2mesh.diffusion.pictures import Model, Wish, visited_steps
from img2mesh.errors import InputError
from tests.conftest import made_once
from tests.models.tiny_pictures import make_pictures

WISH = Wish("a blue teapot", "busy", 3, 5.0, 1)


@pytest.fixture(scope="module")
def xl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random checkpoint of the kind of SDXL."""
    return made_once(tmp_path_factory, "pictures-xl", lambda home: make_pictures(home, xl=True))


def load(folder: Path, task: pictures.Task = "text") -> Model:
    found = checkpoints.locate(folder)
    return Model.load(found, task, torch.device("cpu"), torch.float32, False)


def test_a_picture_hangs_on_text_seed_and_size(xl: Path) -> None:
    model, done = load(xl), list[float]()
    first = model.draw(WISH, size=None, progress=done.append)
    assert first.shape == (64, 64, 3) and 0 <= first.min() < first.max() <= 1
    assert done == pytest.approx([1 / 3, 2 / 3, 1])

    def other(size: int | None = None, **changed: object) -> np.ndarray:
        return model.draw(replace(WISH, **changed), size=size, progress=done.append)

    assert (other() == first).all()
    for changed in ({"prompt": "a cup"}, {"negative": ""}, {"seed": 2}, {"guidance_scale": 2.0}):
        assert (other(**changed) != first).any(), changed
    assert other(size=96).shape == (96, 96, 3)
    with pytest.raises(InputError, match="the model cannot draw that"):
        other(size=65)


def test_a_picture_drawn_again_keeps_its_size_and_changes_with_strength(xl: Path) -> None:
    model, picture = load(xl, "picture"), np.full((40, 40, 3), 0.5, np.float32)
    picture[10:30, 10:30] = (0.9, 0.2, 0.1)
    wish = replace(WISH, steps=10)
    assert model.redraw(picture, wish, strength=0.0) is picture
    assert model.redraw(picture, wish, strength=0.09) is picture, "not one step"
    found = model.redraw(picture, wish, strength=0.3)
    assert found.shape == picture.shape and found.dtype == np.float32
    assert (model.redraw(picture, wish, strength=0.3) == found).all()
    assert (model.redraw(picture, wish, strength=0.6) != found).any()
    assert [visited_steps(50, s) for s in (0.0, 0.05, 0.2, 1.0)] == [0, 2, 10, 50]


def test_code_and_torch_files_of_a_folder_are_refused(xl: Path, tmp_path: Path) -> None:
    code = shutil.copytree(xl, tmp_path / "code")
    index = json.loads((code / "model_index.json").read_text())
    (code / "model_index.json").write_text(json.dumps({**index, "unet": ["mine", "Net"]}))
    (code / "unet" / "mine.py").write_text("raise SystemExit('it ran')")
    with pytest.raises(InputError, match="takes unet from 'mine': only stock classes"):
        load(code)
    old = shutil.copytree(xl, tmp_path / "old")
    weights = old / "unet" / "diffusion_pytorch_model.safetensors"
    weights.unlink()
    torch.save({}, weights.with_suffix(".bin"))
    with pytest.raises(InputError, match="with weights as safetensors"):
        load(old)


def test_a_folder_is_recognised_by_its_class(xl: Path, tmp_path: Path) -> None:
    record = checkpoints.locate(xl).record
    assert record.kind == "pictures" and record.commercial, "its note says so"
    plain = shutil.copytree(xl, tmp_path / "plain")
    (plain / checkpoints.NOTE_NAME).unlink()
    record = checkpoints.locate(plain).record
    assert record.kind == "pictures" and not record.commercial and record.licence == "unknown"
