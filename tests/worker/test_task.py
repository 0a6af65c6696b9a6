"""The worker's task: the same job for an item of a batch and for a photo of the page."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path

import pytest
from PIL import Image

from img2mesh.jobs.job import photo_job
from img2mesh.jobs.request import OutputOptions, Request
from img2mesh.worker.task import _thumbnail, decode, encode, run


def test_requests_survive_the_way_to_the_worker(tmp_path: Path) -> None:
    request = Request({"views": {"seed": 3}}, "draft", "cpu", True, "asset", cache_dir=tmp_path)
    options = OutputOptions(("glb", "obj"), True)
    assert decode(encode(request, options)) == (request, options)


def test_a_batch_and_the_page_get_the_same(toy: Path, tmp_path: Path) -> None:
    request = Request({"cutout": {"max_size": 256}}, until="cutout", cache_dir=tmp_path / "cache")
    common = {**encode(request, OutputOptions()), "source": str(toy)}
    batch = tmp_path / "batch"
    batch.mkdir()
    (batch / "batch.json").write_text(json.dumps({"id": "b1"}))
    item = {"name": "cup", "folder": str(batch / "cup"), "batch": "b1", "mask": None}
    seen: list[tuple[str, float]] = []
    of_page = run({**common, "output_dir": str(tmp_path / "out")}, lambda *at: seen.append(at))
    of_batch = run({**common, **item, "offline": True}, lambda *at: None)
    assert seen[0] == ("cutout", 0.0) and seen[-2:] == [("cutout", 1.0), ("files", 0.0)]
    assert of_page["folder"] == str(tmp_path / "out" / "toy")
    assert of_batch["folder"] == str(batch / "cup")
    assert of_page["cached"] == {"cutout": False} and of_batch["cached"] == {"cutout": True}
    same = {"digest", "quality", "warnings", "stage_seconds", "thumbnail"}
    assert {k: of_page[k] for k in same} == {k: of_batch[k] for k in same}
    assert set(of_page["files"]) == {"cutout.png", "report.json", "run.json"}
    assert of_page["thumbnail"].startswith("data:image/webp;base64,")
    json.dumps([of_page, of_batch])  # it goes over a pipe


def test_a_thumbnail_shows_the_photo_before_the_mesh(tmp_path: Path) -> None:
    photo, preview = tmp_path / "red.png", tmp_path / "preview.png"
    Image.new("RGB", (60, 40), (200, 0, 0)).save(photo)
    Image.new("RGB", (1600, 716), (0, 0, 200)).save(preview)

    def drawn() -> Image.Image:
        url = _thumbnail({"preview": preview}, job)
        assert url
        return Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2])))

    job = photo_job(photo)
    small = drawn()
    left, right = small.getpixel((60, 100)), small.getpixel((400, 100))
    assert left[0] > 150 > left[2] and right[2] > 150 > right[0]  # type: ignore[index]
    photo.unlink()
    assert drawn().getpixel((60, 100))[2] > 150  # type: ignore[index]


def test_a_photo_of_a_name_that_is_taken_gets_another_and_says_so(
    toy: Path, tmp_path: Path
) -> None:
    request = Request({"cutout": {"max_size": 256}}, until="cutout", cache_dir=tmp_path / "cache")
    payload = {**encode(request, OutputOptions()), "source": str(toy), "output_dir": str(tmp_path)}
    run(payload, lambda *at: None)
    toy.write_bytes(toy.read_bytes() + b"\0")
    again = run(payload, lambda *at: None)
    assert Path(again["folder"]).name.startswith("toy-")
    assert "belongs to another input of that name" in again["warnings"][0]


def test_a_worker_that_does_not_see_the_batch_s_folder_says_so(toy: Path, tmp_path: Path) -> None:
    item = {"name": "cup", "folder": str(tmp_path / "cup"), "batch": "b1", "source": str(toy)}
    with pytest.raises(RuntimeError, match="shared storage under the same path"):
        run(item, lambda *at: None)
