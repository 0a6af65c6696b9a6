"""The learned generator: what it makes of columns, and what it promises."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from img2mesh.artifacts import Cutout
from img2mesh.errors import InputError
from img2mesh.multiview import identity, learned
from img2mesh.multiview.geometric.outline import frame_camera, trace
from img2mesh.multiview.geometric.solid import polygonise
from img2mesh.multiview.learned import decode, model
from img2mesh.multiview.learned.frustum import COLUMNS, SLICES, slice_depths
from img2mesh.multiview.learned.network import elevation_bins, expected_deg, stack_input
from tests.pretend_gpu import DEVICE, PretendGpu

SIZE = 128


def cutout_of(mask, rgb=(0.7, 0.4, 0.2)):
    colours = np.broadcast_to(np.float32(rgb), (*mask.shape, 3)).copy()
    return Cutout(colours, mask.astype(np.float32))


def animal(size=SIZE):
    """A body on four legs with a head: neither a lathe nor a box."""
    y, x = np.mgrid[:size, :size] / size
    body = ((x - 0.5) / 0.3) ** 2 + ((y - 0.5) / 0.13) ** 2 < 1
    head = ((x - 0.83) / 0.09) ** 2 + ((y - 0.33) / 0.09) ** 2 < 1
    neck = (np.abs(x - 0.76 - (0.42 - y) * 0.5) < 0.05) & (y > 0.33) & (y < 0.5)
    legs = np.zeros_like(body)
    for at in (0.28, 0.38, 0.62, 0.72):
        legs |= (np.abs(x - at) < 0.03) & (y > 0.5) & (y < 0.85)
    return cutout_of(body | head | neck | legs)


def can():
    """A cylinder seen from a little above: surely a lathe."""
    y, x = np.mgrid[:SIZE, :SIZE] / SIZE
    mask = (np.abs(x - 0.5) < 0.25) & (np.abs(y - 0.5) < 0.35)
    mask |= ((x - 0.5) / 0.25) ** 2 + ((y - 0.85) / 0.06) ** 2 < 1
    mask |= ((x - 0.5) / 0.25) ** 2 + ((y - 0.15) / 0.06) ** 2 < 1
    return cutout_of(mask)


def reading_of(cutout, occupancy, elevation=0.0):
    frame = model.frame_of(cutout)
    _, alpha = model.look(cutout, frame)
    nothing = np.zeros((COLUMNS, COLUMNS, 3), np.float32)
    return model.Reading(
        frame, occupancy, model.covered_columns(alpha), nothing, nothing, elevation
    )


def test_the_object_fills_its_share_of_the_network_frame():
    small = np.zeros((SIZE, SIZE), bool)
    small[10:50, 80:100] = True
    cutout = cutout_of(small)
    frame = model.frame_of(cutout)
    rgb, alpha = model.look(cutout, frame)
    rows, columns = np.nonzero(alpha > 0.5)
    assert np.ptp(rows) + 1 == pytest.approx(0.85 * 128, abs=2)
    assert rows.mean() == pytest.approx(63.5, abs=1)
    assert columns.mean() == pytest.approx(63.5, abs=1)
    np.testing.assert_allclose(rgb[64, 64], [0.7, 0.4, 0.2], atol=1e-3)


@pytest.mark.parametrize("elevation", [0.0, 30.0])
def test_a_slab_of_columns_becomes_a_slab(elevation):
    mask = np.zeros((SIZE, SIZE), bool)
    mask[22:106, 30:98] = True
    cutout = cutout_of(mask)
    z = slice_depths()[:, None, None]
    wanted = np.where(np.abs(z - 0.1) < 0.3, 6.0, -6.0) * np.ones((SLICES, COLUMNS, COLUMNS))
    reading = reading_of(cutout, wanted.astype(np.float32), elevation)
    camera = frame_camera(elevation, SIZE)
    field = decode.columns(reading, trace(cutout, parts="join"), camera)
    solid = polygonise(field.implicit, *field.bounds(), cells=60)
    local = (solid.vertices - camera.origin) @ camera.world_from_camera[:3, :3]
    depth = local[:, 2] + np.linalg.norm(camera.origin)
    k = reading.frame.half
    assert depth.max() == pytest.approx(0.4 * k, abs=0.05)
    assert depth.min() == pytest.approx(-0.2 * k, abs=0.05)
    uv, _ = camera.project(solid.vertices)
    assert uv.min(0) == pytest.approx([30, 22], abs=1.5)
    assert uv.max(0) == pytest.approx([98, 106], abs=1.5)


def test_no_column_of_the_outline_is_lost():
    cutout = animal()
    nothing = np.full((SLICES, COLUMNS, COLUMNS), -5.0, np.float32)
    nothing[20] = -4
    field = decode.columns(
        reading_of(cutout, nothing), trace(cutout, parts="join"), frame_camera(0.0, SIZE)
    )
    covered = model.covered_columns(model.look(cutout, field.frame)[1])
    inside = (field.values > 0).any(0).reshape(COLUMNS, 2, COLUMNS, 2).any((1, 3))
    assert inside[covered].all()


def test_an_uncertain_pole_stands_straight_and_whole():
    mask = np.zeros((SIZE, SIZE), bool)
    mask[10:118, 61:67] = True
    cutout = cutout_of(mask)
    doubts = np.full((SLICES, COLUMNS, COLUMNS), -5.0, np.float32)
    likely = np.random.default_rng(0).integers(12, 21, COLUMNS)  # another slice in every row
    doubts[likely, np.arange(COLUMNS)] = -1.0
    doubts[38] = -4.0
    field = decode.columns(
        reading_of(cutout, doubts), trace(cutout, parts="join"), frame_camera(0.0, SIZE)
    )
    pole = (field.values[:, 20:-20, COLUMNS] > 0).astype(float)
    assert pole.any(0).all()  # nowhere torn
    depth = (pole * np.arange(2 * SLICES)[:, None]).sum(0) / pole.sum(0) / 2
    wobble = np.abs(np.diff(depth[::2])).mean()
    assert wobble < 0.3 * np.abs(np.diff(likely)).mean()
    assert depth.min() >= 12 and depth.max() <= 22


def test_the_photo_stays_the_truth_on_the_front():
    cutout = animal()
    views = learned.generate(cutout, body="learned", parts="join", tile=32)
    body = learned.make_body(cutout, body="learned", parts="join")
    from img2mesh.multiview.geometric.draw import Canvas

    rgb, alpha, _, _ = Canvas(body).draw(views.photo.camera)
    seen = alpha > 0.5
    assert (seen & (cutout.alpha > 0.5)).sum() / (seen | (cutout.alpha > 0.5)).sum() > 0.93
    inner = (alpha > 0.99) & (cutout.alpha > 0.99)
    assert np.abs(rgb - cutout.rgb)[inner].mean() < 0.03


def test_what_the_generator_says_of_itself():
    views = learned.generate(animal(), body="auto", parts="join", tile=32)
    assert views.provenance.generator == "learned"
    assert views.provenance.learned_weights and views.provenance.exact
    assert set(views.provenance.licences) <= {"CC0-1.0", "CC-BY-3.0", "CC-BY-4.0"}
    assert "unseen sides are a guess" in views.provenance.notes[0]
    assert views.depth is not None and views.normals is not None
    assert len(identity(generator="learned")["shape"]) == 64


def test_the_same_bytes_twice():
    first, second = (
        learned.generate(animal(), body="auto", parts="join", tile=24) for _ in range(2)
    )
    assert first.rgb.tobytes() == second.rgb.tobytes()
    assert first.depth.tobytes() == second.depth.tobytes()


def test_sure_bodies_win_and_can_be_insisted_on():
    assert learned.make_body(can(), body="auto", parts="join").kind == "lathe"
    assert learned.make_body(can(), body="learned", parts="join").kind == "learned"
    assert learned.make_body(animal(), body="auto", parts="join").kind == "learned"
    assert learned.make_body(animal(), body="inflation", parts="join").kind == "inflation"
    with pytest.raises(InputError, match="unknown body"):
        learned.make_body(animal(), body="lemon", parts="join")


def test_a_lathe_that_the_network_contradicts_is_none(monkeypatch):
    cutout = can()
    z = slice_depths()[:, None, None] * np.ones((1, COLUMNS, COLUMNS))
    plate = np.where(np.abs(z) < 0.08, 6.0, -6.0).astype(np.float32)
    monkeypatch.setattr(model, "read", lambda cutout, file: reading_of(cutout, plate))
    found = learned.make_body(cutout, body="auto", parts="join")
    lathe = learned.make_body(cutout, body="lathe", parts="join")
    assert (found.kind, lathe.kind) == ("learned", "lathe")
    assert learned.likeness(lathe, lathe) == 1
    assert learned.likeness(lathe, found) < 0.6


def test_a_file_that_is_none_of_ours_is_refused(tmp_path):
    with pytest.raises(InputError, match="is missing"):
        identity(generator=str(tmp_path / "none.safetensors"))
    other = tmp_path / "other.safetensors"
    other.write_bytes(b"x" * 64)
    with pytest.raises(InputError, match="not a weights file"):
        learned.generate(animal(), body="learned", parts="join", tile=24, weights=other)


def test_the_network_waits_for_nothing_on_a_gpu():
    rgb, alpha = model.look(animal(), model.frame_of(animal()))
    given = stack_input(torch.from_numpy(rgb).permute(2, 0, 1)[None], torch.from_numpy(alpha)[None])
    network = copy.deepcopy(model._load(model.WEIGHTS, model.fingerprint()))
    with torch.inference_mode():
        bins = elevation_bins(expected_deg(network(given).elevation))
        expected = network(given, bins)
        with PretendGpu() as gpu:
            network.to(DEVICE)
            there = given.to(DEVICE)
            bins = elevation_bins(expected_deg(network(there).elevation))
            guess = network(there, bins)
            assert gpu.operations > 0 and gpu.waits.total() == 0, gpu.waits
            for name in ("occupancy", "normals", "back", "elevation"):
                ours, cpus = getattr(guess, name).cpu(), getattr(expected, name)
                assert (ours - cpus).abs().max() < 1e-4 * cpus.abs().max(), name
