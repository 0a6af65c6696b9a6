"""A slice of the fuzz campaign (scripts/fuzz.py), and the faults it once found."""

from __future__ import annotations

import json
import os
import stat
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from img2mesh import segmentation
from img2mesh.api import Session
from img2mesh.artifacts import RadianceField, ViewSet
from img2mesh.artifacts.codecs import save_field
from img2mesh.batch.manifest import read_manifest
from img2mesh.diffusion import checkpoints, weights
from img2mesh.errors import CacheError, Img2MeshError, InputError
from img2mesh.graph.manifest import scan
from img2mesh.graph.store import Store, explained
from img2mesh.io import photos, view_images, views
from img2mesh.jobs.claims import claimed
from img2mesh.jobs.early import require_possible
from img2mesh.jobs.execute import execute
from img2mesh.jobs.job import photo_job
from img2mesh.jobs.request import OutputOptions, Request, request_from
from img2mesh.segmentation import onnx
from scripts import fuzz
from tests import captures

SLICE = 12.0  # seconds of each class: a minute together


@pytest.mark.parametrize("kind", list(fuzz.CLASSES))
def test_a_slice_of_the_campaign(kind: str) -> None:
    ends, number, faults = time.monotonic() + SLICE, 0, []
    while number < 5 or time.monotonic() < ends:
        outcome = fuzz.one(kind, number, seed=1)
        if outcome not in ("worked", "sentence"):
            faults.append(f"{kind} {number}: {outcome}")
        number += 1
    assert not faults


def test_a_traceback_would_be_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(room: Path, rng: object) -> None:
        raise KeyError("nobody foresaw this")

    monkeypatch.setitem(fuzz.CLASSES, "photos", broken)
    assert fuzz.one("photos", 0, 0).startswith("KeyError")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"fl_x": 10**400}, "fl_x must be a finite number"),
        ({"w": 1e-320, "h": 1e-320}, "expected pixels"),
        ({"fl_x": 1e-300}, "expected pixels"),
        ({"fl_x": 0.5}, "sees nearly all around"),
        ({"file_path": "/"}, "is no file"),
        ({"file_path": "x" * 5000}, "is no file"),
        ({"mask_path": "a\0b"}, "is no file"),
        ({"file_path": "\udc80"}, "not there"),
        ({"transform_matrix": [[10**400] * 4] * 4}, "NaN or infinity"),
        ({"depth_file_path": "images/frame_000.png", "depth_scale": 1e-40}, "depth_scale"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_numbers_and_names_of_camera_files(
    tmp_path: Path, change: dict[str, object], words: str
) -> None:
    captures.nerfstudio(tmp_path)
    path = tmp_path / "transforms.json"
    content = json.loads(path.read_text())
    shared = {k: content.pop(k) for k in list(content) if k in change}
    content["frames"][0] |= change
    path.write_text(json.dumps({**content, **{k: change.get(k, v) for k, v in shared.items()}}))
    with pytest.raises(InputError, match=words):
        ViewSet.open(tmp_path)


@pytest.mark.parametrize("door", ["manifest", "checkpoint", "weights"])
def test_deep_nesting_is_no_traceback(tmp_path: Path, door: str) -> None:
    deep = '{"path":' + "[" * 100_000
    path = tmp_path / ("m.jsonl" if door == "manifest" else "model_index.json")
    path.write_text(deep)
    reading = {
        "manifest": read_manifest, "checkpoint": checkpoints._json, "weights": weights.read_json
    }  # fmt: skip
    with pytest.raises(InputError, match="JSON"):
        reading[door](path)


def test_a_pipe_in_the_cache_is_damage(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    whole = scan(tmp_path)
    (tmp_path / "file").unlink()
    os.mkfifo(tmp_path / "file")
    assert scan(tmp_path) != whole


def test_a_pipe_is_no_list_no_config_and_no_record(toy: Path, tmp_path: Path) -> None:
    """Each would be waited for without end."""
    (tmp_path / "toy").mkdir()
    for name in ("list.csv", "config.toml", "toy/run.json"):
        os.mkfifo(tmp_path / name)
    with pytest.raises(InputError, match="no regular file"):
        read_manifest(tmp_path / "list.csv")
    with pytest.raises(InputError, match="no regular file"):
        request_from(config=tmp_path / "config.toml")
    with claimed(tmp_path, photo_job(toy), Request(), OutputOptions()) as (folder, sentence):
        assert folder != tmp_path / "toy" and sentence


def test_a_closed_cache_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def closed(self: Path, pattern: str) -> None:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "glob", closed)
    with Store(tmp_path / "c").desk() as room:
        assert not room.exists()
    with pytest.raises(CacheError, match="choose another --cache-dir"), explained(tmp_path):
        closed(tmp_path, "*")


def test_cached_fields_are_as_readable_as_the_rest(tmp_path: Path) -> None:
    field = RadianceField(np.ones((4, 4, 4), np.float32), np.zeros(3), 0.1, 0.01)
    save_field(tmp_path, field)
    (tmp_path / "other").write_text("x")
    modes = {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert len(modes) == 1


@pytest.mark.parametrize("how", ["--set", "a file", "Python"])
def test_size_and_unit_together_are_refused_early(tmp_path: Path, how: str) -> None:
    both = {"size": "height=9cm", "unit": "cm"}
    if how == "--set":
        request = request_from(assignments=[f"asset.{k}={v}" for k, v in both.items()])
    elif how == "a file":
        (tmp_path / "c.toml").write_text('[asset]\nsize = "height=9cm"\nunit = "cm"\n')
        request = request_from(config=tmp_path / "c.toml")
    else:
        request = Request(settings={"asset": both})
    with pytest.raises(InputError, match="--size and --unit both"):
        require_possible(request)
    with pytest.raises(InputError, match="height=9cm"):
        require_possible(Request(settings={"asset": {"size": "9 bananas"}}))


def test_a_pictures_size_is_not_believed_before_it_is_read(tmp_path: Path) -> None:
    """A PNG whose data chunk claims gigabytes is read as far as it goes."""
    data = bytearray(fuzz.bytes_of(Image.new("RGB", (64, 64), "red"), "PNG"))
    at = data.index(b"IDAT") - 4
    data[at : at + 4] = b"\x7f\xff\xff\xff"
    (tmp_path / "p.png").write_bytes(data)
    with photos.opened(tmp_path / "p.png") as file:
        assert len(file.read(2**62)) == len(data)
        assert file.read(2**62) == b""
    try:
        photos.decode(tmp_path / "p.png")
    except InputError as error:
        assert "memory" not in str(error)


@pytest.mark.parametrize("scans", [1, 90, 91, 5000])
def test_scans_of_a_jpeg_are_bounded(tmp_path: Path, scans: int) -> None:
    data = fuzz.bytes_of(Image.effect_noise((64, 64), 80), "JPEG", progressive=True)
    first, last = data.index(b"\xff\xda"), data.rindex(b"\xff\xda")
    assert 1 < data.count(b"\xff\xda") <= 10
    bomb = data[:last] + data[last:-2] * scans + data[-2:]
    assert first < last
    path = tmp_path / "p.jpg"
    path.write_bytes(bomb)
    if bomb.count(b"\xff\xda") <= photos.MAX_SCANS:
        assert photos.decode(path).rgb.shape == (64, 64, 3)
    else:
        with pytest.raises(InputError, match=r"JPEG of .* scans, more than"):
            photos.decode(path)


class Asking:
    """A network that asks for a picture of some size."""

    def __init__(self, *shape: object) -> None:
        self.shape, self.type, self.name = list(shape), "tensor(float)", "x"

    def get_inputs(self) -> list[Asking]:
        return [self]


@pytest.mark.parametrize("sides", [(20_000, 20_000), (2**31, 2**31), (320, 4096), (2049, 2048)])
def test_networks_that_want_huge_pictures_are_refused(
    sides: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx, "_session", lambda model, device: Asking(1, 3, *sides))
    with pytest.raises(InputError, match=r"wants pictures of .* at most 2048"):
        onnx.probability(np.zeros((8, 8, 3), np.uint8), model=Path("n.onnx"), device="cpu")


def test_large_views_are_reduced_before_they_become_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of a view is ever a float at its file's size: a hundred large ones fit."""
    captures.nerfstudio(tmp_path)
    for path in (tmp_path / "images").iterdir():
        with Image.open(path) as picture:
            large = picture.resize((picture.width * 16, picture.height * 16), Image.Resampling.BOX)
        large.save(path)
    text = json.loads((tmp_path / "transforms.json").read_text())
    for key in ("w", "h", "fl_x", "fl_y", "cx", "cy"):
        text |= {key: text[key] * 16} if key in text else {}
    (tmp_path / "transforms.json").write_text(json.dumps(text))
    monkeypatch.setattr(views, "_LONGEST", ((100, 64),))
    seen = []
    whole = view_images.separate

    def separate(picture: view_images.Picture, name: str) -> object:
        seen.append((max(picture.rgb.shape), max(picture.size)))
        return whole(picture, name)

    monkeypatch.setattr(views, "separate", separate)
    found = ViewSet.open(tmp_path)
    assert all(side == 64 < stored for side, stored in seen)
    assert found.rgb.shape[1:3] == (64, 64)
    assert any("reduced from" in note for note in found.provenance.notes)


@pytest.mark.parametrize(
    "terms", [{"k1": 1e6}, {"k2": 1e14}, {"p1": 1e4, "p2": -1e4}, {"k1": 1e300}], ids=str
)
def test_a_lens_that_shows_nothing(tmp_path: Path, terms: dict[str, float]) -> None:
    captures.nerfstudio(tmp_path)
    path = tmp_path / "transforms.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **terms}))
    with pytest.raises(InputError, match="distortion"):
        ViewSet.open(tmp_path)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(28, "No space left on device"), "the disk is full; make room"),
        (RuntimeError("I/O error: No space left on device (os error 28)"), "the disk is full"),
        (ValueError("anything else"), "stage cutout failed"),
    ],
)
def test_a_full_disk_is_no_broken_stage(
    error: Exception, words: str, toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*given: object, **settings: object) -> None:
        raise error

    monkeypatch.setattr(segmentation, "cut_out", broken)
    request = Request(until="cutout", cache_dir=tmp_path / "c")
    with pytest.raises(Img2MeshError, match=words):
        execute(photo_job(toy), request, OutputOptions(), tmp_path / "out")


def test_what_a_killed_session_without_a_cache_leaves_is_swept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    session = Session(cache=None)
    runner = session.runner()
    (mine,) = tmp_path.iterdir()
    # As a process of that number would have left it, had it been killed.
    dead = mine.with_name(mine.name.replace(f"-{os.getpid()}-", "-4194305-"))
    mine.rename(dead)
    again = session.runner()
    assert not dead.exists()
    assert len(list(tmp_path.iterdir())) == 1
    del runner, again
