"""Where the object lands in the square, and what colours surround it."""

from __future__ import annotations

import numpy as np
import pytest

from img2mesh.artifacts import Photo
from img2mesh.errors import InputError
from img2mesh.pipeline import cutout as cut_out
from img2mesh.segmentation import framing, matte


def photo_with_box(
    top: int, left: int, height: int, width: int, shape: tuple[int, int] = (300, 400)
) -> Photo:
    """A red box with a white dot in its top left quarter on green, with its exact alpha."""
    rgb = np.full((*shape, 3), (0, 255, 0), np.uint8)
    alpha = np.zeros(shape, np.uint8)
    rgb[top : top + height, left : left + width] = (200, 20, 20)
    alpha[top : top + height, left : left + width] = 255
    y, x = top + height // 4, left + width // 4
    rgb[y - 3 : y + 3, x - 3 : x + 3] = 255
    return Photo(rgb=rgb, alpha=alpha)


@pytest.mark.parametrize(("ratio", "max_size"), [(0.85, 1024), (0.6, 1024), (0.85, 256), (1, 512)])
@pytest.mark.parametrize("box", [(40, 30, 220, 120), (100, 20, 61, 350), (0, 0, 300, 100)])
def test_corners_map_back(box: tuple[int, int, int, int], ratio: float, max_size: int) -> None:
    cutout = cut_out(photo_with_box(*box), foreground_ratio=ratio, max_size=max_size)
    top, left, height, width = box
    natural = max(height, width) / ratio
    assert cutout.size == min(max_size, max(256, round(natural)))
    assert cutout.method == "alpha" and cutout.confidence == 1
    rows, columns = (np.flatnonzero((cutout.alpha > 0.5).any(axis)) for axis in (1, 0))
    corners = np.array([[columns[0], rows[0], 1], [columns[-1] + 1, rows[-1] + 1, 1]]).T
    (x0, x1), (y0, y1), _ = cutout.photo_from_cutout @ corners
    pixel = natural / cutout.size
    assert np.abs([x0 - left, x1 - left - width, y0 - top, y1 - top - height]).max() <= pixel
    longest = max(len(rows), len(columns))
    assert abs(longest / cutout.size - ratio) <= 2 / cutout.size
    middle = (rows[0] + rows[-1] + 1) / 2, (columns[0] + columns[-1] + 1) / 2
    assert np.abs(np.array(middle) - cutout.size / 2).max() <= 1
    # The white dot, found in the cutout, is where the map says it is.
    white = np.argwhere((cutout.rgb.min(-1) > 0.75) & (cutout.alpha > 0.9)) + 0.5
    x, y, _ = cutout.photo_from_cutout @ [*white.mean(0)[::-1], 1]
    assert abs(x - (left + width // 4)) <= pixel and abs(y - (top + height // 4)) <= pixel


def test_no_background_in_the_colours() -> None:
    cutout = cut_out(photo_with_box(60, 80, 150, 130))
    assert cutout.rgb[..., 1].max() < 0.35 or (
        cutout.rgb[cutout.rgb.min(-1) < 0.5][:, 1].max() < 0.35
    )
    assert cutout.alpha[:10].max() == 0 and cutout.alpha[:, :10].max() == 0
    assert set(np.unique(cutout.alpha[100:150, 128])) == {1.0}


def test_true_colours_stay_inside() -> None:
    rng = np.random.default_rng(0)
    rgb = rng.integers(0, 256, (256, 256, 3)).astype(np.uint8)
    alpha = np.zeros((256, 256), np.uint8)
    alpha[20:236, 20:236] = 255
    cutout = cut_out(Photo(rgb=rgb, alpha=alpha), foreground_ratio=216 / 256)
    assert cutout.size == 256
    inside = slice(24, 232)
    assert np.abs(cutout.rgb[inside, inside] - rgb[inside, inside] / 255).max() < 1e-4


def test_thin_limbs_keep_their_colour() -> None:
    """A leg of five pixels has no pixel far inside; it must not take the body's colour."""
    rgb = np.full((512, 512, 3), 255, np.uint8)
    mask = np.zeros((512, 512), np.uint8)
    mask[40:200, 100:400] = 255
    rgb[40:200, 100:400] = (200, 0, 0)
    mask[200:470, 240:245] = 255
    rgb[200:470, 240:245] = (0, 0, 220)
    cutout = cut_out(Photo(rgb=rgb, mask=mask), max_size=512)
    u, v, _ = np.linalg.inv(cutout.photo_from_cutout) @ [242.5, 400, 1]
    assert np.abs(cutout.rgb[int(v), int(u)] - [0, 0, 220 / 255]).max() < 0.1


def test_small_parts_and_holes() -> None:
    mask = np.zeros((200, 200), np.float32)
    mask[40:160, 40:160] = 1
    mask[45:47, 45:47] = 0  # a pinhole
    mask[80:120, 80:120] = 0  # a handle's opening
    mask[10:13, 10:13] = 1  # a speck
    mask[170:190, 60:140] = 1  # a second part
    clean, notes = matte.clean(mask)
    assert clean[45, 45] == 1 and clean[100, 100] == 0 and clean[11, 11] == 0
    assert clean[180, 100] == 1 and any("2 separate parts" in note for note in notes)


def test_natural_size_is_not_exceeded() -> None:
    assert cut_out(photo_with_box(10, 10, 280, 280)).size == round(280 / 0.85)
    assert cut_out(photo_with_box(10, 10, 30, 40)).size == framing.MIN_SIZE


def test_order_of_masks() -> None:
    photo = photo_with_box(60, 80, 150, 130)
    mask = np.zeros_like(photo.alpha)
    mask[200:280, 300:390] = 255
    both = Photo(rgb=photo.rgb, alpha=photo.alpha, mask=mask)
    assert cut_out(both).method == "mask"
    assert cut_out(photo).method == "alpha"
    plain = Photo(rgb=photo.rgb)
    assert cut_out(plain).method == "border"
    whole = cut_out(plain, remove_background=False)
    assert whole.method == "none"
    x, y, _ = whole.photo_from_cutout @ [whole.size / 2, whole.size / 2, 1]
    assert (round(x), round(y)) == (200, 150)
    assert cut_out(photo, remove_background=False).method == "alpha"


def test_useless_alpha_is_ignored() -> None:
    photo = photo_with_box(60, 80, 150, 130)
    alpha = np.full_like(photo.alpha, 255)
    alpha[0, :5] = 0
    cutout = cut_out(Photo(rgb=photo.rgb, alpha=alpha))
    assert cutout.method == "border"
    assert any("transparency" in note for note in cutout.notes)


@pytest.mark.parametrize("count", [0, 5])
def test_empty_masks_are_refused(count: int) -> None:
    mask = np.zeros((300, 400), np.uint8)
    mask[50, 50 : 50 + count] = 255
    photo = photo_with_box(60, 80, 150, 130)
    with pytest.raises(InputError, match="--mask"):
        cut_out(Photo(rgb=photo.rgb, mask=mask))


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"segmenter": "bordr"}, "did you mean 'border'"),
        ({"segmenter": "rembg"}, "auto, border, u2netp, u2net, sam, onnx"),
        ({"segmenter": "sam"}, "model folder"),
        ({"segmenter": "onnx", "model": "/nowhere.onnx"}, "existing file"),
        ({"foreground_ratio": 0.0}, "foreground ratio"),
        ({"foreground_ratio": 1.5}, "foreground ratio"),
        ({"max_size": 10}, "256"),
    ],
)
def test_bad_settings(settings: dict, word: str) -> None:
    photo = Photo(rgb=photo_with_box(60, 80, 150, 130).rgb)
    with pytest.raises(InputError, match=word):
        cut_out(photo, **settings)
