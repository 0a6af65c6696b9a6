"""Whatever an input is called, its folder is one safe folder below the output."""

from __future__ import annotations

import json
import os
import shutil
import sys
import unicodedata
from pathlib import Path, PureWindowsPath
from typing import Any

import pytest

from img2mesh.batch.items import Entry, name_items
from img2mesh.core.names import safe_name
from img2mesh.io.files import read_json, write_json
from img2mesh.jobs.claims import claimed
from img2mesh.jobs.job import photo_job
from img2mesh.jobs.request import OutputOptions, Request
from tests.conftest import Command

NASTY = (
    "..", ".", "...", "", "   ", " .. ", "a/b", "a\\b", "C:evil", "CON", "con.tar", "nul ", "LPT1",
    "com¹", "chair.", "chair ", "what?", "new\nline", "caf\udce9", "x" * 255, "椅" * 100, "*", "\0",
    "\u202egnp.exe", "a\u2066b",
)  # fmt: skip


@pytest.mark.parametrize("stem", NASTY)
def test_a_safe_name_is_one_folder_on_every_system(stem: str) -> None:
    name = safe_name(stem)
    assert name and name not in (".", "..") and name == safe_name(name)
    for path in (Path("out") / name, PureWindowsPath("out") / name):
        assert path.parent == type(path)("out") and path.name == name
    assert not PureWindowsPath(name).is_reserved()
    assert not any(unicodedata.bidirectional(c) in ("RLO", "LRI") for c in name)
    assert not name.endswith((".", " ")) and len(name.encode()) <= 201


@pytest.mark.parametrize(
    "stem", ["chair", "stühl-椅子", "-q", "[red]", "$(x)", "%s", ".hidden", "a.b"]
)
def test_good_names_stay_as_they_are(stem: str) -> None:
    assert safe_name(stem) == stem


@pytest.mark.parametrize("name", ["...png", "..png", "CON.png", "chair .png"])
def test_run_writes_below_the_output_alone(
    name: str, toy: Path, tmp_path: Path, command: Command
) -> None:
    photo = tmp_path / name
    shutil.copy(toy, photo)
    before = set(tmp_path.iterdir())
    done = command("run", str(photo), "--until", "cutout", "-o", str(tmp_path / "out"), "--json")
    assert done.returncode == 0, done.stderr
    (folder,) = (tmp_path / "out").iterdir()
    assert (folder / "run.json").exists() and folder.name == safe_name(photo.stem)
    assert {p.name for p in set(tmp_path.iterdir()) - before} <= {"out", "cache"}


@pytest.mark.skipif(os.name == "nt", reason="pipes and links of POSIX")
def test_one_bad_file_never_ends_a_folder(
    toy: Path, tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "mixed"
    folder.mkdir()
    for name in ("a.png", "closed.png", "z.png"):
        shutil.copy(toy, folder / name)
    (folder / "empty.png").touch()
    (folder / "link.png").symlink_to("nowhere.png")
    (folder / "folder.png").mkdir()
    os.mkfifo(folder / "pipe.png")
    usual = Path.open

    def opened(self: Path, *given: Any, **more: Any) -> Any:
        if self.name == "closed.png":  # root may read any file
            raise PermissionError(13, "Permission denied", str(self))
        return usual(self, *given, **more)

    monkeypatch.setattr(Path, "open", opened)
    out = tmp_path / "out"
    done = command("run", str(folder), "--until", "cutout", "-o", str(out), "--json", "-q")
    assert done.returncode == 2
    results = {Path(r["input"]).stem: r.get("error") for r in json.loads(done.stdout)["results"]}
    words = {"closed": "may not be read", "empty": "is empty", "link": "there is no file",
             "pipe": "not a regular file"}  # fmt: skip
    assert results.keys() == {"a", "z", *words}
    assert results["a"] is results["z"] is None
    assert all(words[name] in results[name] for name in words), results
    assert {path.name for path in out.iterdir()} == {"a", "z"}


def test_items_of_a_batch_lie_below_it() -> None:
    photos = [Path("photos/...png"), Path("photos/..png"), Path("photos/nul.png"), Path("toy.png")]
    items, _ = name_items([Entry(path) for path in photos])
    names = [item.name for item in items]
    assert len(set(names)) == len(names) == 4 and "toy" in names
    assert all(name == safe_name(name) for name in names)


@pytest.mark.skipif(sys.platform != "linux", reason="file names are bytes on Linux alone")
def test_a_name_that_is_no_utf8(toy: Path, tmp_path: Path, command: Command) -> None:
    photo = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.png")
    shutil.copy(toy, photo)
    done = command("run", photo, "--until", "cutout", "-o", str(tmp_path / "out"), "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["name"] == "caf_"
    record = json.loads((tmp_path / "out" / "caf_" / "run.json").read_bytes())
    assert record["input"]["path"] == photo  # the very bytes: it can be opened again


def test_json_holds_what_is_no_utf8(tmp_path: Path) -> None:
    write_json(tmp_path / "x.json", {"name": "caf\udce9", "other": "椅"})
    assert read_json(tmp_path / "x.json") == {"name": "caf\udce9", "other": "椅"}


def test_two_inputs_of_one_safe_name_keep_both(toy: Path, tmp_path: Path) -> None:
    first, second = photo_job(toy), photo_job(toy)
    with claimed(tmp_path / "out", first, Request(), OutputOptions()) as (folder, _):
        write_json(folder / "run.json", {"input": {"digest": "another"}})
    with claimed(tmp_path / "out", second, Request(), OutputOptions()) as (other, sentence):
        assert other != folder and sentence
