"""The trainers on tiny networks: what moves, what stays, kills, halves, processes, exports."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

pytest.importorskip("accelerate")
pytest.importorskip("diffusers")

from img2mesh.diffusion import adapters
from img2mesh.errors import InputError
from img2mesh.multiview.zero123plus import Zero123Plus
from img2mesh.multiview.zero123plus.components import load_components
from img2mesh.training.diffusion import pairs, sheets
from img2mesh.training.diffusion.chances import Chance
from img2mesh.training.diffusion.commands import (
    fresh_controlnet,
    train_controlnet,
    train_zero123,
    train_zero123plus,
)
from img2mesh.training.diffusion.options import Options
from img2mesh.training.diffusion.sheet_model import SheetModel, trains
from img2mesh.training.diffusion.sheets import SheetData, depth_sheet, sheet, stack
from tests.models.tiny import TinyShape, make_checkpoint
from tests.training.diffusion.fakes import write_pairs, write_sheets

SHAPE = TinyShape(unet_channels=(8, 16), heads=(1, 2), vae_channels=(4, 4, 4, 8), width=16)
WEIGHTS = "unet/diffusion_pytorch_model.safetensors"
OPTIONS = Options(steps=4, rate=1e-3, warmup=1, averaging=0.5, save_every=2, readers=1)


def quiet(line: str) -> None:
    """Nobody listens."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Renders and a checkpoint to begin with."""
    folder = tmp_path_factory.mktemp("diffusion")
    base = make_checkpoint(folder / "base", SHAPE, controlnets=())
    (base / "inference.py").write_text("raise SystemExit('never run')")
    return write_sheets(folder / "renders"), base


def batch_of(renders: Path, parts, count: int = 2, drop: float = 0.1, control=None):
    data = SheetData.open(renders)
    known = {"for_vae": parts.for_vae, "for_clip": parts.for_clip, "factor": parts.vae_factor}
    return stack(
        [
            data.sample(
                Chance(5, 1, k), **known, channels=4, levels=1000, drop=drop, control=control
            )
            for k in range(count)
        ]
    )


def test_phase_one_leaves_every_other_tensor_bit_identical_and_the_folder_loads(
    world, tmp_path: Path
) -> None:
    renders, base = world
    model = train_zero123plus(renders, base, tmp_path, OPTIONS, note=quiet)
    before, after = load_file(base / WEIGHTS), load_file(model / WEIGHTS)
    assert before.keys() == after.keys()
    for name, value in before.items():
        assert torch.equal(after[name], value) != trains(name, 1), name
    for part in ("vae", "text_encoder", "vision_encoder", "tokenizer", "scheduler"):
        for file in (base / part).iterdir():
            assert (model / part / file.name).read_bytes() == file.read_bytes()
    assert not (model / "inference.py").exists()
    ramp, old = (json.loads((f / "model_index.json").read_text())["ramping_coefficients"]
                 for f in (model, base))  # fmt: skip
    assert len(ramp) == 77 and ramp != old and np.abs(np.subtract(ramp, old)).max() < 0.02
    note = json.loads((model / "img2mesh.json").read_text())
    assert (note["rig"], note["tile"]) == ("zero123plus-v1.1", 32)
    assert "CC0-1.0" in note["licence"] and "phase 1, 4 steps, 3 objects" in note["note"]
    loaded = Zero123Plus.load(model)
    picture = renders / "thing0" / "000.png"
    assert loaded.sample(picture, steps=1, width=64, height=96).images.shape == (1, 96, 64, 3)
    with pytest.raises(InputError, match="--resume"):
        train_zero123plus(renders, base, tmp_path, OPTIONS, note=quiet)


def test_a_killed_run_ends_with_the_weights_of_an_uninterrupted_one(world, tmp_path: Path) -> None:
    renders, base = world
    kept = {"phase": 2, "note": quiet}
    expected = load_file(
        train_zero123plus(renders, base, tmp_path / "whole", OPTIONS, **kept) / WEIGHTS
    )
    program = f"""
import os, signal
from pathlib import Path
from tests.training.diffusion.test_trainers import OPTIONS
from img2mesh.training.diffusion.commands import train_zero123plus
kill = lambda step: step == 3 and os.kill(os.getpid(), signal.SIGKILL)
train_zero123plus(Path({str(renders)!r}), Path({str(base)!r}), Path({str(tmp_path / "killed")!r}),
                  OPTIONS, phase=2, note=lambda line: None, after_step=kill)
"""
    threads = str(torch.get_num_threads())
    killed = subprocess.run(
        [sys.executable, "-c", program], env={**os.environ, "OMP_NUM_THREADS": threads}
    )
    assert killed.returncode == -signal.SIGKILL
    steps: list[int] = []
    again = Options(**{**OPTIONS.__dict__, "resume": True})
    model = train_zero123plus(
        renders, base, tmp_path / "killed", again, after_step=steps.append, **kept
    )
    assert steps == [3, 4]
    for name, value in load_file(model / WEIGHTS).items():
        assert torch.equal(value, expected[name]), name


def test_halves_give_the_gradient_of_the_whole(world, tmp_path: Path) -> None:
    """What two processes or two accumulated micro-batches see is what one batch sees."""
    renders, base = world
    parts = load_components(base)
    model = SheetModel(parts)
    model.choose(2)
    batch = batch_of(renders, parts)
    model(batch).mean().backward()
    whole = {n: p.grad.clone() for n, p in model.named_parameters()}
    model.zero_grad()
    for k in range(2):
        (model({n: v[k : k + 1] for n, v in batch.items()}).mean() / 2).backward()
    for name, p in model.named_parameters():
        assert torch.allclose(p.grad, whole[name], atol=1e-5), name
    model.zero_grad()
    model.enable_checkpointing()
    model.train()
    model(batch).mean().backward()
    for name, p in model.named_parameters():
        assert torch.allclose(p.grad, whole[name], atol=1e-6), name


def test_a_dropped_condition_leaves_no_trace(world) -> None:
    renders, base = world
    parts = load_components(base)
    model = SheetModel(parts)
    batch = batch_of(renders, parts, drop=1.0)
    assert batch["dropped"].all()
    other = {**batch, "for_vae": torch.rand_like(batch["for_vae"]),
             "for_clip": torch.rand_like(batch["for_clip"])}  # fmt: skip
    with torch.no_grad():
        assert torch.equal(model(batch), model(other))
        kept = torch.zeros_like(batch["dropped"])
        assert not torch.equal(model({**batch, "dropped": kept}), model({**other, "dropped": kept}))


def test_conditions_are_dropped_as_often_as_asked() -> None:
    count, p = 3000, 0.1
    share = np.mean([sheets.dropped(Chance(0, s, 1), p) for s in range(count)])
    assert abs(share - p) < 3 * math.sqrt(p * (1 - p) / count)


def test_a_controlnet_begins_as_the_base_and_only_it_moves(world, tmp_path: Path) -> None:
    renders, base = world
    parts = load_components(base)
    batch = batch_of(renders, parts, control="depth")
    with torch.no_grad():
        alone = SheetModel(parts)(batch)
        together = SheetModel(parts, controlnet=fresh_controlnet(parts, 0))(batch)
    assert torch.equal(alone, together)
    options = Options(**{**OPTIONS.__dict__, "sample_every": 3, "sample_steps": 2})
    model = train_controlnet(renders, base, tmp_path, options, note=quiet)
    for name, value in load_file(base / WEIGHTS).items():
        assert torch.equal(load_file(model / WEIGHTS)[name], value), name
    net = load_file(model / "controlnet" / "diffusion_pytorch_model.safetensors")
    assert net["controlnet_mid_block.weight"].abs().max() > 0
    assert (tmp_path / "samples" / "0000003.png").is_file()
    loaded = Zero123Plus.load(model, controlnet=model / "controlnet")
    picture, control = renders / "thing0" / "000.png", depth_sheet(renders / "thing0", 32)
    drawn = [
        loaded.sample(picture, control, s, steps=1, width=64, height=96).images for s in (0, 1.0)
    ]
    assert np.abs(drawn[0] - drawn[1]).max() > 0


def test_sheets_are_the_views_over_grey_row_by_row(world) -> None:
    renders, _ = world
    made = sheet(renders / "thing1", "", 32)
    assert made.shape == (96, 64, 3) and (made[0, 0] == 127).all()
    from PIL import Image

    third = np.asarray(Image.open(renders / "thing1" / "003.png"))
    inside = third[..., 3] > 0
    assert (made[32:64, :32][inside] == third[inside][:, :3]).all()
    depth = depth_sheet(renders / "thing1", 32)
    assert (depth[0, 0] == 127).all() and depth[32:64, :32][inside].max() > 180
    (renders / "render.json").rename(renders / "kept.json")
    with pytest.raises(InputError, match="img2mesh render"):
        SheetData.open(renders)
    (renders / "kept.json").rename(renders / "render.json")


def test_adapters_move_nothing_else_and_their_file_gives_the_exported_weights(
    world, tmp_path: Path
) -> None:
    renders, base = world
    model = train_zero123plus(renders, base, tmp_path, OPTIONS, lora=2, note=quiet)
    before, after = load_file(base / WEIGHTS), load_file(model / WEIGHTS)
    state = load_file(tmp_path / "lora.safetensors")
    adapted = {k.removeprefix("unet.").split(".lora_")[0] for k in state}
    for name, value in before.items():
        if not torch.equal(after[name], value):
            assert name.removesuffix(".weight") in adapted
    assert len(adapted) == 2 * sum("attn1.to_q.weight" in k or "attn1.to_k.weight" in k
                                   or "attn1.to_v.weight" in k or "attn1.to_out.0.weight" in k
                                   for k in before)  # fmt: skip
    plain = load_components(base).unet
    adapters.merge(plain, state)
    for name, value in plain.state_dict().items():
        assert torch.allclose(value, after[name], atol=1e-6), name


def test_a_base_of_stable_diffusion_gets_the_official_layout(world, tmp_path: Path) -> None:
    import shutil

    from img2mesh.training.diffusion.start import official_folder

    _, base = world
    start = tmp_path / "sd"
    shutil.copytree(base, start, ignore=shutil.ignore_patterns("vision*", "feature*", "img2mesh*"))
    (start / "model_index.json").write_text(json.dumps({"_class_name": "StableDiffusionPipeline"}))
    with pytest.raises(InputError, match="--vision"):
        official_folder(start, None, tmp_path / "out")
    made = official_folder(start, base / "vision_encoder", tmp_path / "out")
    parts = load_components(made)
    assert parts.training.beta_schedule == "linear" and parts.training.prediction == "v_prediction"
    assert torch.allclose(parts.ramping, torch.arange(77) / 77)
    assert not (made / "inference.py").exists()
    assert official_folder(base, None, tmp_path / "none") == base


def test_zero_1_to_3_trains_and_its_layout_loads(tmp_path: Path) -> None:
    from img2mesh.multiview.zero123 import Zero123
    from tests.models.tiny_zero123 import make_zero123

    base = make_zero123(tmp_path / "base")
    renders = write_pairs(tmp_path / "renders")
    options = Options(**{**OPTIONS.__dict__, "steps": 2, "drop": 0.05})
    model = train_zero123(renders, base, tmp_path / "out", options, note=quiet)
    before, after = load_file(base / WEIGHTS), load_file(model / WEIGHTS)
    assert before.keys() == after.keys() and not torch.equal(
        after["conv_in.weight"], before["conv_in.weight"]
    )
    loaded = Zero123.load(model)
    picture = renders / "thing0" / "000.png"
    drawn = loaded.sample(picture, 0.0, 90.0, steps=1, width=64, height=64)
    assert drawn.images.shape == (1, 64, 64, 3)


def test_pairs_drop_each_condition_alone_and_both() -> None:
    count, p = 4000, 0.05
    clip, latents = np.array([pairs.dropped(Chance(0, s, 0), p) for s in range(count)]).T
    for share in (clip & ~latents, clip & latents, ~clip & latents):
        assert abs(share.mean() - p) < 3 * math.sqrt(p * (1 - p) / count)
