"""What the desk's process does for real: ready before it is asked, pictures before told of."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from img2mesh.errors import InputError
from img2mesh.jobs.request import Request
from img2mesh.web import clerk
from img2mesh.web.wishes import Wishes
from tests.conftest import toy_picture
from tests.web.conftest import Server

#: Answers twice in a fresh process, and prints what the second answer still had to import.
PROCESS = """
import json, sys
from img2mesh.web import clerk
for payload in json.loads(sys.argv[1]):
    before = set(sys.modules)
    told = clerk.answer(payload, lambda stage, fraction: None)
print(json.dumps([told, sorted({name.split(".")[0] for name in set(sys.modules) - before})]))
"""


def test_a_warm_desk_loads_no_library_when_the_first_photo_comes(tmp_path: Path) -> None:
    photo = tmp_path / "toy.jpg"
    toy_picture(background=True).save(photo)
    task = Wishes(Request(settings={}, cache_dir=tmp_path / "cache")).task({})
    asked = [{**task, "verb": "warm"}, {**task, "verb": "outline", "source": str(photo)}]
    done = subprocess.run(
        [sys.executable, "-c", PROCESS, json.dumps(asked)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    told, imported = json.loads(done.stdout.splitlines()[-1])
    assert told["polygons"] and told["confidence"] > 0
    assert not set(imported) & {"scipy", "cv2", "onnxruntime", "numpy"}, imported


def test_a_server_that_is_asked_about_itself_warms_its_desk(server: Server) -> None:
    assert server.api("GET", "/server").status == 200
    answer = server.api("POST", "/jobs?name=cup.png", b"pixels")
    server.ended(answer.json["id"])
    assert (server.root.parent / "warm").exists()


def test_both_pictures_are_there_once_the_larger_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved: list[bool] = []
    save = Image.Image.save

    def seen(self: Image.Image, *given: object, **more: object) -> None:
        # Whoever looks meanwhile finds no half picture and no large one without the small.
        assert not (tmp_path / clerk.SHOWN).exists()
        saved.append((tmp_path / clerk.THUMBNAIL).exists())
        save(self, *given, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(Image.Image, "save", seen)
    clerk._save_small(np.zeros((60, 80, 4), np.uint8), tmp_path)
    assert saved == [False, True]
    assert {path.name for path in tmp_path.iterdir()} == {clerk.SHOWN, clerk.THUMBNAIL}


def test_what_is_not_made_yet_is_a_sentence(tmp_path: Path) -> None:
    toy_picture().save(tmp_path / "toy.png")
    task = Wishes(Request(settings={}, cache_dir=tmp_path / "cache")).task({})
    payload = {**task, "verb": "sofar", "source": str(tmp_path / "toy.png"), "stage": "surface"}
    with pytest.raises(InputError, match="surface is not made yet"):
        clerk.answer(payload, lambda stage, fraction: None)


def test_a_picture_that_lies_about_its_size_is_a_sentence(tmp_path: Path) -> None:
    photo = tmp_path / "bomb.png"
    head = struct.pack(">IIBBBBB", 50_000, 50_000, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + head
    sum_ = struct.pack(">I", zlib.crc32(chunk))
    photo.write_bytes(b"\x89PNG\r\n\x1a\n" + struct.pack(">I", len(head)) + chunk + sum_)
    task = Wishes(Request(settings={}, cache_dir=tmp_path / "cache")).task({})
    with pytest.raises(InputError, match=r"bomb\.png"):
        clerk.answer({**task, "verb": "outline", "source": str(photo)}, lambda stage, at: None)
    assert not (tmp_path / clerk.SHOWN).exists()
