"""Masks in the spellings people have, and shadows in transparency: cases 24, 25, 27, 28."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from img2mesh.artifacts import Photo
from img2mesh.errors import InputError
from img2mesh.io.masks import STORED, TURNED_OVER, WHOLE
from img2mesh.segmentation.shadows import without_shadow

DATA = Path(__file__).parent / "data"
TOY = DATA / "25-mask-inverted" / "toy.png"


def iou(one: np.ndarray, other: np.ndarray) -> float:
    return float((one & other).sum() / (one | other).sum())


def truth() -> np.ndarray:
    """The object of the toy: the inverse of the inverted mask."""
    return np.asarray(Image.open(DATA / "25-mask-inverted" / "mask.png")) < 128


def written(folder: Path, spelling: str) -> Path:
    """The true mask in a spelling."""
    inside = truth()
    path = folder / "mask.png"
    if spelling == "0/1":
        Image.fromarray(inside.astype(np.uint8)).save(path)
    elif spelling == "labels":
        Image.fromarray(np.where(inside, 7, 0).astype(np.uint8)).save(path)
    elif spelling == "bits":
        Image.fromarray(inside).save(path)
    elif spelling == "alpha":
        pixels = np.zeros((*inside.shape, 4), np.uint8)
        pixels[..., 3] = inside * 255
        Image.fromarray(pixels).save(path)
    elif spelling in ("16-bit labels", "16-bit 0/1"):
        top = 300 if spelling == "16-bit labels" else 1
        Image.fromarray((inside * top).astype(np.uint16)).save(path)
    elif spelling == "VOC's numbers":
        rim = np.roll(inside, 3, axis=0) & ~inside
        Image.fromarray(np.where(inside, 5, np.where(rim, 255, 0)).astype(np.uint8)).save(path)
    elif spelling in ("dark", "light"):
        ground, top = (0, 100) if spelling == "dark" else (150, 250)
        Image.fromarray(np.where(inside, top, ground).astype(np.uint8)).save(path)
    elif spelling == "palette":
        picture = Image.fromarray(inside.astype(np.uint8), "P")
        picture.putpalette([0, 0, 0, 128, 0, 0])
        picture.save(path)
    else:
        ground, colour = {"blue": (0, (0, 0, 255)), "on white": (255, (220, 40, 40))}[spelling]
        pixels = np.full((*inside.shape, 3), ground, np.uint8)
        pixels[inside] = colour
        Image.fromarray(pixels).save(path)
    return path


SPELLINGS = [
    "0/1", "labels", "bits", "alpha", "palette", "blue", "on white", "16-bit labels", "16-bit 0/1",
    "VOC's numbers", "dark", "light",
]  # fmt: skip


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_every_spelling_is_the_object(tmp_path: Path, spelling: str) -> None:
    photo = Photo.open(TOY, mask=written(tmp_path, spelling))
    assert photo.mask is not None and iou(photo.mask > 127, truth()) == 1


def test_a_red_mask_is_understood() -> None:
    folder = DATA / "27-mask-red"
    photo = Photo.open(folder / "toy.png", mask=folder / "mask.png")
    red = np.asarray(Image.open(folder / "mask.png"))[..., 0] > 127
    assert photo.mask is not None and iou(photo.mask > 127, red) == 1


def test_an_inverted_mask_is_turned_over_and_told() -> None:
    photo = Photo.open(TOY, mask=DATA / "25-mask-inverted" / "mask.png")
    assert photo.mask is not None and (photo.mask > 127)[truth()].all()
    assert TURNED_OVER in photo.notes
    whole = Photo.from_image(Image.open(TOY), mask=Image.new("L", photo.rgb.shape[1::-1], 255))
    assert whole.mask is not None and whole.mask.all() and TURNED_OVER not in whole.notes
    assert WHOLE in whole.notes


def test_a_photo_is_no_mask() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (*truth().shape, 3)).astype(np.uint8)
    with pytest.raises(InputError, match="a picture of many colours: expected the object in white"):
        Photo.from_image(Image.open(TOY), mask=Image.fromarray(noise))


def test_a_mask_of_the_stored_pixels_turns_with_its_photo() -> None:
    folder = DATA / "28-mask-stored-orientation"
    photo = Photo.open(folder / "phone.jpg", mask=folder / "mask.png")
    stored = np.asarray(Image.open(folder / "mask.png")) > 127
    assert photo.mask is not None and STORED in photo.notes
    assert iou(photo.mask > 127, np.rot90(stored, -1)) == 1


@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_a_mask_of_the_upright_photo_stays(tmp_path: Path, orientation: int) -> None:
    back = {3: 2, 6: 1, 8: 3}[orientation]
    upright = Image.open(TOY).convert("RGB")
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = Image.fromarray(np.rot90(np.asarray(upright), back).copy())
    stored.save(tmp_path / "phone.png", exif=exif)
    mask = written(tmp_path, "0/1")
    photo = Photo.open(tmp_path / "phone.png", mask=mask)
    assert photo.mask is not None and iou(photo.mask > 127, truth()) == 1
    Image.fromarray(np.rot90(truth(), back).astype(np.uint8)).save(mask)
    photo = Photo.open(tmp_path / "phone.png", mask=mask)
    assert photo.mask is not None and iou(photo.mask > 127, truth()) == 1
    assert STORED in photo.notes


def test_a_shadow_in_the_alpha_is_no_object() -> None:
    pixels = np.asarray(Image.open(DATA / "24-shadow-in-alpha" / "toy_shadow.png"))
    alpha, notes = without_shadow(pixels[..., :3], pixels[..., 3])
    assert "shadow" in notes[0]
    solid = pixels[..., 3] >= 247
    assert (alpha[solid] == pixels[..., 3][solid]).all()
    assert iou(alpha > 127, solid) > 0.93


@pytest.mark.parametrize("what", ["plain", "soft", "glass"])
def test_no_shadow_is_taken_for_one(what: str) -> None:
    y, x = np.mgrid[:96, :96] - 48.0
    away = np.hypot(x, y)
    rgb = np.full((96, 96, 3), 10, np.uint8)  # a black object with a soft rim is no shadow
    alpha = np.clip((30 - away) * 127 + 128, 0, 255).astype(np.uint8)
    if what == "soft":
        alpha = np.clip((31 - away) * 100, 0, 255).astype(np.uint8)
    if what == "glass":
        rgb[:] = (180, 220, 240)
        alpha[away < 20] = 150
    kept, notes = without_shadow(rgb, alpha)
    assert (kept == alpha).all() and not any("shadow" in note for note in notes)
