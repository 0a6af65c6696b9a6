"""``img2mesh run --text``: the photo is drawn first, and then the road is the same."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from img2mesh.pages.drawn import DRAWN
from tests.conftest import Command, made_once, tiny_flags
from tests.models.tiny_pictures import make_pictures

PROMPT = "a blue teapot"


@pytest.fixture(scope="module")
def painter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random checkpoint of the kind of Stable Diffusion 1."""
    made = made_once(tmp_path_factory, "pictures", lambda home: make_pictures(home / "painter"))
    return made / "painter"


def test_text_refiner_and_texture_refiner_to_a_mesh(
    painter: Path, command: Command, tmp_path: Path
) -> None:
    """The whole road offline, on a network that draws noise."""
    flags = tiny_flags(cache=tmp_path / "cache", out=tmp_path / "out")
    flags += ["--offline", "--no-remove-bg", "--json", "--text-model", str(painter)]
    flags += ["--refiner", str(painter), "--texture-refiner", str(painter)]
    for setting in ("photo.steps=2", "refined.steps=4", "asset.refiner_steps=2"):
        flags += ["--set", setting]
    done = command("run", "--text", PROMPT, *flags)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["drawn_from_text"] == {"text": PROMPT, "model": "painter"}
    assert report["learned_weights"] is True and report["generator"] == "geometric"
    assert report["licences"] == ["none: random"], "named once, though three stages used it"
    told = " ".join(report["warnings"])
    for words in (
        f"there is no photograph: painter drew the picture from the text '{PROMPT}'",
        "each view was drawn again by painter, strength 0.25",
        "the texture follows renders that painter (licence none: random) drew again",
    ):
        assert words in told
    assert list(report["seconds"]) == list(DRAWN.order)
    out = tmp_path / "out" / PROMPT
    for name in ("photo.png", "mesh.glb", "views.png", "refined.png", "preview.png", "report.html"):
        assert (out / name).stat().st_size > 0
    record = json.loads((out / "run.json").read_text(encoding="utf-8"))
    assert record["input"]["text"] == PROMPT and record["seeds"]["photo"] == 42
    assert record["settings"]["refined"]["refiner_prompt"] == PROMPT
    assert record["settings"]["asset"]["refiner_prompt"] == PROMPT
    known = record["identities"]
    assert known["photo"]["model"] == known["refined"]["refiner"] == known["asset"]["refiner"]

    again = json.loads(command("run", "--text", PROMPT, *flags).stdout)
    assert all(again["cached"].values())
    del flags[flags.index("-o") : flags.index("-o") + 2]
    for text, cached in ((f"  {PROMPT} ", True), ("a cup", False)):
        steps = json.loads(command("plan", "--text", text, *flags).stdout)
        assert [step["stage"] for step in steps] == list(DRAWN.order)
        assert {step["cached"] for step in steps} == {cached}
    other = json.loads(command("plan", "--text", PROMPT, *flags, "--seed", "7").stdout)
    assert not other[0]["cached"], "the seed is the picture's too"


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--text", PROMPT), "the weights of sdxl are not on this machine: run `img2mesh models"),
        (("--text", PROMPT, "--text-model", "zero123"), "--text needs a model that draws pictures"),
        (("--text", PROMPT, "--text-model", "no-such"), "neither a folder nor a known checkpoint"),
        (("--text", "  "), "the text is empty"),
        (("--text", PROMPT, "PHOTO"), "leave out INPUT and --mask"),
        (("PHOTO", "--text-model", "sdxl"), "--text, which was not given"),
        ((), "a photo, or --text PROMPT"),
        (("PHOTO", "--refiner", "sdxl-refiner"), "models fetch sdxl-refiner` (6.1 GB"),
        (("PHOTO", "--refiner", "zero123plus-v1.1"), "--refiner needs a model that draws pictures"),
        (("PHOTO", "--texture-refiner", "sd-1.5"), "the weights of sd-1.5 are not on this machine"),
        (("PHOTO", "--generator", "sdxl"), "draws pictures from text and no views"),
    ],
)
def test_what_cannot_be_is_said_at_once(
    flags: tuple[str, ...], words: str, toy: Path, command: Command, tmp_path: Path
) -> None:
    given = [str(toy) if flag == "PHOTO" else flag for flag in flags]
    done = command("run", *given, "-o", str(tmp_path / "out"))
    assert done.returncode == 2 and words in " ".join(done.stderr.split())
    assert not (tmp_path / "cache").exists(), "before any work"


@pytest.mark.parametrize("flag", ["--text-model", "--refiner", "--texture-refiner"])
def test_commercial_only_asks_every_model(
    flag: str, toy: Path, command: Command, tmp_path: Path
) -> None:
    from img2mesh.diffusion.checkpoints import TABLE

    folder = tmp_path / "closed"
    folder.mkdir()
    index = {"_class_name": "StableDiffusionPipeline"}
    (folder / "model_index.json").write_text(json.dumps(index), encoding="utf-8")
    start = ["--text", PROMPT] if flag == "--text-model" else [str(toy)]
    done = command("run", *start, flag, str(folder), "--commercial-only")
    assert done.returncode == 2 and "closed is licensed unknown" in done.stderr
    assert all(TABLE[name].commercial for name in ("sdxl", "sdxl-refiner", "sd-1.5"))
