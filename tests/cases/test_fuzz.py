"""A slice of the fuzz campaign (scripts/fuzz.py), and the faults it once found."""

from __future__ import annotations

import json
import os
import stat
import time
from pathlib import Path

import numpy as np
import pytest

from img2mesh.artifacts import RadianceField, ViewSet
from img2mesh.artifacts.codecs import save_field
from img2mesh.batch.manifest import read_manifest
from img2mesh.diffusion import checkpoints, weights
from img2mesh.errors import CacheError, InputError
from img2mesh.graph.manifest import scan
from img2mesh.graph.store import Store, explained
from img2mesh.jobs.early import require_possible
from img2mesh.jobs.request import Request, request_from
from scripts import fuzz
from tests import captures

SLICE = 1.6  # seconds of each class


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
