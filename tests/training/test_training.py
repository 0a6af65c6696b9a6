"""The loop: it learns, it can be killed, and its weights can be used."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

pytest.importorskip("kornia")
pytest.importorskip("accelerate")

from img2mesh.errors import InputError
from img2mesh.multiview.learned.frustum import FRONT, slice_depths
from img2mesh.multiview.learned.network import elevation_bins
from img2mesh.training.augment import make_batch
from img2mesh.training.catalog import read_catalog
from img2mesh.training.commands import train_shape
from img2mesh.training.export import export
from img2mesh.training.loop import Plan, train
from img2mesh.training.losses import losses, volume_iou
from img2mesh.training.pool import Pool
from img2mesh.training.prepare import prepare
from tests.training.meshes import write_meshes

TINY = {"stem": 8, "half": 16, "quarter": 16, "deep": 16, "blocks": 1}
PLAN = Plan(
    steps=6, batch=3, rate=4e-3, warmup=2, averaging=0.9, save_every=2, measure_every=100,
    bfloat16=False,
)  # fmt: skip
NO_PROBES = torch.zeros(0, 9, 3)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("training")
    entries = read_catalog(write_meshes(folder / "meshes"))
    prepare(entries, folder / "data", views=4, passes=1, processes=1, seed=0)
    return folder / "data", entries


def run(prepared, out, plan, **options):
    data, entries = prepared
    return train(data, out, entries, (), NO_PROBES, plan, network=TINY, **options)


def test_a_killed_run_ends_with_the_weights_of_an_uninterrupted_one(prepared, tmp_path):
    expected = run(prepared, tmp_path / "whole", PLAN).state_dict()
    program = f"""
import os, signal, torch
from pathlib import Path
from tests.training.test_training import NO_PROBES, PLAN, TINY
from img2mesh.training.catalog import read_catalog
from img2mesh.training.loop import train
entries = read_catalog(Path({str(prepared[0].parent / "meshes")!r}))
kill = lambda step: step == 5 and os.kill(os.getpid(), signal.SIGKILL)
train(Path({str(prepared[0])!r}), Path({str(tmp_path / "killed")!r}), entries, (), NO_PROBES, PLAN,
      network=TINY, after_step=kill)
"""
    threads = str(torch.get_num_threads())
    killed = subprocess.run(
        [sys.executable, "-c", program], env={**os.environ, "OMP_NUM_THREADS": threads}
    )
    assert killed.returncode == -signal.SIGKILL
    assert (tmp_path / "killed" / "checkpoint.pt").exists()
    found = run(prepared, tmp_path / "killed", PLAN).state_dict()
    for name, value in expected.items():
        assert torch.equal(found[name], value), name


def test_a_finished_run_can_be_made_longer(prepared, tmp_path):
    run(prepared, tmp_path, replace(PLAN, steps=2))
    steps = []
    run(prepared, tmp_path, replace(PLAN, steps=4), after_step=steps.append)
    assert steps == [3, 4]


def test_ten_seconds_of_training_beat_the_flat_card(prepared, tmp_path):
    items = Pool(*prepared).first(16)
    batch = make_batch(items, NO_PROBES, seed=(5,), faults=False)
    plan = replace(PLAN, steps=30, batch=6, rate=8e-3, warmup=5, save_every=1000)
    fresh = run(prepared, tmp_path / "fresh", replace(plan, steps=1))
    network = run(prepared, tmp_path / "trained", plan).eval()
    with torch.no_grad():
        guess = network(batch.picture)
        before = losses(fresh.eval()(batch.picture), batch)["loss"]
    assert losses(guess, batch)["loss"] < 0.8 * before
    card = torch.zeros_like(batch.occupied)
    near = np.abs(slice_depths() - FRONT).argsort()[:3]
    card[:, torch.from_numpy(near)] = 1
    flat = volume_iou(replace(guess, occupancy=card * 2 - 1), batch)
    assert volume_iou(guess, batch).mean() > flat.mean() + 0.1


def test_the_body_depends_on_the_elevation_it_is_decoded_for(prepared, tmp_path):
    plan = replace(PLAN, steps=8, batch=6, rate=8e-3, warmup=2, save_every=1000)
    network = run(prepared, tmp_path, plan).eval()
    batch = make_batch(Pool(*prepared).first(4), NO_PROBES, seed=(5,), faults=False)
    low, high = (elevation_bins(torch.full((4,), e)) for e in (0.0, 30.0))
    with torch.no_grad():
        own, below, above = (network(batch.picture, e) for e in (None, low, high))
        some = network(batch.picture, low, torch.tensor([True, True, False, False]))
    assert torch.equal(below.elevation, own.elevation)
    assert (below.occupancy - above.occupancy).abs().max() > 1e-3
    assert torch.equal(some.occupancy[:2], below.occupancy[:2])
    assert torch.equal(some.occupancy[2:], own.occupancy[2:])


def test_mirroring_turns_everything(prepared):
    items = Pool(*prepared).first(4)
    batch = make_batch(items, NO_PROBES, seed=(0,), faults=False)
    mirrored = items.copy()
    for name in ("albedo", "alpha", "normal", "back", "occupied"):
        mirrored[name] = mirrored[name][:, :, ::-1]
    mirrored["normal"][..., 0] *= -1
    other = make_batch(mirrored, NO_PROBES, seed=(0,), faults=False)
    assert torch.equal(other.occupied, batch.occupied.flip(-1))
    assert torch.allclose(other.picture[:, 3], batch.picture[:, 3].flip(-1))
    faulty = make_batch(items, NO_PROBES, seed=(1,))
    assert torch.equal(faulty.occupied.amax((1, 3)).sum(), batch.occupied.amax((1, 3)).sum())


def test_the_whole_command_and_its_weights(tmp_path):
    from img2mesh.artifacts import Cutout
    from img2mesh.multiview import Sampling, embedded, generate, identity

    meshes = write_meshes(tmp_path / "meshes", held_out=("slab",))
    weights = train_shape(
        meshes, tmp_path / "out", steps=1, batch=2, views=1, passes=1, procedural=6,
        processes=1, name="mine", note=lambda line: None,
    )  # fmt: skip
    with pytest.raises(InputError, match="--resume"):
        train_shape(meshes, tmp_path / "out", steps=2)
    card = (tmp_path / "out" / "card.md").read_text()
    assert "# mine" in card and "| CC0-1.0 | somebody | 3 |" in card
    assert "3 meshes and 6 procedural shapes" in card
    y, x = np.mgrid[:96, :96]
    alpha = (np.hypot(x - 48, y - 48) < 40).astype(np.float32)
    cutout = Cutout(np.full((96, 96, 3), 0.5, np.float32), alpha)
    name = str(weights)
    assert embedded(name)
    views = generate(
        cutout, generator=name, body="learned", parts="join", tile=24, normals=False,
        elevation=None, consistency="none", matcher="sift", sampling=Sampling(),
    )  # fmt: skip
    assert views.provenance.learned_weights
    assert views.provenance.licences == ("CC0-1.0",)
    assert "mine" in views.provenance.notes[0] and "3 meshes" in views.provenance.notes[0]
    before = identity(generator=name)
    export(
        tmp_path / "out" / "run" / "checkpoint.pt", weights, read_catalog(meshes), name="other",
        widths={},
    )  # fmt: skip
    assert identity(generator=name) != before
