"""The command line as users and scripts meet it: flags, exit codes, sentences, JSON."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from img2mesh import cli
from tests.conftest import ROOT, Command, tiny_flags

COMMANDS = (
    [],
    ["run"],
    ["reconstruct"],
    ["batch"],
    ["plan"],
    ["stages"],
    ["serve"],
    ["doctor"],
    ["models"],
    ["models", "list"],
    ["models", "fetch"],
    ["models", "verify"],
    ["cache"],
    ["cache", "list"],
    ["cache", "show"],
    ["cache", "verify"],
    ["cache", "trim"],
    ["eval"],
    ["eval", "mesh"],
    ["eval", "views"],
)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_has_help(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main([*command, "--help"])
    assert ended.value.code == 0
    assert "Usage" in capsys.readouterr().out


def test_the_contract_s_flags_are_there(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["run", "--help"])
    text = capsys.readouterr().out
    for flag in (
        "--output-dir", "-o", "--preset", "--config", "--set", "--generator", "--mask",
        "--no-remove-bg", "--no-rembg", "--foreground-ratio", "--seed", "--mc-resolution",
        "--target-faces", "--texture-resolution", "--format", "--turntable", "--device",
        "--frame", "--until", "--from", "--force", "--cache-dir", "--no-cache", "--json", "-q",
        "-v", "--pivot", "--scale", "--steps", "--guidance-scale", "--low-vram", "--offline",
        "--commercial-only",
    ):  # fmt: skip
        assert flag in text, flag


def test_stage_names_in_the_cli_are_the_pipeline_s() -> None:
    from img2mesh.pipeline import PIPELINE

    assert tuple(PIPELINE.order) == cli._STAGE_NAMES


@pytest.mark.parametrize(
    ("given", "understood"),
    [
        (["run", "--output_dir", "x", "a_b.png"], ["run", "--output-dir", "x", "a_b.png"]),
        (["run", "--output_dir=a_b"], ["run", "--output-dir=a_b"]),
        (["run", "--force", "views", "p.png"], ["run", "--force=views", "p.png"]),
        (["run", "--force", "p.png"], ["run", "--force=all", "p.png"]),
        (["run", "p.png", "--force"], ["run", "p.png", "--force=all"]),
        (["run", "--", "--output_dir"], ["run", "--", "--output_dir"]),
    ],
)
def test_spellings(given: list[str], understood: list[str]) -> None:
    assert cli._normalised(given) == understood


def ended(command: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """Exit code and stderr of a command that must fail with a sentence."""
    with pytest.raises(SystemExit) as caught:
        cli.main(command)
    text = capsys.readouterr().err
    assert "Traceback" not in text
    return int(caught.value.code or 0), text


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--preset", "hihg"], "did you mean 'high'"),
        (["--set", "radiance.gird=3"], "did you mean 'grid'"),
        (["--until", "mesh"], "stages are cutout"),
        (["--from", "mesh"], "stages are cutout"),
        (["--device", "tpu"], "unknown device 'tpu'"),
        (["--format", "glb,fbx"], "unknown mesh format 'fbx'"),
        (["--generator", "magic"], "magic"),
        (["--config", "nowhere.toml"], "nowhere.toml"),
        (["--frame", "sideways"], "sideways"),
        (["--foreground-ratio", "7"], "foreground"),
    ],
)
def test_bad_usage_is_one_sentence_and_exit_2(
    flags: list[str], words: str, toy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    here = ["--cache-dir", str(tmp_path / "cache"), "-o", str(tmp_path / "out")]
    code, text = ended(["run", str(toy), *here, *flags], capsys)
    assert code == 2
    assert words in text
    assert len(text.strip().splitlines()) <= 3, text


def test_learned_generators_are_never_fetched_or_faked_silently(
    toy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IMG2MESH_MODELS", str(tmp_path / "models"))
    here = ["--cache-dir", str(tmp_path / "cache"), "-o", str(tmp_path / "out")]
    named = ["run", str(toy), *here, "--generator", "zero123plus-v1.1"]
    code, text = ended(named, capsys)
    assert code == 2 and "img2mesh models fetch zero123plus-v1.1" in text and "GB" in text
    code, text = ended([*named, "--commercial-only"], capsys)
    assert code == 2 and "does not allow commercial use" in text


def test_missing_input_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    code, text = ended(["run", "no/such/photo.png"], capsys)
    assert code == 2 and "no/such/photo.png" in text


def test_one_mask_cannot_fit_two_pictures(toy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = toy.with_name("other.png")
    other.write_bytes(toy.read_bytes())
    code, text = ended(["run", str(toy.parent), "--mask", str(toy)], capsys)
    assert code == 2 and "--mask fits one picture, but 2" in text


def test_a_run_from_photo_to_folder(toy: Path, tmp_path: Path, img2mesh: Command) -> None:
    """The main job, its files, its plan, its reuse, and what --json prints."""
    flags = tiny_flags(cache=tmp_path / "cache", out=tmp_path / "out")
    settings = flags[:-2]
    first = img2mesh(
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
    assert set(report["seconds"]) == set(report["cached"]) == set(cli._STAGE_NAMES)
    assert not any(report["cached"].values())
    saved = json.loads((folder / "report.json").read_text())
    assert saved["faces"] == report["faces"]

    record = json.loads((folder / "run.json").read_text())
    assert record["settings"]["radiance"]["grid"] == 40
    assert record["settings"]["views"]["generator"] == "geometric"
    assert record["seeds"]["radiance"] == 42 and "numpy" in record["versions"]

    glb = (folder / "mesh.glb").read_bytes()
    again = img2mesh("run", str(toy), *flags, "--json")
    assert all(json.loads(again.stdout)["cached"].values())
    assert (folder / "mesh.glb").read_bytes() == glb

    planned = img2mesh("plan", str(toy), *settings[:-2], "--cache-dir", settings[-1], "--json")
    assert all(row["cached"] for row in json.loads(planned.stdout)), planned.stdout
    changed = img2mesh("plan", str(toy), *settings, "--set", "surface.target_faces=1500", "--json")
    rows = {row["stage"]: row for row in json.loads(changed.stdout)}
    assert rows["radiance"]["cached"] and not rows["surface"]["cached"]
    assert rows["surface"]["reason"] == "setting target_faces changed from 2000 to 1500"
    assert "surface" in rows["asset"]["reason"]

    forced = img2mesh("run", str(toy), *flags, "--json", "--force", "surface")
    cached = json.loads(forced.stdout)["cached"]
    assert not cached["surface"] and cached["radiance"] and cached["asset"]
    assert (folder / "mesh.glb").read_bytes() == glb

    fresh = tiny_flags(cache=tmp_path / "cache2", out=tmp_path / "out2")
    assert img2mesh("run", str(toy), *fresh, "-q").returncode == 0
    assert (tmp_path / "out2" / "toy" / "mesh.glb").read_bytes() == glb


def test_a_name_clash_gets_a_hash_and_says_so(toy: Path, tmp_path: Path, img2mesh: Command) -> None:
    flags = [*tiny_flags(cache=tmp_path / "cache", out=tmp_path / "out"), "--until", "cutout"]
    assert img2mesh("run", str(toy), *flags).returncode == 0
    other = tmp_path / "elsewhere" / "toy.png"
    other.parent.mkdir()
    from tests.conftest import toy_picture

    toy_picture(200).save(other)
    second = img2mesh("run", str(other), *flags)
    assert second.returncode == 0 and "belongs to another input" in second.stderr
    assert len(list((tmp_path / "out").iterdir())) == 2
    third = img2mesh("run", str(other), *flags)
    assert third.returncode == 0 and len(list((tmp_path / "out").iterdir())) == 2


def test_one_bad_picture_of_two_stops_nothing(toy: Path, tmp_path: Path, img2mesh: Command) -> None:
    (toy.parent / "broken.png").write_bytes(b"not a picture")
    flags = [*tiny_flags(cache=tmp_path / "cache", out=tmp_path / "out"), "--until", "cutout"]
    run = img2mesh("run", str(toy.parent), *flags, "--json")
    assert run.returncode == 2 and "Traceback" not in run.stderr
    results: list[dict[str, Any]] = json.loads(run.stdout)["results"]
    assert ["error" in result for result in results] == [True, False]
    assert (tmp_path / "out" / "toy" / "cutout.png").exists()


def test_interrupt_ends_with_130_and_the_next_run_goes_on(toy: Path, tmp_path: Path) -> None:
    flags = tiny_flags(cache=tmp_path / "cache", out=tmp_path / "out")
    command = [sys.executable, "-m", "img2mesh", "run", str(toy), *flags]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 300
    # Interrupt once the first stage is safely in the cache and a later one is at work.
    while time.monotonic() < deadline and not list((tmp_path / "cache").glob("v1/views/*/*")):
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, text = process.communicate(timeout=300)
    assert process.returncode == 130, text
    assert "Traceback" not in text and "interrupted" in text
    done = subprocess.run(
        [*command, "--json"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["cached"]["views"] is True


def test_cache_commands(toy: Path, tmp_path: Path, img2mesh: Command) -> None:
    cache = tmp_path / "cache"
    flags = [*tiny_flags(cache=cache, out=tmp_path / "out"), "--until", "cutout"]
    assert img2mesh("run", str(toy), *flags).returncode == 0
    here = ["--cache-dir", str(cache)]
    entries = json.loads(img2mesh("cache", "list", *here, "--json").stdout)
    assert [entry["stage"] for entry in entries] == ["cutout"]
    shown = json.loads(img2mesh("cache", "show", entries[0]["key"][:8], *here).stdout)
    assert shown["recipe"]["stage"] == "cutout"
    assert img2mesh("cache", "verify", *here).returncode == 0

    picture = next(cache.glob("v1/cutout/*/*/cutout.png"))
    content = bytearray(picture.read_bytes())
    content[len(content) // 2] ^= 1
    picture.write_bytes(content)
    checked = img2mesh("cache", "verify", *here)
    assert checked.returncode == 1 and "quarantined cutout" in checked.stdout
    assert img2mesh("run", str(toy), *flags).returncode == 0

    trimmed = img2mesh("cache", "trim", "--keep", "0", *here)
    assert trimmed.returncode == 0
    assert json.loads(img2mesh("cache", "list", *here, "--json").stdout) == []
    wrong = img2mesh("cache", "trim", "--keep", "lots", *here)
    assert wrong.returncode == 2 and "500MB" in wrong.stderr
    missing = img2mesh("cache", "show", "ffff", *here)
    assert missing.returncode == 2 and "Traceback" not in missing.stderr


def test_doctor_finds_the_needed_libraries(img2mesh: Command) -> None:
    findings = json.loads(img2mesh("doctor", "--json").stdout)
    states = {finding["name"]: finding["state"] for finding in findings}
    assert states["torch"] == states["open3d"] == states["device"] == "ok"
    assert all(f["advice"] for f in findings if f["state"] == "broken")


def test_stages_and_their_diagram(img2mesh: Command) -> None:
    described = json.loads(img2mesh("stages", "--json").stdout)
    assert [entry["stage"] for entry in described] == list(cli._STAGE_NAMES)
    assert described[1]["settings"]["generator"] == "geometric"
    diagram = img2mesh("stages", "--mermaid").stdout
    assert "cutout --> views" in diagram.replace("[", " ")


def test_no_cache_leaves_none(toy: Path, tmp_path: Path, img2mesh: Command) -> None:
    run = img2mesh("run", str(toy), "-o", str(tmp_path / "out"), "--no-cache", "--until", "cutout")
    assert run.returncode == 0 and (tmp_path / "out" / "toy" / "cutout.png").exists()
    assert not (tmp_path / "cache").exists()


def test_an_unwritable_output_folder_is_one_sentence(
    toy: Path, tmp_path: Path, img2mesh: Command
) -> None:
    blocker = tmp_path / "out"
    blocker.write_text("a file where the folder should be")
    flags = tiny_flags(cache=tmp_path / "cache", out=blocker)
    run = img2mesh("run", str(toy), *flags, "--until", "cutout")
    assert run.returncode == 1 and "Traceback" not in run.stderr
    assert "cannot write the results" in run.stderr
    assert blocker.read_text().startswith("a file")
