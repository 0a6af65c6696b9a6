"""The pipeline's side: views on the rig, the whole command, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from img2mesh import multiview
from img2mesh.artifacts import Cutout
from img2mesh.core.rigs import rig
from img2mesh.errors import InputError
from img2mesh.multiview import Sampling
from img2mesh.multiview.zero123 import Zero123
from tests.conftest import Command, made_once, toy_picture
from tests.models.tiny_zero123 import make_zero123

QUICK = Sampling(steps=2, device="cpu")


@pytest.fixture(scope="module")
def balls(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint in the second layout whose decoder draws a ball on white."""

    def make(home: Path) -> None:
        torch.set_num_threads(1)
        make_zero123(home / "balls", layout="clip_camera_projection", ball=True)

    return made_once(tmp_path_factory, "zero123-balls", make) / "balls"


def cutout() -> Cutout:
    rgba = np.asarray(toy_picture(), np.float32) / 255
    return Cutout(rgba[..., :3], rgba[..., 3])


def draw(checkpoint: Path, **changes: Any) -> Any:
    settings: dict[str, Any] = {
        "body": "auto", "parts": "join", "tile": 64, "normals": False, "elevation": 0.0,
        "matcher": "sift", "consistency": "none", "sampling": QUICK,
    }  # fmt: skip
    return multiview.generate(cutout(), generator=str(checkpoint), **(settings | changes))


def test_the_rig_is_drawn_relative_to_the_photo(
    balls: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []
    sample = Zero123.sample

    def listening(self: Any, *args: Any, **more: Any) -> Any:
        asked.append((args, more))
        return sample(self, *args, **more)

    monkeypatch.setattr(Zero123, "sample", listening)
    views = draw(balls, elevation=12.0, consistency="shared-attention")
    (_, elevations, azimuths, _), more = asked[0]
    known = rig("zero123plus-v1.1")
    assert elevations == [e - 12.0 for e in known.elevations_deg]
    assert azimuths == list(known.azimuths_deg)
    assert more["share_attention"] and more["input_elevation_deg"] == 12.0
    assert [c.fov_deg for c in views.cameras] == pytest.approx([known.fov_deg] * 6)
    assert views.provenance.learned_weights and views.provenance.licences == ("none: random",)
    assert 0.3 < views.alpha.mean() < 0.5, "a ball of radius .72"


def test_the_same_seed_draws_the_same(balls: Path) -> None:
    one, two = draw(balls), draw(balls)
    assert np.array_equal(one.rgb, two.rgb)
    other = draw(balls, sampling=Sampling(steps=2, device="cpu", seed=1))
    assert not np.array_equal(one.rgb, other.rgb)


def test_control_is_refused_before_the_work(
    balls: Path, toy: Path, in_process: Command, tmp_path: Path
) -> None:
    for setting, word in (("refined.controlnet=x", "depth"), ("views.normals=true", "normals")):
        done = in_process(
            "run", str(toy), "--generator", str(balls), "--set", setting, "-o", str(tmp_path)
        )
        assert done.returncode == 2 and f"has no {word} control" in done.stderr
        assert "zero123plus" in done.stderr and not list(tmp_path.glob("toy"))
    with pytest.raises(InputError, match="has no depth control"):
        multiview.require_fitting({}, {"generator": "zero123-xl", "controlnet": "x"})


def test_an_unfetched_checkpoint_says_how_to_get_it(toy: Path, in_process: Command) -> None:
    done = in_process("run", str(toy), "--generator", "zero123-xl")
    assert done.returncode == 2 and "img2mesh models fetch zero123-xl" in done.stderr


@pytest.mark.slow
def test_whole_pipeline(balls: Path, toy: Path, in_process: Command, tmp_path: Path) -> None:
    flags = ["--generator", str(balls), "--steps", "2", "--elevation", "10", "--json", "--offline"]
    flags += ["--consistency", "shared-attention", "--cache-dir", str(tmp_path / "cache")]
    for setting in ("radiance.grid=32", "surface.target_faces=600", "radiance.density_steps=0",
                    "asset.texture_resolution=128", "registered.confidence=2"):  # fmt: skip
        flags += ["--set", setting]
    done = in_process("run", str(toy), *flags, "-o", str(tmp_path / "out"))
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["generator"] == "balls" and report["learned_weights"] is True
    assert report["watertight"] and report["components"] == 1
    assert any("has no depth control" in one for one in report["warnings"])
    sheet = Image.open(tmp_path / "out" / "toy" / "views.png")
    assert sheet.size == (128, 192)


def test_a_matcher_that_is_none_is_refused_before_any_work() -> None:
    with pytest.raises(InputError, match="neither sift nor a folder"):
        multiview.require_fitting({"generator": "geometric", "matcher": "/nowhere"}, {})


def test_an_elevation_that_cannot_be_estimated_is_said(balls: Path) -> None:
    told: list[str] = []
    done: list[float] = []
    draw(balls, elevation=None, note=told.append, progress=done.append)
    assert any("could not be estimated (only" in one and "--elevation" in one for one in told)
    assert done == sorted(done) and done[-1] == 1.0 and 0 <= done[0] < 0.4
