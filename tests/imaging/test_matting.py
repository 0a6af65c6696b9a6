"""Background removal on tiles drawn the way generators draw: soft, grainy, slightly shaded."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from img2mesh.errors import InputError
from img2mesh.imaging import matting

SIZE = 160


def _tile(
    alpha: np.ndarray, colour: np.ndarray, background: float, *, shade: float = 0.0
) -> np.ndarray:
    """Composite, blur by half a pixel, add 1.2 grey levels of smooth noise and a gradient."""
    picture = colour * alpha[..., None] + background * (1 - alpha[..., None])
    picture = ndimage.gaussian_filter(picture, (0.6, 0.6, 0))
    noise = np.random.default_rng(0).standard_normal(picture.shape)
    noise = ndimage.gaussian_filter(noise, (1, 1, 0))
    gradient = np.linspace(-shade, shade, SIZE)[None, :, None]
    picture = picture + 1.2 / 255 * noise / noise.std() + gradient / 255
    return np.clip(np.rint(picture * 255) / 255, 0, 1).astype(np.float32)


def _disc(x: float, y: float, radius: float) -> np.ndarray:
    """Antialiased coverage of a disc."""
    v, u = np.mgrid[0:SIZE, 0:SIZE] + 0.5
    return np.clip(radius - np.hypot(u - x, v - y) + 0.5, 0, 1)


def _iou(a: np.ndarray, b: np.ndarray) -> float:
    return float(((a > 0.5) & (b > 0.5)).sum() / ((a > 0.5) | (b > 0.5)).sum())


RED = np.full((SIZE, SIZE, 3), (0.7, 0.25, 0.2))


@pytest.mark.parametrize("background", ["grey", "white"])
@pytest.mark.parametrize("shade", [0.0, 3.0])
def test_disc(background: str, shade: float) -> None:
    alpha = _disc(80, 75, 50)
    level = matting.NOMINAL[background]
    tile = _tile(alpha, RED, level, shade=shade if background == "grey" else 0)
    for name in (background, "auto"):
        cut = matting.remove_background(tile[None], background=name)  # type: ignore[arg-type]
        assert _iou(cut.alpha[0], alpha) > 0.985
        assert np.abs(cut.alpha[0] - alpha).mean() < 0.005
        assert (cut.alpha[0][_disc(80, 75, 60) == 0] == 0).all()


def test_colours_hold_no_background() -> None:
    """The rim is the object's own colour: on another background no grey fringe shows."""
    alpha = _disc(80, 80, 45)
    cut = matting.remove_background(_tile(alpha, RED, 127 / 255)[None])
    rim = (cut.alpha[0] > 0.05) & (cut.alpha[0] < 0.95)
    assert rim.sum() > 100
    assert np.abs(cut.rgb[0][rim] - RED[0, 0]).max() < 0.12
    assert np.abs(cut.rgb[0] - RED[0, 0]).max() < 0.12, "colour should continue outwards"


def test_hole_seen_through_the_object() -> None:
    alpha = _disc(80, 80, 55) * (1 - _disc(80, 80, 20))
    cut = matting.remove_background(_tile(alpha, RED, 127 / 255)[None])
    assert cut.alpha[0][80, 80] == 0
    assert _iou(cut.alpha[0], alpha) > 0.97


def test_grey_inside_the_object_stays() -> None:
    """Shading passes through the background's colour: a band of it is not a hole."""
    alpha = _disc(80, 80, 55)
    ramp = np.clip(np.linspace(-0.4, 1.4, SIZE), 0, 1)  # 2.9 grey levels a pixel
    colour = np.repeat(ramp[None, :, None], SIZE, axis=0).repeat(3, 2)
    cut = matting.remove_background(_tile(alpha, colour, 127 / 255)[None])
    assert cut.alpha[0][60:100, 50:110].min() == 1


def test_thin_parts_survive() -> None:
    alpha = np.maximum(_disc(80, 60, 35), 0)
    alpha[90:150, 78:82] = 1
    cut = matting.remove_background(_tile(alpha, RED, 127 / 255)[None])
    assert cut.alpha[0][100:145, 79:81].min() > 0.5


def test_specks_are_dropped() -> None:
    alpha = np.maximum(_disc(80, 80, 40), _disc(20, 20, 1.2))
    cut = matting.remove_background(_tile(alpha, RED, 127 / 255)[None])
    assert cut.alpha[0][:40, :40].max() == 0


def test_object_that_touches_the_border() -> None:
    alpha = _disc(80, 150, 60)
    cut = matting.remove_background(_tile(alpha, RED, 127 / 255)[None])
    assert _iou(cut.alpha[0], alpha) > 0.97


def test_empty_tile_says_so() -> None:
    tile = _tile(np.zeros((SIZE, SIZE)), RED, 127 / 255)
    cut = matting.remove_background(np.stack([_tile(_disc(80, 80, 40), RED, 127 / 255), tile]))
    assert cut.alpha[1].max() == 0 and cut.alpha[0].max() == 1
    assert cut.notes == ("view 2 shows no object on its background",)


@pytest.mark.parametrize("quality", [None, 90])
def test_generated_tiles_of_unknown_making(quality: int | None) -> None:
    """A user's sheet of generated views, saved losslessly or as JPEG: grain, shading and all."""
    alpha = _disc(80, 75, 50)
    colour = np.full((SIZE, SIZE, 3), (0.55, 0.47, 0.5))  # not far from the backdrop
    tile = _tile(alpha, colour, 127 / 255, shade=3)
    if quality is not None:
        file = io.BytesIO()
        Image.fromarray(np.rint(tile * 255).astype(np.uint8)).save(file, "JPEG", quality=quality)
        tile = np.asarray(Image.open(file), np.float32) / 255
    rgb, found = matting.matte(tile, lossy=quality is not None)
    assert _iou(found, alpha) > 0.97
    assert np.abs(found - alpha).mean() < 0.02
    assert np.abs(rgb[alpha > 0.5] - colour[0, 0]).max() < 0.05


def test_wrong_shape_is_refused() -> None:
    with pytest.raises(InputError, match=r"\(v, h, w, 3\)"):
        matting.remove_background(np.zeros((4, 4, 3), np.float32))
