"""Ways to hand over a picture: pipes, addresses, masks beside photos, lists of spreadsheets."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import img2mesh
from img2mesh.batch.items import from_inputs
from img2mesh.batch.manifest import read_manifest
from img2mesh.errors import InputError
from img2mesh.io.inputs import mask_beside
from img2mesh.io.listing import list_photos
from img2mesh.io.photos import decode
from img2mesh.jobs.delivery import Delivered
from img2mesh.jobs.job import photo_job
from tests.conftest import Command, toy_picture


class Piped:
    """Standard input with bytes in it."""

    def __init__(self, data: bytes, *, terminal: bool = False) -> None:
        self.buffer = io.BytesIO(data)
        self.isatty = lambda: terminal


def test_a_picture_from_a_pipe(
    toy: Path, tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    flags = ("--until", "cutout", "-o", str(tmp_path / "out"))
    monkeypatch.setattr(sys, "stdin", Piped(toy.read_bytes()))
    done = command("run", "-", *flags)
    assert done.returncode == 0, done.stderr
    record = json.loads((tmp_path / "out" / "stdin" / "run.json").read_text())
    assert record["input"]["path"] == "-"
    assert record["input"]["digest"] == photo_job(toy).digest


def test_what_is_wrong_with_a_pipe_names_it(
    tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", Piped(b"no picture"))
    done = command("run", "-", "-o", str(tmp_path / "out"))
    assert done.returncode == 2 and "img2mesh: standard input is not a picture" in done.stderr
    done = command("reconstruct", "-", "-o", str(tmp_path / "out"))
    assert done.returncode == 2 and "name the sheet or the folder of views" in done.stderr


@pytest.mark.parametrize("stdin", [Piped(b""), Piped(b"", terminal=True), None])
def test_nothing_is_piped_in(
    stdin: Any, tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", stdin)
    done = command("run", "-", "-o", str(tmp_path / "out"))
    assert done.returncode == 2 and "piped in" in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_batch_takes_no_pipe(tmp_path: Path, command: Command) -> None:
    done = command("batch", "-", "-o", str(tmp_path / "out"))
    assert done.returncode == 2 and "standard input is one picture" in done.stderr


ADDRESSES = [
    "https://example.com/chair.png",
    "http://example.com/a.png?size=[200]*",
    "s3://bucket/chair.png",
    "file:///photos/chair.png",
    "data:image/png;base64,iVBORw0KGgo=",
]


@pytest.mark.parametrize("address", ADDRESSES)
def test_an_address_is_told_to_be_one(address: str, tmp_path: Path, command: Command) -> None:
    for words in (("run", address), ("batch", address), ("plan", address)):
        out = () if words[0] == "plan" else ("-o", str(tmp_path / "out"))
        done = command(*words, *out)
        assert done.returncode == 2
        assert f"download {address} and name the file" in done.stderr
    assert not (tmp_path / "out").exists()


def test_addresses_of_views_python_and_lists(tmp_path: Path, command: Command) -> None:
    address = ADDRESSES[0]
    done = command("reconstruct", address, "-o", str(tmp_path / "out"))
    assert done.returncode == 2 and address in done.stderr
    with pytest.raises(InputError, match=address):
        img2mesh.reconstruct(address)
    (tmp_path / "list.csv").write_text(f"path\n{address}\n")
    with pytest.raises(InputError, match=address):
        read_manifest(tmp_path / "list.csv")


@pytest.fixture
def masked(tmp_path: Path) -> Path:
    """A folder with chair.png, its mask, and a photo that is only called so."""
    folder = tmp_path / "photos"
    folder.mkdir()
    toy = toy_picture()
    toy_picture(background=True).save(folder / "chair.png")
    toy.getchannel("A").save(folder / "chair.mask.png")
    toy.save(folder / "lone.mask.png")
    return folder


def test_a_mask_beside_its_photo(masked: Path, tmp_path: Path, command: Command) -> None:
    photo, mask, lone = (masked / f"{n}.png" for n in ("chair", "chair.mask", "lone.mask"))
    assert list_photos([str(masked)]) == [photo, lone]
    assert list_photos([f"{masked}/*.png"]) == [photo, lone]
    assert list_photos([str(mask), str(photo)]) == [photo], "as a shell's glob names them"
    assert list_photos([str(mask)]) == [mask], "alone it is a picture"
    assert mask_beside(photo) == mask and mask_beside(lone) is None and mask_beside(mask) is None
    assert photo_job(photo).digest == photo_job(photo, mask=mask).digest
    assert [e.mask for e in from_inputs([str(masked)])] == [mask, None]
    done = command("run", str(photo), "--until", "cutout", "-o", str(tmp_path / "out"), "--json")
    assert json.loads(done.stdout)["segmentation"]["method"] == "mask"


def test_a_given_mask_wins(masked: Path) -> None:
    other = masked.parent / "other.png"
    Image.new("L", (256, 256), 255).save(other)
    photo = masked / "chair.png"
    assert photo_job(photo, mask=other).digest != photo_job(photo).digest


@pytest.mark.parametrize(
    "text",
    [
        "path;name\ntoy.png;one\n",
        "\ufeffpath;name\r\ntoy.png;one\r\n",
        "sep=;\r\npath;name\r\ntoy.png;one\r\n",
        "path\tname\ntoy.png\tone\n",
        "path,name\ntoy.png,one\n",
        'path;name\n"toy.png";"one"\n',
        "Path,NAME\ntoy.png,one\n",
        "path,name\rtoy.png,one\r",
        "path;name\r\n.\\toy.png;one\r\n",
    ],
)
def test_lists_as_spreadsheets_write_them(text: str, tmp_path: Path) -> None:
    listed = tmp_path / "list.csv"
    listed.write_bytes(text.encode())
    (entry,) = read_manifest(listed)
    assert (entry.source, entry.name) == (tmp_path / "toy.png", "one")
    line = next(k for k, one in enumerate(text.splitlines(), 1) if "toy.png" in one)
    assert entry.origin == f"{listed}, line {line}"


def test_a_separator_in_a_cell_is_named(tmp_path: Path) -> None:
    listed = tmp_path / "list.csv"
    listed.write_text("path;name\na;b.png;one\n")
    with pytest.raises(InputError, match=r"line 2: has 3 cells.*hold a semicolon"):
        read_manifest(listed)


@pytest.mark.parametrize(
    ("name", "head", "words"),
    [
        (
            "a.svg",
            b'<?xml version="1.0"?>\n<!-- drawn -->\n<svg width="9"></svg>',
            "an SVG drawing",
        ),
        ("a.svg", b"<svg xmlns='http://www.w3.org/2000/svg'></svg>", "export it as PNG"),
        ("a.png", b"%PDF-1.7\n", "a PDF document"),
        ("a.jpg", b"8BPS\0\1", "Photoshop"),
        ("a.jxl", b"\xff\x0a\xfa\x1f", "JPEG XL"),
        ("a.jxl", b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"),
        ("a.jp2", b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000"),
        ("a.exr", b"v/1\x01\2\0\0\0", "OpenEXR"),
        ("a.png", b"<!DOCTYPE html><html>", "a web page"),
        ("a.mp4", b"\0\0\0\x20ftypisom\0\0\2\0", "a video"),
        ("a.zip", b"PK\3\4\x14\0", "a ZIP archive"),
        ("a.png", b"version https://git-lfs.github.com/spec/v1", "git lfs pull"),
        ("a.eps", b"%!PS-Adobe-3.0 EPSF-3.0", "a PostScript drawing"),
        ("a.svgz", b"\x1f\x8b\x08", "a packed file"),
        ("a.ppm", b"P6\n32 32\n255\n", "a Netpbm picture"),
        ("a.cr2", b"II*\0\x10\0\0\0CR\2\0", "a raw file of a camera: develop it"),
        ("a.avi", b"RIFF\0\0\0\0AVI LIST", "a video"),
        ("a.m4v", b"\0\0\0\x20ftypM4V \0\0\2\0", "a video"),
        ("a.npy", b"\x93NUMPY\1\0", "an array of NumPy"),
        ("a.fbx", b"Kaydara FBX Binary", "a mesh .FBX.: give a picture"),
        ("a.dcm", b"\0" * 128 + b"DICM", "a DICOM picture"),
        ("a.html", b"\n<!-- saved -->\n<!DOCTYPE html><html>", "a web page"),
        ("a.png", b"nothing known", "is not a picture that can be read"),
    ],
)
def test_formats_that_are_no_photo(name: str, head: bytes, words: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(head + b"\0" * 64)
    with pytest.raises(InputError, match=words):
        decode(path)


def test_pictures_in_memory_are_taken() -> None:
    from img2mesh.api import Session

    picture = toy_picture()
    for given in (picture, np.asarray(picture), np.asarray(picture) / 255.0):
        cutout = Session(cache=None).artifacts(given, until="cutout")["cutout"]
        assert cutout.alpha.max() > 0.9


def made(job: Any, request: Any, options: Any, folder: Path, *more: Any, **other: Any) -> Delivered:
    """Stands in for the work."""
    folder.mkdir(parents=True, exist_ok=True)
    files = {"mesh": folder / "mesh.glb", "report": folder / "report.json"}
    files |= {suffix: folder / f"mesh.{suffix}" for suffix in options.mesh_formats[1:]}
    for path in files.values():
        path.write_bytes(path.name.encode())
    report = {"warnings": [], "seconds_this_run": 0.0}
    return Delivered(folder, files, report, {})


@pytest.mark.parametrize("name", ["chair.glb", "chair.STL", "deeper/chair.ply", "chair.usdz"])
def test_a_file_for_the_mesh(
    name: str, toy: Path, tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("img2mesh.jobs.execute.execute", made)
    target = tmp_path / "out" / name
    done = command("run", str(toy), "-o", str(target))
    assert done.returncode == 0, done.stderr
    assert target.read_bytes() == f"mesh{target.suffix.lower()}".encode()
    assert [*target.parent.iterdir()] == [target] and str(target) in done.stdout


@pytest.mark.parametrize(
    ("name", "more", "words"),
    [
        ("chair.obj", (), "several files"),
        ("chair.fbx", (), "Blender makes it of a .glb"),
        ("chair.blend", (), "a name that ends in .glb"),
        ("chair.PNG", ("--until", "cutout"), "such a file is not written"),
        ("chair.glb", ("--turntable",), "one file"),
        ("chair.glb", ("--lods", "2"), "one file"),
        ("chair.glb", ("--format", "glb,stl"), "one file"),
        ("chair.glb", ("--until", "surface"), "makes no mesh"),
    ],
)
def test_one_file_is_not_many(
    name: str, more: tuple[str, ...], words: str, toy: Path, tmp_path: Path, command: Command
) -> None:
    done = command("run", str(toy), "-o", str(tmp_path / name), *more)
    assert done.returncode == 2 and words in done.stderr
    assert not (tmp_path / name).exists()


@pytest.mark.parametrize("name", ["chair.glb", "chair.fbx", "-", "photos/toy.png"])
def test_a_batch_makes_folders(name: str, toy: Path, tmp_path: Path, command: Command) -> None:
    target = name if name == "-" else str(tmp_path / name)
    done = command("batch", str(toy), "-o", target)
    assert done.returncode in (1, 2) and "folder" in done.stderr + " folder" * (name == "-")
    assert not (tmp_path / "chair.glb").exists()


def test_two_photos_do_not_fit_one_file(toy: Path, tmp_path: Path, command: Command) -> None:
    toy_picture(200).save(toy.with_name("b.png"))
    done = command("run", str(toy.parent), "-o", str(tmp_path / "chair.glb"))
    assert done.returncode == 2 and "one file" in done.stderr


def test_a_folder_of_that_name_stays_one(toy: Path, tmp_path: Path, command: Command) -> None:
    (tmp_path / "out.glb").mkdir()
    done = command("run", str(toy), "-o", str(tmp_path / "out.glb"), "--until", "cutout")
    assert done.returncode == 0 and (tmp_path / "out.glb" / "toy" / "cutout.png").exists()
