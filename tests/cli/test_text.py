"""``img2mesh run --text``: the photo is drawn first, and then the road is the same."""

from __future__ import annotations

import json
import shutil
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


def test_from_text_to_mesh(painter: Path, command: Command, tmp_path: Path) -> None:
    flags = [*tiny_flags(cache=tmp_path / "cache", out=tmp_path / "out"), "--json", "--offline"]
    flags += ["--no-remove-bg", "--set", "photo.steps=2", "--text-model", str(painter)]
    done = command("run", "--text", PROMPT, *flags)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["drawn_from_text"] == {"text": PROMPT, "model": "painter"}
    assert report["learned_weights"] is True and "none: random" in report["licences"]
    assert any("there is no photograph: painter drew" in w for w in report["warnings"])
    assert list(report["seconds"]) == list(DRAWN.order)
    out = tmp_path / "out" / PROMPT
    for name in ("photo.png", "mesh.glb", "views.png", "preview.png", "report.html"):
        assert (out / name).stat().st_size > 0
    record = json.loads((out / "run.json").read_text(encoding="utf-8"))
    assert record["input"]["text"] == PROMPT
    assert record["identities"]["photo"]["model"] and record["seeds"]["photo"] == 42

    again = json.loads(command("run", "--text", PROMPT, *flags).stdout)
    assert all(again["cached"].values())
    planned = json.loads(command("plan", "--text", PROMPT, *flags[:-5], *flags[-4:]).stdout)
    assert [step["stage"] for step in planned] == list(DRAWN.order)
    other = json.loads(command("plan", "--text", "a cup", *flags[:-5], *flags[-4:]).stdout)
    assert not other[0]["cached"]
