"""The output folder is claimed and swept: case 18 and more of the kind."""

from __future__ import annotations

import json
import multiprocessing
import os
from pathlib import Path

import pytest

from img2mesh.core import leftovers
from img2mesh.errors import Img2MeshError
from img2mesh.io.files import read_json, write_json
from img2mesh.jobs import claims
from img2mesh.jobs.claims import CLAIM, claimed
from img2mesh.jobs.job import Job, photo_job
from img2mesh.jobs.request import OutputOptions, Request
from tests.conftest import Command

ASKED, FILES = Request(), OutputOptions()


@pytest.fixture
def jobs(toy: Path) -> tuple[Job, Job]:
    """Two pictures of one name."""
    other = toy.parent / "other" / toy.name
    other.parent.mkdir()
    other.write_bytes(toy.read_bytes() + b"\0")
    return photo_job(toy), photo_job(other)


def test_a_foreign_mesh_stays_and_is_told(toy: Path, tmp_path: Path, command: Command) -> None:
    mine = tmp_path / "out" / "toy" / "mesh.glb"
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    done = command("run", str(toy), "--until", "cutout", "--no-cache", "-o", str(tmp_path / "out"))
    assert done.returncode == 0, done.stderr
    assert mine.read_text() == "mine" and [*mine.parent.iterdir()] == [mine]
    assert "was not written by img2mesh; writing to" in " ".join(done.stderr.split())
    (other,) = {*(tmp_path / "out").iterdir()} - {mine.parent}
    assert (other / "cutout.png").is_file() and (other / "run.json").is_file()


@pytest.mark.parametrize("name", ["preview.png", "mesh.obj", "report.json", "asset.zip"])
def test_every_foreign_file_counts(name: str, jobs: tuple[Job, Job], tmp_path: Path) -> None:
    folder = tmp_path / "toy"
    folder.mkdir()
    (folder / name).write_text("mine")
    with claimed(tmp_path, jobs[0], ASKED, FILES) as (other, sentence):
        assert other != folder and sentence is not None and name in sentence
    with pytest.raises(Img2MeshError, match="was not written by img2mesh: move it"):
        claims.require_ours(folder)
    (folder / name).unlink()
    (folder / "notes.txt").write_text("no name of ours")
    with claimed(tmp_path, jobs[0], ASKED, FILES) as (same, sentence):
        assert same == folder and sentence is None


def test_an_added_file_in_a_folder_of_ours_is_foreign(
    jobs: tuple[Job, Job], tmp_path: Path
) -> None:
    record = {"input": {"digest": jobs[0].digest}, "delivered": ["mesh.glb"]}
    (tmp_path / "toy").mkdir()
    write_json(tmp_path / "toy" / "run.json", record)
    (tmp_path / "toy" / "mesh.glb").write_text("ours")
    assert claims.foreign(tmp_path / "toy") is None
    (tmp_path / "toy" / "mesh.stl").write_text("sliced by hand")
    assert claims.foreign(tmp_path / "toy") == tmp_path / "toy" / "mesh.stl"


@pytest.mark.parametrize("record", [{"input": 5}, {"input": {"path": "x"}}, {"epochs": 3}, {}])
def test_another_programs_record_stays(
    record: dict[str, object], jobs: tuple[Job, Job], tmp_path: Path
) -> None:
    (tmp_path / "toy").mkdir()
    write_json(tmp_path / "toy" / "run.json", record)
    (tmp_path / "toy" / "mesh.glb").write_text("mine")
    with claimed(tmp_path, jobs[0], ASKED, FILES) as (folder, sentence):
        assert folder != tmp_path / "toy" and sentence and "not written by img2mesh" in sentence


def test_two_runs_at_once_keep_both_results(jobs: tuple[Job, Job], tmp_path: Path) -> None:
    first, second = jobs
    other_settings = Request(settings={"surface": {"target_faces": 500}})
    with claimed(tmp_path, first, ASKED, FILES) as (one, _):
        with claimed(tmp_path, second, ASKED, FILES) as (two, sentence):
            assert sentence is not None and "another run" in sentence
            with claimed(tmp_path, first, other_settings, FILES) as (three, _):
                assert len({one, two, three}) == 3
        with claimed(tmp_path, first, ASKED, FILES) as (twin, sentence):
            assert twin == one and sentence is None, "it makes the same files"
        assert (one / CLAIM).exists()
    assert not [*tmp_path.glob("toy*")], "claims go, and folders that hold nothing"


def test_a_dead_claim_counts_for_nothing(jobs: tuple[Job, Job], tmp_path: Path) -> None:
    gone = multiprocessing.get_context("spawn").Process(target=int)
    gone.start()
    gone.join()
    (tmp_path / "toy").mkdir()
    claim = {"digest": "x", "settings": "y", "pid": gone.pid, "began": 1.0}
    for host in (claims.socket.gethostname(), "elsewhere"):
        (tmp_path / "toy" / CLAIM).write_text(json.dumps({**claim, "host": host}))
        with claimed(tmp_path, jobs[0], ASKED, FILES) as (folder, _):
            assert (folder == tmp_path / "toy") == (host != "elsewhere")


def test_half_delivered_files_are_the_run_s_own(jobs: tuple[Job, Job], tmp_path: Path) -> None:
    with pytest.raises(OSError), claimed(tmp_path, jobs[0], ASKED, FILES) as (folder, _):
        claims.writing(folder)
        (folder / "mesh.obj").write_text("half")
        raise OSError("the disk is full")
    with claimed(tmp_path, jobs[0], ASKED, FILES) as (again, sentence):
        assert again == folder and sentence is None
    with claimed(tmp_path, jobs[1], ASKED, FILES) as (other, _):
        assert other != folder


def test_what_this_run_did_not_make_is_gone(toy: Path, tmp_path: Path, command: Command) -> None:
    flags = ("--until", "cutout", "--no-cache", "-o", str(tmp_path))
    assert command("run", str(toy), *flags).returncode == 0
    record = read_json(tmp_path / "toy" / "run.json")
    assert record["delivered"] == ["cutout.png", "report.json"]
    for name in ("mesh.glb", "preview.png"):
        (tmp_path / "toy" / name).write_text("of an earlier run")
    write_json(
        tmp_path / "toy" / "run.json",
        {**record, "delivered": [*record["delivered"], "mesh.glb", "preview.png"]},
    )
    (tmp_path / "toy" / "notes.txt").write_text("mine")
    assert command("run", str(toy), *flags).returncode == 0
    names = {path.name for path in (tmp_path / "toy").iterdir()}
    assert names == {"cutout.png", "report.json", "run.json", "notes.txt"}


def test_temporary_folders_of_the_dead_are_swept(tmp_path: Path) -> None:
    gone = multiprocessing.get_context("spawn").Process(target=int)
    gone.start()
    gone.join()
    host = leftovers._HOST
    dead = tmp_path / f".img2mesh-{host}-{gone.pid}-abc"
    alive, foreign, stranger = (
        tmp_path / name
        for name in (f".img2mesh-{host}-{os.getpid()}-x", ".img2mesh-x", f".img2mesh-not{host}-1-x")
    )
    for folder in (dead, alive, foreign, stranger):
        folder.mkdir()
        (folder / "file").write_text("x")
    with leftovers.temporary(".img2mesh-", tmp_path) as made:
        assert Path(made).is_dir()
        assert not dead.exists() and alive.exists() and foreign.exists() and stranger.exists()
    assert not Path(made).exists()
