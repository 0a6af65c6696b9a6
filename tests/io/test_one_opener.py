"""Views, sheets and `--photo` pass the same door as photos."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from img2mesh.errors import InputError
from img2mesh.io.view_images import read_depth, read_picture
from tests import shapes
from tests.field import scenes


def turned(path: Path) -> Path:
    """40 x 20 stored pixels, left half red, to be shown turned by EXIF orientation 6."""
    pixels = np.zeros((20, 40, 3), np.uint8)
    pixels[:, :20, 0] = 255
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(pixels).save(path, exif=exif, quality=95, subsampling=0)
    return path


def test_a_turned_picture_stands_upright(tmp_path: Path) -> None:
    rgb = read_picture(turned(tmp_path / "view.jpg")).rgb
    assert rgb.shape == (40, 20, 3)
    assert rgb[:18, :, 0].min() > 0.9 and rgb[22:, :, 0].max() < 0.1


def test_a_colour_profile_is_honoured(tmp_path: Path) -> None:
    picture = Image.new("RGB", (32, 32), (200, 30, 30))
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    picture.save(tmp_path / "plain.png", icc_profile=lab)
    plain = read_picture(tmp_path / "plain.png").rgb[0, 0]
    assert np.allclose(plain * 255, (200, 30, 30), atol=1)


@pytest.mark.parametrize("name", ["sheet.png", "view.jpg"])
def test_decoders_with_no_business_here_do_not_run(tmp_path: Path, name: str) -> None:
    """Pillow would hand an EPS file to Ghostscript, whatever it is called."""
    (tmp_path / name).write_bytes(
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\n%%EndComments\nshowpage\n%%EOF\n"
    )
    with pytest.raises(InputError, match="a PostScript drawing"):
        read_picture(tmp_path / name)


@pytest.mark.parametrize("reader", [read_picture, lambda p: read_depth(p, 1.0, CAMERA)])
def test_only_regular_files_are_read(tmp_path: Path, reader: object) -> None:
    pipe = tmp_path / "view.png"
    os.mkfifo(pipe)
    with pytest.raises(InputError, match="not a regular file"):
        reader(pipe)  # type: ignore[operator]
    with pytest.raises(InputError, match="not a regular file"):
        reader(Path("/dev/zero"))  # type: ignore[operator]


CAMERA = scenes.views_of(shapes.ball()).cameras[0]


def test_sixteen_bits_of_depth_stay_sixteen(tmp_path: Path) -> None:
    stored = np.full((CAMERA.height, CAMERA.width), 1234, np.uint16)
    Image.fromarray(stored).save(tmp_path / "depth.png")
    assert np.allclose(read_depth(tmp_path / "depth.png", 1000.0, CAMERA), 1.234)


def test_large_views_keep_their_size(tmp_path: Path) -> None:
    Image.new("RGB", (2400, 2400), (255, 255, 255)).save(tmp_path / "view.png")
    assert read_picture(tmp_path / "view.png").rgb.shape == (2400, 2400, 3)
