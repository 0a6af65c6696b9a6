"""``img2mesh run`` as users and scripts meet it: exit codes, sentences, files, JSON."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from img2mesh.pipeline import PIPELINE
from tests.conftest import ROOT, Command, FinishedRun, tiny_flags, toy_picture


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--preset", "hihg"], "did you mean 'high'"),
        (["--set", "radiance.gird=3"], "did you mean 'grid'"),
        (["--until", "mesh"], "there are: cutout"),
        (["--from", "mesh"], "there are: cutout"),
        (["--force=mseh"], "there are: cutout"),
        (["--device", "tpu"], "unknown device 'tpu'"),
        (["--format", "glb,fbx"], "unknown mesh format 'fbx'"),
        (["--generator", "magic"], "magic"),
        (["--config", "nowhere.toml"], "nowhere.toml"),
        (["--frame", "sideways"], "sideways"),
        (["--foreground-ratio", "7"], "foreground"),
    ],
)
def test_bad_usage_is_one_sentence_and_exit_2(
    flags: list[str], words: str, toy: Path, tmp_path: Path, command: Command
) -> None:
    done = command("run", str(toy), "-o", str(tmp_path / "out"), *flags)
    assert done.returncode == 2 and words in done.stderr
    assert len(done.stderr.strip().splitlines()) <= 3, done.stderr


def test_learned_generators_are_never_fetched_or_faked_silently(
    toy: Path, tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IMG2MESH_MODELS", str(tmp_path / "models"))
    named = ["run", str(toy), "-o", str(tmp_path / "out"), "--generator", "zero123plus-v1.1"]
    done = command(*named)
    assert done.returncode == 2 and "GB" in done.stderr
    assert "img2mesh models fetch zero123plus-v1.1" in done.stderr
    done = command(*named, "--commercial-only")
    assert done.returncode == 2 and "does not allow commercial use" in done.stderr


def test_missing_input_is_one_sentence_also_for_programs(command: Command) -> None:
    done = command("run", "no/such/photo.png")
    assert done.returncode == 2 and "no/such/photo.png" in done.stderr
    told = json.loads(command("run", "no/such/photo.png", "--json").stdout)
    assert told["exit_code"] == 2 and "no/such/photo.png" in told["error"]


def test_one_mask_cannot_fit_two_pictures(toy: Path, command: Command) -> None:
    toy.with_name("other.png").write_bytes(toy.read_bytes())
    done = command("run", str(toy.parent), "--mask", str(toy))
    assert done.returncode == 2 and "--mask fits one picture, but 2" in done.stderr


def test_a_run_from_photo_to_folder(
    toy: Path, tmp_path: Path, command: Command, finished_run: FinishedRun
) -> None:
    """The main job, its files, its plan, its reuse, and what --json prints."""
    flags = tiny_flags(cache=tmp_path / "cache", out=tmp_path / "out")
    settings = flags[:-2]
    first = command(
        "run", str(toy), *flags, "--json", "--format", "obj,ply,stl,usdz", "--turntable"
    )
    assert first.returncode == 0, first.stderr
    report = json.loads(first.stdout)
    folder = tmp_path / "out" / "toy"
    assert {path.name for path in folder.iterdir()} >= {
        "mesh.glb", "mesh.obj", "mesh.ply", "mesh.stl", "mesh.usdz", "cutout.png", "views.png",
        "depths.png",
        "preview.png", "turntable.webp", "report.json", "report.html", "run.json",
    }  # fmt: skip
    assert report["generator"] == "geometric" and report["learned_weights"] is False
    assert report["watertight"] and report["manifold"] and report["components"] == 1
    assert report["silhouette_iou"]["input"] > 0.9
    assert report["psnr_views"]["input"] > 18
    assert any("geometric" in warning for warning in report["warnings"])
    assert set(report["seconds"]) == set(report["cached"]) == set(PIPELINE.order)
    assert not any(report["cached"].values())
    saved = json.loads((folder / "report.json").read_text())
    assert saved["faces"] == report["faces"]

    record = json.loads((folder / "run.json").read_text())
    assert record["settings"]["radiance"]["grid"] == 40
    assert record["settings"]["views"]["generator"] == "geometric"
    assert record["seeds"]["radiance"] == 42 and "numpy" in record["versions"]

    glb = (folder / "mesh.glb").read_bytes()
    again = command("run", str(toy), *flags, "--json")
    assert all(json.loads(again.stdout)["cached"].values())
    assert (folder / "mesh.glb").read_bytes() == glb

    planned = command("plan", str(toy), *settings[:-2], "--cache-dir", settings[-1], "--json")
    assert all(row["cached"] for row in json.loads(planned.stdout)), planned.stdout
    changed = command("plan", str(toy), *settings, "--set", "surface.target_faces=1500", "--json")
    rows = {row["stage"]: row for row in json.loads(changed.stdout)}
    assert rows["radiance"]["cached"] and not rows["surface"]["cached"]
    assert rows["surface"]["reason"] == "setting target_faces changed from 2000 to 1500"
    assert "surface" in rows["asset"]["reason"]

    forced = command("run", str(toy), *flags, "--json", "--force", "surface")
    cached = json.loads(forced.stdout)["cached"]
    assert not cached["surface"] and cached["radiance"] and cached["asset"]
    assert (folder / "mesh.glb").read_bytes() == glb

    # What another process made of the same photo, as a user runs it: the same bytes.
    assert finished_run.glb == glb


def test_what_a_user_reads_at_the_end(finished_run: FinishedRun, img2mesh: Command) -> None:
    done = img2mesh("run", str(finished_run.photo), *finished_run.flags, "-q")
    assert done.returncode == 0 and done.stderr == "", done.stderr
    assert done.stdout.startswith("mesh ") and "wall time" in done.stdout


def test_a_name_clash_gets_a_hash_and_says_so(toy: Path, tmp_path: Path, command: Command) -> None:
    flags = [*tiny_flags(cache=tmp_path / "cache", out=tmp_path / "out"), "--until", "cutout"]
    assert command("run", str(toy), *flags).returncode == 0
    other = tmp_path / "elsewhere" / "toy.png"
    other.parent.mkdir()
    toy_picture(200).save(other)
    second = command("run", str(other), *flags)
    assert second.returncode == 0 and "belongs to another input" in second.stderr
    assert len(list((tmp_path / "out").iterdir())) == 2
    third = command("run", str(other), *flags)
    assert third.returncode == 0 and len(list((tmp_path / "out").iterdir())) == 2


def test_one_bad_picture_of_two_stops_nothing(toy: Path, tmp_path: Path, command: Command) -> None:
    (toy.parent / "broken.png").write_bytes(b"not a picture")
    flags = [*tiny_flags(cache=tmp_path / "cache", out=tmp_path / "out"), "--until", "cutout"]
    run = command("run", str(toy.parent), *flags, "--json")
    assert run.returncode == 2
    results: list[dict[str, Any]] = json.loads(run.stdout)["results"]
    assert ["error" in result for result in results] == [True, False]
    assert (tmp_path / "out" / "toy" / "cutout.png").exists()


def test_interrupt_ends_with_130_and_the_next_run_goes_on(
    toy: Path, tmp_path: Path, in_process: Command
) -> None:
    flags = tiny_flags(cache=tmp_path / "cache", out=tmp_path / "out")
    command = [sys.executable, "-m", "img2mesh", "run", str(toy), *flags]
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
        # Whoever runs the tests in the background ignores Ctrl-C, and children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    deadline = time.monotonic() + 300
    # Interrupt once the first stage is safely in the cache and a later one is at work.
    while time.monotonic() < deadline and not list((tmp_path / "cache").glob("v1/views/*/*")):
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, text = process.communicate(timeout=300)
    assert process.returncode == 130, text
    assert "Traceback" not in text and "interrupted" in text
    done = in_process("run", str(toy), *flags, "--until", "depths", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["cached"]["views"] is True


def test_no_cache_leaves_none(toy: Path, tmp_path: Path, command: Command) -> None:
    run = command("run", str(toy), "-o", str(tmp_path / "out"), "--no-cache", "--until", "cutout")
    assert run.returncode == 0 and (tmp_path / "out" / "toy" / "cutout.png").exists()
    assert not (tmp_path / "cache").exists()


def test_an_unwritable_output_folder_is_one_sentence(
    toy: Path, tmp_path: Path, command: Command
) -> None:
    blocker = tmp_path / "out"
    blocker.write_text("a file where the folder should be")
    flags = tiny_flags(cache=tmp_path / "cache", out=blocker)
    run = command("run", str(toy), *flags, "--until", "cutout")
    assert run.returncode == 1
    assert "cannot write the results" in run.stderr
    assert blocker.read_text().startswith("a file")
