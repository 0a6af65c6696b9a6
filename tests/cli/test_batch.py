"""``img2mesh batch`` as a user runs it, on real items."""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

import pytest

from tests.conftest import Command, FinishedRun, tiny_flags, toy_picture

SAME = ("mesh.glb", "cutout.png", "views.png", "depths.png", "preview.png")


def digests(folder: Path) -> dict[str, str]:
    return {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in SAME}


def test_from_photos_to_meshes(
    tmp_path: Path, img2mesh: Command, finished_run: FinishedRun
) -> None:
    """Two good, one bad; the same bytes as `run` makes, and as one worker makes of one of them."""
    photos = tmp_path / "photos"
    photos.mkdir()
    toy_picture().save(photos / "toy.png")
    toy_picture(background=True).save(photos / "set.jpg", quality=95)
    (photos / "poem.png").write_text("shall I compare thee to a summer's day")
    out = tmp_path / "out"
    flags = tiny_flags(cache=tmp_path / "cache", out=out)
    done = img2mesh("batch", str(photos), *flags, "--jobs", "2", "--json")
    assert done.returncode == 3, done.stderr
    assert "Traceback" not in done.stderr
    told = [json.loads(line) for line in done.stderr.splitlines()]
    assert told[0]["event"] == "batch" and "3 items on 2 workers" in told[0]["sentence"]
    ended = {event["name"]: event for event in told if event["event"] == "ended"}
    assert ended["poem"]["status"] == "quarantined" and "not a picture" in ended["poem"]["error"]
    assert sorted(event["ended"] for event in ended.values()) == [1, 2, 3]
    assert {event["stage"] for event in told if event["event"] == "staged"} >= {"radiance", "asset"}
    summary = json.loads(done.stdout)
    assert (summary["done"], summary["quarantined"]) == (2, 1)
    assert "not a picture" in (out / "quarantine" / "poem.txt").read_text()
    page = (out / "index.html").read_text()
    assert page.count("data:image/webp;base64,") == 2
    lines = [json.loads(line) for line in (out / "batch.jsonl").read_text().splitlines()]
    toy = next(line for line in lines if line["item"] == "toy")
    assert toy["quality"]["watertight"] and toy["quality"]["silhouette_iou"]["input"] > 0.9

    alone = tmp_path / "alone"
    again = tiny_flags(cache=tmp_path / "other", out=alone)
    assert img2mesh("batch", str(photos / "set.jpg"), *again, "--jobs", "1").returncode == 0
    assert digests(alone / "set") == digests(out / "set")
    # From a cache of its own: two threads there, one in the batch.
    assert digests(finished_run.out / "toy") == digests(out / "toy")

    assert img2mesh("batch", str(photos), *flags, "--resume").returncode == 3
    assert len((out / "batch.jsonl").read_text().splitlines()) == 3, "nothing was left to do"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["nowhere.png"], "there is no file"),
        ([], "nothing to do"),
        (["--manifest", "none.csv"], "cannot read the manifest"),
        (["@toy", "--set", "radiance.gird=3"], "did you mean 'grid'"),
        (["@toy", "--generator", "dream"], "dream"),
        (["@toy", "--worker-memory", "lots"], "--worker-memory takes a size"),
        (["@toy", "--gpus-per-worker", "0.5"], "--gpus-per-worker is for --ray"),
        (["@toy", "--json", "--events", "-"], "both want stdout"),
        (["@toy", "--jobs", "0"], "--jobs"),
        (["@toy", "--until", "mesh"], "there are: cutout"),
    ],
)
def test_bad_usage(
    tmp_path: Path, toy: Path, command: Command, arguments: list[str], sentence: str
) -> None:
    given = [str(toy) if a == "@toy" else a for a in arguments]
    done = command("batch", *given, "-o", str(tmp_path / "out"))
    assert done.returncode == 2 and sentence in done.stderr
    assert not (tmp_path / "out" / "batch.jsonl").exists()


def test_without_ray_the_line_that_installs_it(
    toy: Path, tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    done = command("batch", str(toy), "--ray", "auto", "-o", str(tmp_path / "out"))
    assert done.returncode == 2 and "pip install 'img2mesh[ray]'" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_flags_for_engines_reach_the_worker(toy: Path, tmp_path: Path, command: Command) -> None:
    flags = [*tiny_flags(cache=tmp_path / "cache", out=tmp_path / "out"), "--until", "cutout"]
    more = ["--lods", "2", "--texture-format", "jpeg", "--zip", "--jobs", "1"]
    done = command("batch", str(toy), *flags, *more)
    assert done.returncode == 0, done.stderr
    assert "1 of 1" in done.stderr and "throughput" in done.stderr, "a table for people"
    record = json.loads((tmp_path / "out" / "toy" / "run.json").read_text())
    assert record["settings"]["game"]["lods"] == 2
