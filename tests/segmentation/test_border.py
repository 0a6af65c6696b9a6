"""The weight-free segmenter on made-up photographs whose true mask is known."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from img2mesh.artifacts import Photo
from img2mesh.errors import InputError
from img2mesh.graph import Run
from img2mesh.pipeline import cutout as cut_out
from img2mesh.segmentation import border

Mask = NDArray[np.bool_]
SIZE = 256


def grid() -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    yy, xx = np.mgrid[0:SIZE, 0:SIZE] / SIZE
    return yy, xx


def teapot() -> tuple[NDArray[np.floating], Mask]:
    """A round red body with a handle (a hole) and a spout, lit from the left: (rgb, mask)."""
    yy, xx = grid()
    body = ((xx - 0.5) / 0.22) ** 2 + ((yy - 0.55) / 0.2) ** 2 < 1
    ring = np.hypot((xx - 0.74) / 0.11, (yy - 0.53) / 0.13)
    spout = np.abs(yy - 0.5 + (xx - 0.25) * 0.8 - 0.04) < 0.025
    mask = body | ((ring < 1) & (ring > 0.62)) | (spout & (xx > 0.14) & (xx < 0.4))
    light = (0.55 + 0.5 * (1 - xx))[..., None]
    return light * np.array([0.8, 0.22, 0.12]), mask


def toy() -> tuple[NDArray[np.floating], Mask]:
    """A figure of three colours with legs apart."""
    yy, xx = grid()
    head = np.hypot(xx - 0.5, yy - 0.25) < 0.11
    trunk = (np.abs(xx - 0.5) < 0.14) & (yy > 0.34) & (yy < 0.62)
    legs = (np.abs(np.abs(xx - 0.5) - 0.09) < 0.045) & (yy >= 0.62) & (yy < 0.85)
    rgb = np.zeros((SIZE, SIZE, 3))
    rgb[head], rgb[trunk], rgb[legs] = (0.95, 0.8, 0.3), (0.15, 0.3, 0.75), (0.75, 0.15, 0.35)
    return rgb * (0.75 + 0.25 * (1 - yy))[..., None], head | trunk | legs


def scene(kind: str, rng: np.random.Generator) -> NDArray[np.floating]:
    yy, xx = grid()
    if kind == "gradient":
        return (0.55 + 0.3 * yy - 0.15 * xx)[..., None] * np.array([0.95, 1.0, 1.05])
    if kind == "white":
        return np.full((SIZE, SIZE, 3), 0.96)
    grain = gaussian_filter(rng.normal(size=(SIZE, SIZE)), 1.2)
    grain = grain / grain.std()
    if kind == "wall and floor":
        wall = np.array([0.72, 0.7, 0.66]) * (1 + 0.02 * grain[..., None])
        floor = np.array([0.42, 0.5, 0.4]) * (1 + 0.12 * grain[..., None])
        return np.where((yy > 0.6)[..., None], floor, wall)
    assert kind == "blobs"
    picture = np.full((SIZE, SIZE, 3), (0.55, 0.65, 0.7))
    for x, y, r, colour in ((0.2, 0.2, 0.09, (0.9, 0.6, 0.2)), (0.85, 0.15, 0.07, (0.3, 0.7, 0.3))):
        picture[np.hypot(xx - x, yy - y) < r] = colour
    return gaussian_filter(picture, (7, 7, 0))


def photograph(
    thing: tuple[NDArray[np.floating], Mask], kind: str, seed: int = 0
) -> tuple[NDArray[np.uint8], Mask]:
    """The thing in the scene, with a soft shadow, soft edges and noise."""
    rng = np.random.default_rng(seed)
    rgb, mask = thing
    yy, xx = grid()
    bottom = np.flatnonzero(mask.any(1)).max() / SIZE
    shadow = ((xx - 0.52) / 0.22) ** 2 + ((yy - bottom) / 0.04) ** 2 < 1
    shade = 1 - 0.4 * gaussian_filter(shadow.astype(float), 5)
    alpha = gaussian_filter(mask.astype(float), 0.6)[..., None]
    picture = scene(kind, rng) * shade[..., None] * (1 - alpha) + rgb * alpha
    picture = picture + rng.normal(0, 0.008, picture.shape)
    return (np.clip(picture, 0, 1) * 255 + 0.5).astype(np.uint8), mask


@cache
def found_in(thing: str, kind: str) -> tuple[border.Segmentation, Mask]:
    """What is found in one of the photographs, and the truth; each is looked at once."""
    rgb, mask = photograph({"teapot": teapot, "toy": toy}[thing](), kind)
    return border.segment(rgb), mask


def iou(matte: NDArray[np.floating], mask: Mask) -> float:
    found = matte > 0.5
    return float((found & mask).sum() / (found | mask).sum())


@pytest.mark.parametrize("kind", ["gradient", "white", "wall and floor", "blobs"])
@pytest.mark.parametrize("thing", ["teapot", "toy"])
def test_finds_the_object(thing: str, kind: str) -> None:
    found, mask = found_in(thing, kind)
    assert iou(found.matte, mask) >= 0.93
    assert found.confidence >= 0.7
    if thing == "teapot":
        hole = np.hypot(*(np.array(grid()) - [[[0.53]], [[0.775]]])) < 0.02
        assert found.matte[hole].max() < 0.5, "the handle's opening was closed"


def test_same_bytes_every_time_and_at_other_sizes() -> None:
    rgb, mask = photograph(toy(), "gradient")
    first, second = found_in("toy", "gradient")[0], border.segment(rgb)
    assert np.array_equal(first.matte, second.matte) and first.confidence == second.confidence
    large = np.kron(rgb, np.ones((2, 2, 1), np.uint8))
    found = border.segment(large)
    assert found.matte.shape == (2 * SIZE, 2 * SIZE)
    assert iou(found.matte, np.kron(mask, np.ones((2, 2), bool))) >= 0.93


def test_the_matte_is_clean_away_from_the_edge() -> None:
    found, mask = found_in("teapot", "gradient")
    matte = found.matte
    assert matte[:20].max() == 0 and matte[:, :20].max() == 0
    assert matte[int(0.55 * SIZE), int(0.5 * SIZE)] == 1
    soft = (matte > 0.02) & (matte < 0.98)
    assert 0 < soft.sum() < 0.25 * mask.sum()


def test_nothing_there_is_refused() -> None:
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 6, (200, 300, 3))
    for rgb in (
        np.full((200, 300, 3), 255, np.uint8),
        np.full((200, 300, 3), (90, 120, 30), np.uint8),
        np.clip(128 + noise, 0, 255).astype(np.uint8),
        rng.integers(0, 256, (200, 300, 3)).astype(np.uint8),
        (scene("wall and floor", rng) * 255).astype(np.uint8),
    ):
        with pytest.raises(InputError, match=r"no object was found .* --mask"):
            cut_out(Photo(rgb=rgb))


def test_low_confidence_warns_and_progress_reaches_one(monkeypatch: pytest.MonkeyPatch) -> None:
    from img2mesh import segmentation

    rgb, _ = photograph(toy(), "white")
    monkeypatch.setattr(segmentation, "WARN_BELOW", 1.01)
    steps: list[float] = []
    cutout = cut_out(Photo(rgb=rgb), run=Run(on_progress=lambda done, _: steps.append(done)))
    assert any("low confidence" in note for note in cutout.notes)
    assert steps == sorted(steps) and steps[-1] == 1 and len(steps) >= 4


def test_two_objects_keep_the_larger_and_say_so() -> None:
    yy, xx = grid()
    one = np.hypot(xx - 0.35, yy - 0.5) < 0.18
    two = np.hypot(xx - 0.8, yy - 0.5) < 0.13
    rgb = np.zeros((SIZE, SIZE, 3))
    rgb[one], rgb[two] = (0.8, 0.2, 0.1), (0.1, 0.3, 0.8)
    picture, _ = photograph((rgb, one | two), "gradient")
    cutout = cut_out(Photo(rgb=picture))
    assert any("more than one object" in note for note in cutout.notes)
    x, y, _ = cutout.photo_from_cutout @ [cutout.size / 2, cutout.size / 2, 1]
    assert abs(x / SIZE - 0.35) < 0.03 and abs(y / SIZE - 0.5) < 0.03


def test_an_object_that_fills_the_picture_works_with_a_mask() -> None:
    """Touching all four borders: without a mask either outcome is honest, an empty one is not."""
    rgb = np.full((120, 160, 3), (180, 60, 40), np.uint8)
    rgb[::7] = (60, 40, 160)
    mask = np.full((120, 160), 255, np.uint8)
    cutout = cut_out(Photo(rgb=rgb, mask=mask))
    assert (cutout.alpha > 0.5).mean() > 0.5
    try:
        guess = cut_out(Photo(rgb=rgb))
    except InputError as error:
        assert "--mask" in str(error)
    else:
        assert (guess.alpha > 0.5).mean() > 0.05


@pytest.mark.parametrize("shape", [(16, 16), (16, 300), (400, 21)])
def test_tiny_and_narrow_pictures_never_crash(shape: tuple[int, int]) -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (*shape, 3)).astype(np.uint8)
    assert border.segment(rgb).matte.shape == shape
