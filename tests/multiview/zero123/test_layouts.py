"""Every way a checkpoint comes in, and what is said of one that cannot be used."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from img2mesh.diffusion import checkpoints, fetching
from img2mesh.errors import InputError
from img2mesh.imaging.framing import framed
from img2mesh.multiview.zero123 import Zero123
from img2mesh.multiview.zero123.camera import camera_vectors
from img2mesh.multiview.zero123.preprocess import on_white
from tests.models.tiny_zero123 import make_original, make_zero123
from tests.multiview.zero123.conftest import GOLDEN, PARTS, deviation

PICTURE = Image.open(GOLDEN / "input_0.png")
QUICK: dict[str, Any] = {"steps": 2, "width": 64, "height": 64}


def test_an_original_file_holds_the_same_networks(tmp_path: Path) -> None:
    make_zero123(tmp_path / "folder", original=True, torch_files=True)
    file = make_original(tmp_path / "105000.ckpt")
    of_folder, of_file = Zero123.load(tmp_path / "folder"), Zero123.load(file)
    for part in ("unet", "vae", "image_encoder", "projection"):
        ours, theirs = (getattr(m.parts, part).state_dict() for m in (of_file, of_folder))
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[k], theirs[k]) for k in ours), part
    drawn = [m.sample(PICTURE, [10.0], [30.0], **QUICK).latents for m in (of_folder, of_file)]
    assert torch.equal(*drawn)
    assert of_file.size == 256


def test_plain_weights_serve_where_there_are_no_averaged_ones(tmp_path: Path) -> None:
    averaged = Zero123.load(make_original(tmp_path / "a.ckpt"))
    plain = Zero123.load(make_original(tmp_path / "b.ckpt", averaged=False))
    states = [m.parts.unet.state_dict()["conv_in.weight"] for m in (averaged, plain)]
    assert torch.equal(*states)


def test_a_file_with_code_is_refused_in_a_sentence(tmp_path: Path) -> None:
    file = tmp_path / "evil.ckpt"
    torch.save({"state_dict": {"w": torch.ones(1)}, "callback": Evil()}, file)
    with pytest.raises(InputError, match=r"evil\.ckpt cannot be read as plain weights") as caught:
        Zero123.load(file)
    assert "convert it to safetensors" in str(caught.value) and "\n" not in str(caught.value)


class Evil:
    """Anything that is no tensor."""


def test_the_wrong_betas_of_a_known_converter_are_told(
    tmp_path: Path, folder: Callable[[str], Path]
) -> None:
    home = tmp_path / "wrong"
    shutil.copytree(folder("cc_projection"), home)
    path = home / "scheduler" / "scheduler_config.json"
    config = json.loads(path.read_text(encoding="utf-8")) | {"beta_start": 0.02, "beta_end": 0.085}
    path.write_text(json.dumps(config), encoding="utf-8")
    notes = Zero123.load(home).parts.notes
    assert len(notes) == 1 and "0.02 to 0.085" in notes[0] and "0.00085 to 0.012" in notes[0]


@pytest.mark.parametrize("missing", [*PARTS[:3], "cc_projection"])
def test_a_missing_part_is_named(
    missing: str, tmp_path: Path, folder: Callable[[str], Path]
) -> None:
    for part in (*PARTS, "cc_projection"):
        if part != missing:
            (tmp_path / part).symlink_to(folder("cc_projection") / part)
    with pytest.raises(InputError, match=missing):
        Zero123.load(tmp_path)


def test_what_the_camera_s_fourth_number_means_is_the_checkpoint_s(tmp_path: Path) -> None:
    make_zero123(tmp_path / "stable", camera="cond_polar")
    stable = Zero123.load(tmp_path / "stable")
    assert stable.fourth == "cond_polar"
    seen: dict[str, Any] = {}
    stable.sample(
        PICTURE, [5.0], [0.0], **QUICK, input_elevation_deg=20.0, observe=seen.__setitem__
    )
    assert seen["camera_embedding"][0, 0, 3] == pytest.approx(np.deg2rad(70))
    with pytest.raises(InputError, match="knows no change of distance"):
        stable.sample(PICTURE, [5.0], [0.0], [0.1], **QUICK)
    assert checkpoints.TABLE["stable-zero123"].camera == "cond_polar"
    assert checkpoints.TABLE["zero123-xl"].camera == "radius"


def test_vectors_wrap_and_turn_the_elevation_s_sign_once() -> None:
    up = camera_vectors([30.0], [-90.0], [0.2])[0].tolist()
    assert up == pytest.approx([-np.pi / 6, -1, 0, 0.2], abs=1e-6)
    assert torch.allclose(
        camera_vectors([0], [370], [0]), camera_vectors([0], [10], [0]), atol=1e-6
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (([1.0, 2.0], [1.0], [0.0]), "three lists of one length"),
        (([float("nan")], [1.0], [0.0]), "finite"),
        (([200.0], [1.0], [0.0]), "at most 180"),
    ],
)
def test_impossible_poses(arguments: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        camera_vectors(*arguments)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"width": 60}, "multiples of 8"),
        ({"eta": 2.0}, "eta"),
        ({"images_per_prompt": 0}, "at least 1"),
        ({"images": [PICTURE] * 3}, "3 pictures came with 2 poses"),
        ({"images": [PICTURE] * 2, "share_attention": True}, "one picture"),
        ({"steps": 0}, "steps"),
    ],
)
def test_impossible_samples(model: Zero123, changes: dict[str, Any], words: str) -> None:
    arguments: dict[str, Any] = {
        "images": PICTURE, "elevations_deg": [0.0, 1.0], "azimuths_deg": [2.0, 3.0], **QUICK,
    }  # fmt: skip
    with pytest.raises(InputError, match=words):
        model.sample(**(arguments | changes))


def test_views_share_attention(model: Zero123) -> None:
    poses = {"elevations_deg": [0.0, 10.0, 20.0], "azimuths_deg": [30.0, 90.0, 150.0]}
    noise = Rows(torch.randn(3, 4, 8, 8, generator=torch.Generator().manual_seed(0)))

    def drawn(order: list[int], share: bool) -> torch.Tensor:
        some = {k: [v[i] for i in order] for k, v in poses.items()}
        return model.sample(
            PICTURE, **some, **QUICK, noise=noise.of(order), share_attention=share
        ).latents

    apart, together = drawn([0, 1, 2], False), drawn([0, 1, 2], True)
    assert deviation(together, apart) > 1e-2
    assert deviation(drawn([2, 0, 1], True), together[[2, 0, 1]]) < 1e-4
    assert deviation(drawn([1], True), apart[1:2]) < 1e-4, "one view alone is left as it was"


class Rows:
    """The same noise for a view, wherever it stands."""

    def __init__(self, rows: torch.Tensor) -> None:
        self.rows = rows

    def of(self, order: list[int]) -> Rows:
        return Rows(self.rows[order])

    def draw(self, kind: str, step: int | None, shape: tuple[int, ...]) -> torch.Tensor:
        return self.rows


def test_low_memory_changes_nothing(model: Zero123, folder: Callable[[str], Path]) -> None:
    small = Zero123.load(folder("cc_projection"), low_memory=True)
    drawn = [m.sample(PICTURE, [5.0], [40.0], **QUICK).latents for m in (model, small)]
    assert deviation(drawn[1], drawn[0]) < 1e-5


def test_transparency_is_blended_onto_white_and_framed() -> None:
    rgba = np.zeros((64, 64, 4), np.uint8)
    rgba[16:48, 24:40] = (255, 0, 0, 128)
    flat = np.asarray(on_white(Image.fromarray(rgba), 64, 64))
    assert flat[0, 0].tolist() == [255, 255, 255]
    assert np.abs(flat[32, 32].astype(int) - [255, 127, 127]).max() <= 1
    alpha = np.zeros((100, 80), np.float32)
    alpha[10:60, 20:40] = 1
    picture = np.asarray(framed(np.zeros((100, 80, 3), np.float32), alpha, 256))
    rows, columns = np.nonzero(picture[..., 0] < 128)
    assert np.ptp(rows) + 1 == pytest.approx(200, abs=1)
    assert np.ptp(columns) + 1 == pytest.approx(80, abs=1)
    assert (rows.min() + rows.max() + 1) / 2 == pytest.approx(128, abs=1)
    assert (columns.min() + columns.max() + 1) / 2 == pytest.approx(128, abs=1)


def test_fetching_takes_what_the_layout_has(tmp_path: Path) -> None:
    make_zero123(tmp_path, layout="clip_camera_projection", torch_files=True)
    there = [p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*") if p.is_file()]
    files = fetching.wanted_files(checkpoints.TABLE["zero123-xl"], [*there, "pipeline.py"])
    assert set(files) == set(there) - {"img2mesh.json"}
    for row in ("zero123", "zero123-xl", "stable-zero123"):
        record = checkpoints.TABLE[row]
        assert record.licence and record.megabytes > 1000 and not record.commercial


def test_an_old_vision_tower_s_names_are_understood(
    tmp_path: Path, folder: Callable[[str], Path]
) -> None:
    state = load_file(GOLDEN / "components/image_encoder/model.safetensors")
    assert any(k.startswith("vision_model.") for k in state)
    assert Zero123.load(folder("clip_camera_projection")).parts.processor is not None
