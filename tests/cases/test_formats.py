"""Picture formats: AVIF, 12 bits in 16, pages of a TIFF, raw files' previews, animations."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, features

from img2mesh.artifacts import Photo
from img2mesh.errors import InputError
from img2mesh.io.listing import list_photos


def ramp(side: int = 64, colour: bool = True) -> np.ndarray:
    """A grey or colourful picture (h, w) or (h, w, 3) uint8 that uses the whole range."""
    across = np.linspace(0, 255, side).round().astype(np.uint8)
    grey = np.broadcast_to(across, (side, side))
    return np.dstack([grey, grey.T, grey[:, ::-1]]) if colour else np.array(grey)


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow has no AVIF")
def test_avif_is_a_photo(tmp_path: Path) -> None:
    picture = Image.fromarray(ramp())
    picture.putalpha(Image.fromarray(ramp(colour=False)))
    picture.save(tmp_path / "a.avif", quality=95)
    (found,) = list_photos([str(tmp_path)])
    photo = Photo.open(found)
    assert photo.alpha is not None
    assert np.abs(photo.alpha.astype(int) - ramp(colour=False)).mean() < 4
    with pytest.raises(InputError, match="damaged"):
        (tmp_path / "b.avif").write_bytes(found.read_bytes()[:-200])
        Photo.open(tmp_path / "b.avif")


@pytest.mark.parametrize("bits", [12, 16])
@pytest.mark.parametrize("mode", ["grey", "colour"])
def test_twelve_bits_in_sixteen_are_as_bright_as_sixteen(
    tmp_path: Path, bits: int, mode: str
) -> None:
    import cv2

    eight = ramp(colour=mode == "colour")
    deep = np.rint(eight.astype(np.float64) / 255 * (2**bits - 1)).astype(np.uint16)
    path = tmp_path / "deep.tif"
    cv2.imwrite(str(path), deep[..., ::-1] if mode == "colour" else deep)
    photo = Photo.open(path)
    shown = photo.rgb if mode == "colour" else photo.rgb[..., 0]
    assert np.abs(shown.astype(int) - eight).max() <= 1
    assert any("reach white at 4095" in note for note in photo.notes) == (bits == 12)


def test_a_file_may_say_what_its_white_is(tmp_path: Path) -> None:
    deep = Image.fromarray(ramp(colour=False).astype(np.uint16) * 64)
    deep.save(tmp_path / "w.tif", tiffinfo={281: 16383})
    photo = Photo.open(tmp_path / "w.tif")
    assert photo.rgb.max() >= 253


@pytest.mark.parametrize("order", [(16, 96, 40), (96, 16), (8, 64)])
def test_the_largest_page_of_a_tiff_is_the_picture(tmp_path: Path, order: tuple[int, ...]) -> None:
    first, *rest = (Image.new("RGB", (side, side), (side, 0, 0)) for side in order)
    first.save(tmp_path / "p.tif", save_all=True, append_images=rest)
    photo = Photo.open(tmp_path / "p.tif")
    assert photo.rgb.shape == (max(order), max(order), 3)
    assert (photo.rgb[..., 0] == max(order)).all()
    told = "first one is used" if order[0] == max(order) else "largest page is used"
    assert any(told in note for note in photo.notes)


def dng(thumbnail: int, preview: int) -> bytes:
    """A raw file as cameras write it: a thumbnail, with preview and sensor's values below it."""

    def entries(values: list[tuple[int, int, int, int]]) -> bytes:
        packed = b"".join(struct.pack("<HHII", *one) for one in sorted(values))
        return struct.pack("<H", len(values)) + packed + struct.pack("<I", 0)

    body, places = bytearray(b"II*\0\0\0\0\0"), {}
    for name, side, grey in (("small", thumbnail, 60), ("large", preview, 200), ("raw", 2000, 0)):
        places[name] = len(body)
        body += bytes([grey]) * (side * side if name != "raw" else 64)

    def page(name: str, side: int, photometric: int, more: list[tuple[int, int, int, int]]) -> int:
        at = len(body)
        body.extend(
            entries(
                [
                    (256, 4, 1, side), (257, 4, 1, side), (258, 3, 1, 8), (259, 3, 1, 1),
                    (262, 3, 1, photometric), (273, 4, 1, places[name]), (277, 3, 1, 1),
                    (278, 4, 1, side), (279, 4, 1, side * side), *more,
                ]
            )
        )  # fmt: skip
        return at

    subs = [page("large", preview, 1, []), page("raw", 2000, 32803, [])]
    listed = len(body)
    body += struct.pack("<2I", *subs)
    start = page("small", thumbnail, 1, [(330, 4, 2, listed), (50706, 1, 4, 0x00000401)])
    body[4:8] = struct.pack("<I", start)
    return bytes(body)


def test_a_raw_files_preview_is_the_picture(tmp_path: Path) -> None:
    (tmp_path / "raw.dng").write_bytes(dng(64, 600))
    photo = Photo.open(tmp_path / "raw.dng")
    assert photo.rgb.shape == (600, 600, 3)
    assert (photo.rgb == 200).all()
    assert any("a preview inside the raw file is used" in note for note in photo.notes)


def test_a_raw_file_with_a_thumbnail_alone_is_told(tmp_path: Path) -> None:
    (tmp_path / "raw.dng").write_bytes(dng(64, 256))
    with pytest.raises(InputError, match=r"DNG.* preview of 256x256 pixels: develop it"):
        Photo.open(tmp_path / "raw.dng")


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "AVIF"])
def test_the_first_frame_of_an_animation_is_taken_and_told(tmp_path: Path, kind: str) -> None:
    if kind == "AVIF" and not features.check("avif"):
        pytest.skip("this Pillow has no AVIF")
    first, second = (Image.fromarray(np.roll(ramp(), k, axis=1)) for k in (0, 30))
    buffer = io.BytesIO()
    first.save(buffer, kind, save_all=True, append_images=[second], duration=100)
    (tmp_path / "a.img").write_bytes(buffer.getvalue())
    photo = Photo.open(tmp_path / "a.img")
    assert np.abs(photo.rgb.astype(int) - ramp()).mean() < 12
    assert any("several frames or pages; the first one is used" in note for note in photo.notes)


@pytest.mark.parametrize(
    ("head", "words"),
    [
        (b"<?xml version='1.0'?><svg width='9'/>", "an SVG drawing: export it as PNG"),
        (b"%PDF-1.7\n", "a PDF document: export it as PNG, one page"),
        (b"8BPS\0\1", "PSD.: export it as PNG"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "a JPEG XL picture: convert it to PNG or JPEG"),
        (b"\xff\x0a" + b"\7" * 30, "a JPEG XL picture: convert it to PNG or JPEG"),
    ],
)
def test_other_formats_have_a_sentence_of_their_own(
    tmp_path: Path, head: bytes, words: str
) -> None:
    (tmp_path / "x.png").write_bytes(head + b"\0" * 64)
    with pytest.raises(InputError, match=words):
        Photo.open(tmp_path / "x.png")
