"""What is a guess can be told from what the photo shows."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from img2mesh.artifacts import Photo
from img2mesh.core.arrays import OUTSIDE, SEEN_IN_PHOTO, SEEN_IN_VIEWS, UNSEEN
from img2mesh.report.known import FILLED, GUESSED, hatched, small_photo, striped
from tests.shapes import box_asset


def test_what_the_photo_shows_stays_and_the_rest_is_striped_in_its_own_colour() -> None:
    texture = np.full((64, 64, 3), 100, np.uint8)
    coverage = np.full((64, 64), OUTSIDE, np.uint8)
    coverage[:16], coverage[16:32], coverage[32:48] = SEEN_IN_PHOTO, SEEN_IN_VIEWS, UNSEEN
    shown = hatched(texture, coverage)
    assert (shown[:16] == 100).all() and (shown[48:] == 100).all()
    for place, colour in ((shown[16:32], GUESSED), (shown[32:48], FILLED)):
        assert len(np.unique(place.reshape(-1, 3), axis=0)) == 2
        toward = np.sign(np.array(colour) - 100)
        assert (np.sign(place.astype(int) - 100) == toward).all()


def test_both_are_small_pictures_to_embed() -> None:
    asset = box_asset()
    with Image.open(io.BytesIO(striped(asset, side=32))) as picture:
        assert picture.format == "WEBP" and max(picture.size) == 32
    alpha = np.zeros((80, 40), np.uint8)
    photo = Photo(np.zeros((80, 40, 3), np.uint8), alpha)
    with Image.open(io.BytesIO(small_photo(photo, side=40))) as picture:
        assert picture.size == (20, 40) and picture.mode == "RGBA"
