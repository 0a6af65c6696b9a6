"""The default segmenter with a made-up network: who decides what, and how sure it is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from img2mesh import segmentation
from img2mesh.artifacts import Photo
from img2mesh.diffusion import wheels
from img2mesh.errors import InputError
from img2mesh.pipeline import cutout as cut_out
from img2mesh.segmentation import fused, onnx

Mask = NDArray[np.bool_]
SIZE = 200


def disc(x: float, y: float, r: float, size: int = SIZE) -> Mask:
    v, u = np.mgrid[:size, :size] + 0.5
    found: Mask = np.hypot(u / size - x, v / size - y) < r
    return found


def scene(*things: tuple[Mask, tuple[int, int, int]]) -> NDArray[np.uint8]:
    """Flat things on grey, with noise."""
    rgb = np.full((SIZE, SIZE, 3), 150.0)
    for mask, colour in things:
        rgb[mask] = colour
    rgb += np.random.default_rng(0).normal(0, 2, rgb.shape)
    return np.clip(rgb + 0.5, 0, 255).astype(np.uint8)


def overlap(matte: NDArray[np.floating], mask: Mask) -> float:
    return float(((matte > 0.5) & mask).sum() / ((matte > 0.5) | mask).sum())


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    """Call it with a mask: that is what the network sees from then on."""

    def sees(mask: Mask) -> None:
        answer = np.where(mask, 0.97, 0.01).astype(np.float32)
        monkeypatch.setattr(onnx, "probability", lambda rgb, *, model, device: answer)

    return sees


def find(rgb: NDArray[np.uint8]) -> segmentation.Segmentation:
    return fused.segment(rgb, network=Path("u2netp.onnx"), device="cpu")


def test_when_all_agree_it_is_sure(network) -> None:  # type: ignore[no-untyped-def]
    thing = disc(0.5, 0.5, 0.25)
    network(thing)
    found = find(scene((thing, (180, 40, 30))))
    assert overlap(found.matte, thing) > 0.97 and found.confidence > 0.95 and not found.notes


def test_the_network_says_which_object(network) -> None:  # type: ignore[no-untyped-def]
    one, two = disc(0.3, 0.5, 0.2), disc(0.75, 0.5, 0.16)
    network(two)
    found = find(scene((one, (180, 40, 30)), (two, (30, 60, 170))))
    assert overlap(found.matte, two) > 0.95
    assert 0.5 <= found.confidence < 0.8, "the frame shows another object"


def test_colours_open_the_hole_that_the_network_fills(network) -> None:  # type: ignore[no-untyped-def]
    ring = disc(0.5, 0.5, 0.32) & ~disc(0.5, 0.5, 0.14)
    network(disc(0.5, 0.5, 0.32))
    found = find(scene((ring, (180, 40, 30))))
    assert overlap(found.matte, ring) > 0.95


def test_thin_parts_that_the_network_loses_are_kept(network) -> None:  # type: ignore[no-untyped-def]
    body, leg = disc(0.5, 0.35, 0.2), np.zeros((SIZE, SIZE), bool)
    leg[100:180, 96:104] = True
    network(body)
    found = find(scene((body | leg, (240, 240, 240))))
    assert overlap(found.matte, body | leg) > 0.95


def test_an_object_cut_by_the_frame_is_said_and_less_sure(network) -> None:  # type: ignore[no-untyped-def]
    half = disc(0.5, 1.0, 0.35)
    network(half)
    found = find(scene((half, (180, 40, 30))))
    assert any("cut off" in note for note in found.notes)
    assert overlap(found.matte, half) > 0.8 and 0.5 <= found.confidence < 0.8


def test_where_the_network_sees_nothing_the_frame_decides(network) -> None:  # type: ignore[no-untyped-def]
    thing = disc(0.5, 0.5, 0.25)
    network(np.zeros_like(thing))
    found = find(scene((thing, (180, 40, 30))))
    assert overlap(found.matte, thing) > 0.95 and 0.5 < found.confidence <= 0.75
    assert find(scene()).confidence == 0


def test_same_bytes_every_time(network) -> None:  # type: ignore[no-untyped-def]
    thing = disc(0.45, 0.5, 0.25)
    network(disc(0.5, 0.5, 0.25))
    first, second = (find(scene((thing, (180, 40, 30)))) for _ in range(2))
    assert np.array_equal(first.matte, second.matte) and first.confidence == second.confidence


def test_without_the_file_the_weight_free_way_and_a_note() -> None:
    thing = disc(0.5, 0.5, 0.25)
    cutout = cut_out(Photo(rgb=scene((thing, (180, 40, 30)))))
    assert cutout.method == "border"
    assert any("models fetch u2netp" in note for note in cutout.notes)
    assert segmentation.identity(segmenter="auto", model=None) == {}
    alone = cut_out(Photo(rgb=scene((thing, (180, 40, 30)))), segmenter="border")
    assert alone.notes == () and np.array_equal(alone.alpha, cutout.alpha)


def test_with_the_file_the_network_is_in_the_identity_and_the_method(
    network, monkeypatch: pytest.MonkeyPatch
) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(wheels, "is_here", lambda name, **_: True)
    monkeypatch.setattr(wheels, "verified", lambda name, **_: Path(f"{name}.onnx"))
    thing = disc(0.5, 0.5, 0.25)
    network(thing)
    photo = Photo(rgb=scene((thing, (180, 40, 30))))
    assert cut_out(photo).method == "border+u2netp"
    assert cut_out(photo, segmenter="u2netp").method == "u2netp"
    for name in ("auto", "u2netp"):
        found = segmentation.identity(segmenter=name, model=None)
        assert found == {"model": wheels.WHEELS["u2netp"].sha256}


def test_a_box_says_which_of_two_objects() -> None:
    one, two = disc(0.3, 0.5, 0.2), disc(0.75, 0.5, 0.14)
    rgb = scene((one, (180, 40, 30)), (two, (30, 60, 170)))
    box = (round(0.61 * SIZE), round(0.36 * SIZE), round(0.28 * SIZE), round(0.28 * SIZE))
    cutout = cut_out(Photo(rgb=rgb), box=box)
    x, y, _ = cutout.photo_from_cutout @ [cutout.size / 2, cutout.size / 2, 1]
    assert abs(x / SIZE - 0.75) < 0.02 and abs(y / SIZE - 0.5) < 0.02
    large = cut_out(Photo(rgb=rgb, reduction=2.0), box=tuple(2 * v for v in box))
    assert np.array_equal(large.alpha, cutout.alpha), "in pixels of the file"


@pytest.mark.parametrize("box", [(0, 0, 300, 100), (-5, 0, 50, 50), (10, 10, 3, 50)])
def test_a_box_beside_the_picture_is_refused(box: tuple[int, int, int, int]) -> None:
    with pytest.raises(InputError, match="does not lie in 'photo'"):
        cut_out(Photo(rgb=scene()), box=box)


def test_a_mask_wins_over_the_box_and_says_so() -> None:
    mask = np.where(disc(0.5, 0.5, 0.2), 255, 0).astype(np.uint8)
    cutout = cut_out(Photo(rgb=scene(), mask=mask), box=(10, 10, 50, 50))
    assert cutout.method == "mask" and any("no effect" in note for note in cutout.notes)
