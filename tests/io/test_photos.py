"""The door for pictures: every kind that must open, and every kind that must be refused well."""

from __future__ import annotations

import io
import os
import resource
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from img2mesh.artifacts import Photo
from img2mesh.errors import InputError, MissingExtraError
from img2mesh.io import listing, photos


def picture(width: int = 48, height: int = 32) -> np.ndarray:
    """Left half red, right half green, a blue top left quarter: tells every turn apart."""
    rgb = np.zeros((height, width, 3), np.uint8)
    rgb[:, : width // 2] = (200, 30, 30)
    rgb[:, width // 2 :] = (30, 180, 40)
    rgb[: height // 2, : width // 2] = (20, 40, 210)
    return rgb


def saved(folder: Path, name: str, array: np.ndarray | Image.Image, **options: object) -> Path:
    image = array if isinstance(array, Image.Image) else Image.fromarray(array)
    path = folder / name
    image.save(path, **options)
    return path


def refused(path: Path, *words: str, mask: Path | None = None) -> str:
    with pytest.raises(InputError) as caught:
        Photo.open(path, mask=mask)
    message = str(caught.value)
    assert "\n" not in message and len(message) < 400
    for word in words:
        assert word in message, message
    return message


def close(a: np.ndarray, b: np.ndarray, tolerance: float) -> bool:
    return float(np.abs(a.astype(float) - b).mean()) <= tolerance


@pytest.mark.parametrize(
    ("name", "options", "tolerance"),
    [
        ("a.png", {}, 0),
        ("a.bmp", {}, 0),
        ("a.tif", {"compression": "tiff_lzw"}, 0),
        ("a.webp", {"lossless": True}, 0),
        ("a.jpg", {"quality": 95, "subsampling": 0}, 4),
        ("a.gif", {}, 0),
        ("wrong suffix.png.txt", {"format": "PNG"}, 0),
    ],
)
def test_formats(tmp_path: Path, name: str, options: dict, tolerance: float) -> None:
    photo = Photo.open(saved(tmp_path, name, picture(), **options))
    assert photo.rgb.dtype == np.uint8 and photo.alpha is None and photo.mask is None
    assert close(photo.rgb, picture(), tolerance)
    assert photo.notes == ()


@pytest.mark.parametrize("name", ["Stuhl ä ö 椅子.png", "with space.png", "-o.png", "[x]*.png"])
def test_odd_names(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    saved(tmp_path, name, picture())
    monkeypatch.chdir(tmp_path)
    (found,) = listing.list_photos([name])
    assert Photo.open(found).name == Path(name).stem


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation(tmp_path: Path, suffix: str, orientation: int) -> None:
    upright = Image.fromarray(picture())
    turns = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    stored = upright.transpose(turns[orientation]) if orientation in turns else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = saved(tmp_path, f"turned.{suffix}", stored, exif=exif, quality=95, lossless=True)
    photo = Photo.open(path)
    assert photo.rgb.shape == picture().shape
    assert close(photo.rgb, picture(), 6 if suffix == "jpg" else 0)


def test_damaged_exif_is_ignored(tmp_path: Path) -> None:
    path = saved(tmp_path, "a.jpg", picture(), exif=b"Exif\0\0II*\0\xff\xff\xff\xffgarbage")
    assert Photo.open(path).rgb.shape == (32, 48, 3)


def test_profile_is_applied(tmp_path: Path) -> None:
    """A profile with swapped primaries: stored red must come out green."""
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    count = struct.unpack(">I", srgb[128:132])[0]
    swapped = bytearray(srgb.replace(b"s\0R\0G\0B", b"o\0d\0d\0.").replace(b"sRGB", b"odd "))
    names = {b"rXYZ": b"gXYZ", b"gXYZ": b"rXYZ"}
    for i in range(count):
        at = 132 + 12 * i
        tag = bytes(swapped[at : at + 4])
        swapped[at : at + 4] = names.get(tag, tag)
    red = np.full((32, 32, 3), (255, 0, 0), np.uint8)
    photo = Photo.open(saved(tmp_path, "a.png", red, icc_profile=bytes(swapped)))
    assert photo.rgb[0, 0, 1] > 230 and photo.rgb[0, 0, 0] < 30
    plain = Photo.open(saved(tmp_path, "b.png", picture(), icc_profile=srgb))
    assert np.array_equal(plain.rgb, picture()), "an sRGB profile must change nothing"


@pytest.mark.parametrize("profile", [b"nonsense", b"\0" * 200])
def test_broken_profile_is_ignored_and_said(tmp_path: Path, profile: bytes) -> None:
    photo = Photo.open(saved(tmp_path, "a.png", picture(), icc_profile=profile))
    assert np.array_equal(photo.rgb, picture())
    assert any("profile" in note for note in photo.notes)


def test_grey_profile_on_colour_picture(tmp_path: Path) -> None:
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    photo = Photo.open(saved(tmp_path, "a.png", picture(), icc_profile=lab))
    assert np.array_equal(photo.rgb, picture()) and photo.notes


def test_cmyk(tmp_path: Path) -> None:
    cmyk = Image.fromarray(picture()).convert("CMYK")
    for name in ("a.jpg", "a.tif"):
        photo = Photo.open(saved(tmp_path, name, cmyk, quality=95))
        assert close(photo.rgb, picture(), 8), name


def test_ycck(tmp_path: Path) -> None:
    """Adobe's YCCK: the first three planes of a CMYK file are YCbCr of the ink."""
    ink = Image.fromarray(255 - picture())
    planes = [np.asarray(p) for p in ink.convert("YCbCr").split()]
    stack = np.dstack([*planes, np.full(planes[0].shape, 255, np.uint8)])
    data = io.BytesIO()
    # Pillow writes CMYK inverted, as Adobe does: hand it the complement.
    Image.fromarray(255 - stack, "CMYK").save(data, "JPEG", quality=95, subsampling=0)
    raw = bytearray(data.getvalue())
    at = raw.index(b"Adobe") + 11
    assert raw[at] == 0
    raw[at] = 2
    path = tmp_path / "a.jpg"
    path.write_bytes(raw)
    with Image.open(path) as opened:
        assert opened.mode == "CMYK" and opened.info["adobe_transform"] == 2
    assert close(Photo.open(path).rgb, picture(), 8)


def ramp() -> np.ndarray:
    return np.tile(np.linspace(0, 65535, 64).astype(np.uint16), (32, 1))


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_sixteen_bit_grey(tmp_path: Path, name: str) -> None:
    photo = Photo.open(saved(tmp_path, name, ramp()))
    assert close(photo.rgb[..., 0], ramp() / 257, 1)
    assert np.array_equal(photo.rgb[..., 0], photo.rgb[..., 2])


def png(width: int, height: int, depth: int, kind: int, rows: bytes, *chunks: bytes) -> bytes:
    """A PNG from its raw filtered rows."""

    def chunk(tag: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + tag + body + struct.pack(">I", zlib.crc32(tag + body))

    header = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    middle = b"".join(chunk(c[:4], c[4:]) for c in chunks)
    body = chunk(b"IDAT", zlib.compress(rows, 9))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + middle + body + chunk(b"IEND", b"")


@pytest.mark.parametrize("order", ["png", "II", "MM"])
def test_sixteen_bit_colour(tmp_path: Path, order: str) -> None:
    wide = picture().astype(">u2") * 257
    if order == "png":
        rows = b"".join(b"\0" + row.tobytes() for row in wide)
        data = png(48, 32, 16, 2, rows)
    else:
        data = tiff(wide, order)
    path = tmp_path / "a.bin"
    path.write_bytes(data)
    assert close(Photo.open(path).rgb, picture(), 1)


def tiff(rgb: np.ndarray, order: str) -> bytes:
    """A bare uncompressed 16-bit RGB TIFF."""
    end = "<" if order == "II" else ">"
    pixels = rgb.astype(end + "u2").tobytes()
    h, w = rgb.shape[:2]
    bits = struct.pack(end + "3H", 16, 16, 16)
    at = 8 + len(bits)
    entries = [(256, 3, 1, w), (257, 3, 1, h), (258, 3, 3, 8), (259, 3, 1, 1), (262, 3, 1, 2)]
    entries += [(273, 4, 1, at), (277, 3, 1, 3), (278, 3, 1, h), (279, 4, 1, len(pixels))]
    directory = struct.pack(end + "H", len(entries))
    for tag, kind, count, value in entries:
        body = struct.pack(end + "HH", value, 0) if kind == 3 and count == 1 else b""
        directory += struct.pack(end + "HHI", tag, kind, count) + (
            body or struct.pack(end + "I", value)
        )
    head = order.encode() + struct.pack(end + "HI", 42, at + len(pixels))
    return head + bits + pixels + directory + struct.pack(end + "I", 0)


def test_floating_tiff(tmp_path: Path) -> None:
    values = (ramp() / 65535).astype(np.float32)
    values[0, 0] = np.nan
    photo = Photo.open(saved(tmp_path, "a.tif", Image.fromarray(values)))
    assert close(photo.rgb[1:, :, 0], ramp()[1:] / 257, 1)
    assert any("white" in note for note in photo.notes)


def test_one_bit(tmp_path: Path) -> None:
    bits = np.zeros((32, 32), bool)
    bits[8:, :] = True
    photo = Photo.open(saved(tmp_path, "a.png", Image.fromarray(bits)))
    assert photo.rgb[0, 0].tolist() == [0, 0, 0] and photo.rgb[20, 0].tolist() == [255] * 3


def test_palette_with_transparency(tmp_path: Path) -> None:
    indexed = Image.fromarray(picture()).convert("P", palette=Image.Palette.ADAPTIVE, colors=4)
    clear = int(np.asarray(indexed)[0, 0])
    photo = Photo.open(saved(tmp_path, "a.png", indexed, transparency=clear))
    assert photo.alpha is not None
    assert photo.alpha[0, 0] == 0 and photo.alpha[-1, -1] == 255
    assert close(photo.rgb[16:], picture()[16:], 3)
    soft = Photo.open(saved(tmp_path, "b.png", indexed, transparency=bytes([128, 255, 255, 255])))
    assert soft.alpha is not None and set(np.unique(soft.alpha)) == {128, 255}


def test_keyed_transparency_of_sixteen_bit_colour(tmp_path: Path) -> None:
    wide = picture().astype(">u2") * 257
    rows = b"".join(b"\0" + row.tobytes() for row in wide)
    key = b"tRNS" + wide[-1, -1].tobytes()
    (tmp_path / "a.png").write_bytes(png(48, 32, 16, 2, rows, key))
    photo = Photo.open(tmp_path / "a.png")
    assert photo.alpha is not None
    assert photo.alpha[-1, -1] == 0 and photo.alpha[0, 0] == 255


def test_grey_with_alpha(tmp_path: Path) -> None:
    grey, alpha = np.full((20, 30), 90, np.uint8), np.full((20, 30), 255, np.uint8)
    alpha[:, :10] = 7
    image = Image.merge("LA", (Image.fromarray(grey), Image.fromarray(alpha)))
    photo = Photo.open(saved(tmp_path, "a.png", image))
    assert photo.alpha is not None and np.array_equal(photo.alpha, alpha)
    assert (photo.rgb == 90).all()


def test_opaque_alpha_is_none_and_empty_alpha_refused(tmp_path: Path) -> None:
    opaque = np.dstack([picture(), np.full((32, 48), 255, np.uint8)])
    assert Photo.open(saved(tmp_path, "a.png", opaque)).alpha is None
    clear = np.dstack([picture(), np.zeros((32, 48), np.uint8)])
    refused(saved(tmp_path, "b.png", clear), "fully transparent")


def test_reduction_keeps_hidden_colours_hidden(tmp_path: Path) -> None:
    """Reducing must not mix in the bright green of fully transparent pixels."""
    rgba = np.zeros((1200, 4000, 4), np.uint8)
    rgba[...] = (0, 255, 0, 0)
    rgba[300:900, 1000:3000] = (180, 20, 20, 255)
    photo = Photo.open(saved(tmp_path, "a.png", rgba, compress_level=1))
    assert photo.rgb.shape == (614, 2048, 3) and photo.alpha is not None
    assert any("reduced from 4000x1200" in note for note in photo.notes)
    edge = photo.alpha > 32
    assert photo.rgb[edge][:, 1].max() < 40


def test_large_jpeg_is_reduced(tmp_path: Path) -> None:
    big = Image.fromarray(picture()).resize((6000, 4000), Image.Resampling.NEAREST)
    photo = Photo.open(saved(tmp_path, "a.jpg", big))
    assert photo.rgb.shape == (1365, 2048, 3)
    small = np.asarray(Image.fromarray(photo.rgb).resize((48, 32), Image.Resampling.BOX))
    assert close(small, picture(), 4)


def test_animation_uses_first_frame_and_says_so(tmp_path: Path) -> None:
    frames = [Image.fromarray(picture()), Image.fromarray(255 - picture())]
    for name in ("a.gif", "a.webp", "a.png", "a.tif"):
        options = {"lossless": True} if name == "a.webp" else {}
        path = saved(tmp_path, name, frames[0], save_all=True, append_images=frames[1:], **options)
        photo = Photo.open(path)
        assert close(photo.rgb, picture(), 1), name
        assert any("first" in note for note in photo.notes), name


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp", "a.tif", "a.gif", "a.bmp"])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.7])
def test_truncated(tmp_path: Path, name: str, share: float) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    path = saved(tmp_path, name, noise)
    data = path.read_bytes()
    path.write_bytes(data[: max(4, int(len(data) * share))])
    refused(path, "a.")


def test_flipped_bytes_never_escape(tmp_path: Path) -> None:
    """Damage anywhere either opens or is an InputError."""
    rng = np.random.default_rng(1)
    for name in ("a.png", "a.jpg", "a.webp", "a.tif", "a.gif"):
        path = saved(tmp_path, name, picture())
        data = path.read_bytes()
        for _ in range(40):
            damaged = bytearray(data)
            damaged[int(rng.integers(len(data)))] = int(rng.integers(256))
            path.write_bytes(damaged)
            try:
                assert Photo.open(path).rgb.ndim == 3
            except InputError as error:
                assert "\n" not in str(error)


def test_not_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "empty.png").touch()
    refused(tmp_path / "empty.png", "empty", "expected")
    (tmp_path / "text.jpg").write_text("this is no picture\n" * 20)
    refused(tmp_path / "text.jpg", "not a picture", "expected")
    (tmp_path / "x.png").mkdir()
    refused(tmp_path / "x.png", "folder")
    refused(tmp_path / "missing.png", "no file")
    refused(tmp_path / ("long" * 200), "cannot be read")
    refused(Path("a\0b.png"), "cannot be read")
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.png")
        refused(tmp_path / "pipe.png", "not a regular file")

    def deny(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    saved(tmp_path, "secret.png", picture())
    monkeypatch.setattr(Path, "open", deny)  # the superuser may read anything
    refused(tmp_path / "secret.png", "may not be read")


def test_sizes(tmp_path: Path) -> None:
    refused(saved(tmp_path, "one.png", picture(1, 1)), "1x1", "too small")
    refused(saved(tmp_path, "strip.png", picture(20000, 8)), "20000x8")
    refused(saved(tmp_path, "band.png", picture(2000, 40)), "2000x40", "strip")
    assert Photo.open(saved(tmp_path, "ok.png", picture(16, 16))).rgb.shape == (16, 16, 3)


BOMB = """
import resource, sys
from pathlib import Path
from img2mesh.errors import InputError
from img2mesh import Photo
for name in sys.argv[1:]:
    try:
        print("opened", Photo.open(Path(name)).rgb.shape)
    except InputError as error:
        print("refused", error)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def test_bombs_stay_small(tmp_path: Path) -> None:
    """50000x50000 at one bit, and the largest that may pass, in a process of less than 2 GB."""
    packer = zlib.compressobj(9)
    row = b"\0" + b"\xff" * 6250
    body = b"".join(packer.compress(row * 1000) for _ in range(50)) + packer.flush()

    def chunk(tag: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + tag + data + struct.pack(">I", zlib.crc32(tag + data))

    header = struct.pack(">IIBBBBB", 50000, 50000, 1, 0, 0, 0, 0)
    bomb = tmp_path / "bomb.png"
    bomb.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")
    )
    large = tmp_path / "large.png"
    large.write_bytes(png(10000, 10000, 1, 0, (b"\0" + b"\x0f" * 1250) * 10000))

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (2 * 1024**3, 2 * 1024**3))

    done = subprocess.run(
        [sys.executable, "-c", BOMB, str(bomb), str(large)],
        capture_output=True,
        text=True,
        preexec_fn=limit,
        env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == 0, done.stderr
    first, second, peak = done.stdout.strip().splitlines()
    assert first.startswith("refused") and "2500 million pixels" in first
    assert second.startswith("opened (2048, 2048, 3)"), second
    assert int(peak) < 2 * 1024 * 1024  # kilobytes
    assert done.stderr == "", "no warnings either"


def test_heic_without_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    path = tmp_path / "a.heic"
    path.write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + b"\0" * 64)
    with pytest.raises(MissingExtraError, match="pip install"):
        Photo.open(path)


def test_mask(tmp_path: Path) -> None:
    path = saved(tmp_path, "a.png", picture(60, 40))
    grey = np.zeros((20, 30), np.uint8)
    grey[5:15, 10:20] = 255
    photo = Photo.open(path, mask=saved(tmp_path, "m.png", grey))
    assert photo.mask is not None and photo.mask.shape == (40, 60)
    assert photo.mask[20, 30] == 255 and photo.mask[2, 2] == 0
    hidden = np.dstack([np.full((40, 60, 3), 255, np.uint8), np.zeros((40, 60), np.uint8)])
    hidden[10:30, 20:40, 3] = 200
    photo = Photo.open(path, mask=saved(tmp_path, "t.png", hidden))
    assert photo.mask is not None and np.array_equal(photo.mask, hidden[..., 3])
    refused(path, "30x30", "60x40", mask=saved(tmp_path, "w.png", np.zeros((30, 30), np.uint8)))
    refused(path, "no file", mask=tmp_path / "none.png")


def test_mask_belongs_to_the_upright_photo(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    path = saved(tmp_path, "a.jpg", picture(60, 40), exif=exif)
    upright = np.zeros((60, 40), np.uint8)
    upright[:10] = 255
    photo = Photo.open(path, mask=saved(tmp_path, "m.png", upright))
    assert photo.rgb.shape == (60, 40, 3)
    assert photo.mask is not None and np.array_equal(photo.mask, upright)


def test_listing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder = Path("x.png")
    folder.mkdir()
    for name in ("b.JPG", "a.png", ".hidden.png", "notes.txt"):
        (folder / name).touch()
    (folder / "deeper").mkdir()
    (folder / "deeper" / "c.png").touch()
    inside = [folder / "a.png", folder / "b.JPG"]
    assert listing.list_photos(["x.png"]) == inside
    assert listing.list_photos(["x.png/[ab]*"]) == inside
    assert listing.list_photos(["x.png/*"]) == [*inside, folder / "deeper" / "c.png"], "as a shell"
    assert listing.list_photos(["x.png/b.JPG", "x.png"]) == [inside[1], inside[0]]
    assert listing.list_photos(["x.png/notes.txt"]) == [folder / "notes.txt"]
    assert listing.list_photos(["x.png/**/*.png"]) == [inside[0], folder / "deeper" / "c.png"]
    for nothing in ("*.tif", "gone.png"):
        with pytest.raises(InputError):
            listing.list_photos([nothing])
    Path("void").mkdir()
    with pytest.raises(InputError, match="no pictures"):
        listing.list_photos(["void"])


def test_digest(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    # FIPS 180-2, appendix B.1
    assert photos.digest_of(tmp_path / "a").startswith("ba7816bf8f01cfea414140de5dae2223")
    with pytest.raises(InputError):
        photos.digest_of(tmp_path / "b")


def test_one_pixel_more_than_allowed_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(photos, "MAX_PIXELS", 40 * 50)
    Image.new("RGB", (40, 50)).save(tmp_path / "just.png")
    Image.new("RGB", (41, 50)).save(tmp_path / "more.png")
    assert photos.decode(tmp_path / "just.png").rgb.shape == (50, 40, 3)
    with pytest.raises(InputError, match="41x50 pixels, more than"):
        photos.decode(tmp_path / "more.png")
