"""Nasty pictures through the whole pipeline: a sound mesh, or one sentence and exit 2."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from img2mesh import cli
from img2mesh.api import reconstruct
from tests.conftest import TINY_SETTINGS, Command, tiny_flags, toy_picture


def cmyk(path: Path) -> None:
    toy_picture(background=True).convert("CMYK").save(path.with_suffix(".jpg"), quality=95)


def sixteen_bit(path: Path) -> None:
    grey = np.asarray(toy_picture(background=True).convert("L"), np.uint16) * 257
    Image.fromarray(grey).save(path)


def palette_with_transparency(path: Path) -> None:
    toy = toy_picture()
    palette = toy.convert("RGB").quantize(255)
    index = np.array(palette)
    index[np.asarray(toy)[..., 3] == 0] = 255
    out = Image.fromarray(index, "P")
    out.putpalette(palette.getpalette() or [])
    out.save(path, transparency=255)


def animated_gif(path: Path) -> None:
    frames = [toy_picture(background=True).convert("P"), Image.new("P", (256, 256))]
    frames[0].save(path.with_suffix(".gif"), save_all=True, append_images=frames[1:])


def rotated_by_exif(path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = toy_picture(background=True).rotate(90, expand=True)
    turned.save(path.with_suffix(".jpg"), exif=exif, quality=95)


def touching_all_borders(path: Path) -> None:
    toy = np.asarray(toy_picture()).copy()
    rows, columns = np.nonzero(toy[..., 3])
    Image.fromarray(toy[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]).save(path)


def two_objects(path: Path) -> None:
    canvas = Image.new("RGBA", (400, 200))
    canvas.paste(toy_picture(180), (10, 10))
    canvas.paste(toy_picture(120), (240, 50))
    canvas.save(path)


def one_pixel_wide_stalk(path: Path) -> None:
    pixels = np.zeros((128, 128, 4), np.uint8)
    pixels[20:50, 40:90] = (200, 60, 40, 255)
    pixels[50:110, 64:66] = (40, 140, 60, 255)
    Image.fromarray(pixels).save(path)


#: Outlines that make the body hard.
WORKS = [touching_all_borders, two_objects, one_pixel_wide_stalk]
#: The toy, stored in some other way.
THE_SAME = [cmyk, sixteen_bit, palette_with_transparency, animated_gif, rotated_by_exif]


@pytest.mark.parametrize("make", THE_SAME, ids=lambda make: make.__name__)
def test_it_is_the_same_picture(
    make: Callable[[Path], None], tmp_path: Path, in_process: Command
) -> None:
    """The cutout is the plain picture's; from there on nobody knows how it was stored."""
    make(tmp_path / "ünusual näme – 1.png")
    (picture,) = tmp_path.iterdir()
    plain = tmp_path / "plain.png"
    toy_picture(background=make is not palette_with_transparency).save(plain)
    flags = ["--until", "cutout", *tiny_flags(cache=tmp_path / "cache", out=tmp_path / "out")]
    done = in_process("run", str(picture), str(plain), *flags)
    assert done.returncode == 0, done.stderr
    found, true = (
        np.asarray(Image.open(tmp_path / "out" / file.stem / "cutout.png"), np.float64) / 255
        for file in (picture, plain)
    )
    inside, expected = found[..., 3] > 0.5, true[..., 3] > 0.5
    assert (inside & expected).sum() > 0.97 * (inside | expected).sum()
    grey = [cutout[inside & expected, :3] @ (0.299, 0.587, 0.114) for cutout in (found, true)]
    assert np.abs(grey[0] - grey[1]).mean() < 0.05


@pytest.mark.parametrize("make", WORKS, ids=lambda make: make.__name__)
def test_it_becomes_a_sound_mesh(make: Callable[[Path], None], tmp_path: Path) -> None:
    import trimesh

    make(tmp_path / "ünusual näme – 1.png")
    (picture,) = tmp_path.iterdir()
    asset = reconstruct(picture, settings=TINY_SETTINGS, cache=tmp_path / "cache")
    body = asset.joined
    mesh = trimesh.Trimesh(body.vertices, body.faces, process=False)
    assert mesh.is_watertight and mesh.is_winding_consistent and mesh.volume > 0
    assert mesh.body_count == (2 if make is two_objects else 1)  # separate things stay separate
    assert np.isclose(mesh.extents.max(), 1, atol=1e-3)
    assert asset.texture.std() > 5, "there is a picture on it"


def empty(path: Path) -> None:
    path.write_bytes(b"")


def text(path: Path) -> None:
    path.write_text("this is no picture at all, whatever its name says\n" * 20)


def truncated(path: Path) -> None:
    toy_picture(background=True).save(path)
    path.write_bytes(path.read_bytes()[:-2000])


def one_pixel(path: Path) -> None:
    Image.new("RGB", (1, 1), "red").save(path)


def ribbon(path: Path) -> None:
    Image.new("RGB", (20000, 8), "red").save(path)


def fully_transparent(path: Path) -> None:
    Image.new("RGBA", (128, 128), (200, 0, 0, 0)).save(path)


def all_white(path: Path) -> None:
    Image.new("RGB", (256, 256), "white").save(path)


def folder_with_a_pictures_name(path: Path) -> None:
    path.mkdir()


REFUSED = [
    empty,
    text,
    truncated,
    one_pixel,
    ribbon,
    fully_transparent,
    all_white,
    folder_with_a_pictures_name,
]


@pytest.mark.parametrize("make", REFUSED, ids=lambda make: make.__name__)
def test_it_gets_one_clear_sentence(
    make: Callable[[Path], None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "x.png"
    make(path)
    with pytest.raises(SystemExit) as ended:
        cli.main(
            ["run", str(path), "-q", "--cache-dir", str(tmp_path / "c"), "-o", str(tmp_path / "o")]
        )
    said = capsys.readouterr()
    assert ended.value.code == 2, said.err
    lines = said.err.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith("img2mesh: "), said.err
    assert not list((tmp_path / "o").rglob("mesh.glb"))
    assert said.out == ""


def test_a_leading_dash_is_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    toy_picture().save(tmp_path / "-toy.png")
    flags = ["--until", "cutout", "-q", "--cache-dir", "c", "-o", "o"]
    with pytest.raises(SystemExit) as ended:
        cli.main(["run", *flags, "--", "-toy.png"])
    assert ended.value.code == 0
    assert (tmp_path / "o" / "-toy" / "cutout.png").exists()
