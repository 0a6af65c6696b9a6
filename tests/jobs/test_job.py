"""What is digested is what is computed from, whatever becomes of a file meanwhile."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from img2mesh.errors import Img2MeshError, InputError
from img2mesh.graph import Started
from img2mesh.io.files import replacing
from img2mesh.jobs.execute import execute, runner_for
from img2mesh.jobs.job import photo_job, views_job
from img2mesh.jobs.request import OutputOptions, Request
from tests.conftest import toy_picture


def other_picture() -> Image.Image:
    """Another photo than the toy, of the same size."""
    return Image.fromarray(np.asarray(toy_picture())[..., [2, 0, 1, 3]])


def cutout_of(path: Path, cache: Path) -> bytes:
    """The stored cutout of what lies at a path now."""
    job = photo_job(path)
    folder = runner_for(Request(cache_dir=cache)).run("cutout", job.given).folder
    assert folder is not None
    return (folder / "cutout.png").read_bytes()


@pytest.mark.parametrize("saved", ["anew", "in place", "half", "gone"])
def test_a_photo_that_is_saved_while_it_waits_never_enters_the_cache_as_the_old_one(
    tmp_path: Path, toy: Path, saved: str
) -> None:
    kept = shutil.copy(toy, tmp_path / "kept.png")
    waiting = photo_job(toy)
    match saved:
        case "anew":
            with replacing(toy) as path:
                other_picture().save(path)
        case "in place":
            other_picture().save(toy)
        case "half":
            toy.write_bytes(toy.read_bytes()[:400])
        case "gone":
            toy.unlink()
    sentence = "there is no file" if saved == "gone" else "changed after img2mesh had begun"
    with pytest.raises(Img2MeshError, match=sentence) as caught:
        runner_for(Request(cache_dir=tmp_path / "cache")).run("cutout", waiting.given)
    # A batch sets bad inputs aside for good, but a file that is being written may be good.
    assert isinstance(caught.value, InputError) is (saved == "gone")
    assert cutout_of(kept, tmp_path / "cache") == cutout_of(kept, tmp_path / "clean")


def test_a_mask_that_is_saved_while_it_waits_is_noticed(tmp_path: Path, toy: Path) -> None:
    mask = tmp_path / "mask.png"
    toy_picture().getchannel("A").save(mask)
    waiting = photo_job(toy, mask=mask)
    toy_picture().getchannel("A").rotate(90).save(mask)
    with pytest.raises(Img2MeshError, match=r"or its mask .*changed"):
        waiting.given["photo"].load()
    again = photo_job(toy, mask=mask)
    assert again.digest != waiting.digest and again.given["photo"].load().mask is not None


def folder_of_views(folder: Path) -> Path:
    """Three views with depth around the toy, from a camera file."""
    folder.mkdir()
    frames = []
    for k, azimuth in enumerate((0.0, 2.1, 4.2)):
        toy_picture(64).save(folder / f"{k}.png")
        Image.fromarray(np.full((64, 64), 2000, np.uint16)).save(folder / f"{k}_depth.png")
        s, c = np.sin(azimuth), np.cos(azimuth)
        matrix = [[c, 0, s, 2 * s], [0, 1, 0, 0], [-s, 0, c, 2 * c], [0, 0, 0, 1]]
        frames.append({"file_path": f"{k}.png", "transform_matrix": matrix,
                       "depth_file_path": f"{k}_depth.png"})  # fmt: skip
    cameras = {"camera_angle_x": 0.8, "frames": frames}
    (folder / "transforms.json").write_text(json.dumps(cameras))
    return folder


def repaint(folder: Path) -> None:
    other_picture().resize((64, 64)).save(folder / "1.png")


def move_camera(folder: Path) -> None:
    cameras = json.loads((folder / "transforms.json").read_text())
    (folder / "transforms.json").write_text(json.dumps(cameras | {"camera_angle_x": 0.9}))


def deepen(folder: Path) -> None:
    Image.fromarray(np.full((64, 64), 2100, np.uint16)).save(folder / "2_depth.png")


@pytest.mark.parametrize("change", [repaint, move_camera, deepen])
def test_views_that_change_while_they_are_read_are_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[Path], None]
) -> None:
    from img2mesh.io import views

    folder = folder_of_views(tmp_path / "views")
    quiet = views_job(folder)
    read = views.read_views

    def read_late(*given: object, **named: object) -> object:
        change(folder)
        return read(*given, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(views, "read_views", read_late)
    with pytest.raises(Img2MeshError, match="used with it changed"):
        views_job(folder)
    monkeypatch.undo()
    assert views_job(folder).digest != quiet.digest


def test_without_a_cache_nothing_is_left_but_the_folder(
    tmp_path: Path, toy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    events: list[object] = []
    out = tmp_path / "out" / "toy"
    request = Request(until="cutout")
    done = execute(photo_job(toy), request, OutputOptions(), out, events.append)
    assert sorted(path.name for path in out.iterdir()) == ["cutout.png", "report.json", "run.json"]
    assert set(done.files) == {"cutout", "report", "run"} and list(temporary.iterdir()) == []
    assert [event.stage for event in events if isinstance(event, Started)] == ["cutout"]
    assert json.loads((out / "report.json").read_text()) == done.report
    kept = execute(photo_job(toy), replace(request, cache_dir=tmp_path / "c"), OutputOptions(), out)
    assert kept.report["cached"] == {"cutout": False} and (tmp_path / "c").exists()
