"""``img2mesh plan`` and ``img2mesh stages``; reasons in a real cache are checked with ``run``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image, ImageDraw

from img2mesh.pipeline import PIPELINE
from img2mesh.settings import RENAMED
from tests.conftest import Command


def test_nothing_is_cached_at_first(toy: Path, tmp_path: Path, command: Command) -> None:
    run_flags = ["-o", str(tmp_path / "out"), "--format", "obj", "--turntable", "--texture-format",
                 "webp", "--offline", "--low-vram", "--device", "cpu", "-q", "-v"]  # fmt: skip
    rows = json.loads(command("plan", str(toy), *run_flags, "--until", "asset", "--json").stdout)
    assert [row["stage"] for row in rows] == [
        name for name in PIPELINE.order if name not in ("game", "quality")
    ]
    assert not any(row["cached"] for row in rows)
    assert not (tmp_path / "out").exists() and not (tmp_path / "cache").exists(), "it ran nothing"
    table = command("plan", str(toy))
    assert table.returncode == 0 and "runs" in table.stdout and "radiance" in table.stdout


def test_a_sheet_enters_after_the_views(tmp_path: Path, command: Command) -> None:
    # A ball, seen from six sides.
    sheet = Image.new("RGBA", (96, 144))
    for k in range(6):
        x, y = k % 2 * 48, k // 2 * 48
        ImageDraw.Draw(sheet).ellipse((x + 12, y + 12, x + 35, y + 35), (200, 90, 40, 255))
    sheet.save(tmp_path / "sheet.png")
    done = command("plan", str(tmp_path / "sheet.png"), "--rig", "zero123plus-v1.1", "--json")
    stages = [row["stage"] for row in json.loads(done.stdout)]
    assert "cutout" not in stages and "views" not in stages and "radiance" in stages


def test_stages_and_their_diagram(command: Command) -> None:
    described = json.loads(command("stages", "--json").stdout)
    assert [entry["stage"] for entry in described] == ["photo", *PIPELINE.order]
    assert described[2]["settings"]["generator"] == "learned"
    diagram = command("stages", "--mermaid").stdout
    assert "cutout --> views" in diagram.replace("[", " ")
    assert "surface.target_faces = 20000" in command("stages").stdout


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--set", "texture.scale=2"], "the stage 'texture' is called 'asset' now"),
        (["--set", "asset.extent=2"], "the setting of asset 'extent' is called 'scale' now"),
    ],
)
def test_an_old_name_is_answered_with_the_new_one(
    flags: list[str],
    words: str,
    toy: Path,
    command: Command,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    renamed = {"texture": "asset", "asset.extent": "asset.scale"}
    monkeypatch.setattr("img2mesh.settings.RENAMED", renamed)
    done = command("plan", str(toy), *flags)
    assert done.returncode == 2 and words in done.stderr


@pytest.mark.parametrize("old", ["posed", "engine"])
def test_commands_with_a_stages_old_name_go_on_working(
    old: str, toy: Path, command: Command
) -> None:
    now = RENAMED[old]
    for flags in (["--until", old], ["--until", old, "--from", old], ["--force", old]):
        told = [flag.replace(old, now) for flag in flags]
        done, expected = (command("plan", str(toy), "--json", *f) for f in (flags, told))
        assert done.returncode == 0, done.stderr
        assert done.stdout == expected.stdout
