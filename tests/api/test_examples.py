"""The scripts in docs/examples: they run, and a strict type checker has nothing to say."""

from __future__ import annotations

import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from img2mesh.artifacts.asset_files import load_glb
from img2mesh.core.rigs import rig
from img2mesh.geometry.raycast import Scene
from tests import shapes
from tests.conftest import ROOT, toy_picture

EXAMPLES = ROOT / "docs" / "examples"
#: Rooms that no user of the public names sees: reading them would take most of the time.
UNSEEN = ("segmentation", "multiview", "pose", "field", "meshing", "texture", "export")
UNSEEN += ("report", "evaluation", "geometry", "imaging")
LIBRARIES = ("torch", "open3d", "trimesh", "scipy", "transformers", "diffusers", "ray", "kornia")
LIBRARIES += ("huggingface_hub", "accelerate")


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache for all of them and a folder with one photo and one other file."""
    folder = tmp_path_factory.mktemp("examples")
    (folder / "photos").mkdir()
    toy_picture().save(folder / "photos" / "toy.png")
    (folder / "photos" / "poem.txt").write_text("shall I compare thee")
    return folder


def run(name: str, *arguments: object, monkeypatch: pytest.MonkeyPatch, shared: Path) -> None:
    monkeypatch.setenv("IMG2MESH_CACHE", str(shared / "cache"))
    monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
    runpy.run_path(str(EXAMPLES / name), run_name="__main__")


def test_photo_to_mesh(
    shared: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    target = shared / "toy.glb"
    run("photo_to_mesh.py", shared / "photos" / "toy.png", target, monkeypatch=monkeypatch,
        shared=shared)  # fmt: skip
    assert load_glb(target).name == "toy"
    lines = capsys.readouterr().out.splitlines()
    assert "cutout    100%" in lines and lines[-1].startswith("TexturedMesh('toy', ")


def test_folder_of_photos(
    shared: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run("folder_of_photos.py", shared / "photos", shared / "out", monkeypatch=monkeypatch,
        shared=shared)  # fmt: skip
    assert (shared / "out" / "toy" / "report.html").exists()
    told = capsys.readouterr().out
    assert "poem.txt' is not a picture" in told and "unseen sides are a guess" in told


def test_own_views(
    shared: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run("own_views.py", shared / "ball.glb", monkeypatch=monkeypatch, shared=shared)
    assert len(load_glb(shared / "ball.glb").faces) > 500
    roundness = float(capsys.readouterr().out.splitlines()[-1].rpartition(" ")[2])
    assert 0.9 < roundness <= 1.0


def test_own_stages(
    shared: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run("own_stages.py", shared / "photos" / "toy.png", monkeypatch=monkeypatch, shared=shared)
    told = capsys.readouterr().out
    assert "by mask" in told and "radiance cached" in told
    assert told.splitlines()[-1].startswith("TriangleMesh with ")


@pytest.mark.parametrize("name", ["syncdreamer", "mvdream"])
def test_other_generators(name: str, shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ball, tiles = shapes.ball(), []
    for camera in rig(name).cameras(48):
        mask = Scene(ball.vertices, ball.faces).look(camera).mask
        tiles.append(np.dstack([np.full((48, 48, 3), 150), 255 * mask]).astype(np.uint8))
    Image.fromarray(np.concatenate(tiles, axis=1)).save(shared / "strip.png")
    target = shared / f"{name}.glb"
    run("other_generators.py", name, shared / "strip.png", target, monkeypatch=monkeypatch,
        shared=shared)  # fmt: skip
    low, high = load_glb(target).joined.to_trimesh().bounds
    assert np.allclose(high - low, 1, atol=0.1)


@pytest.mark.parametrize("name", ["own_generator.py", "own_guidance.py"])
def test_own_generator_and_guidance(
    name: str, shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = shared / f"{name}.glb"
    run(name, shared / "photos" / "toy.png", target, monkeypatch=monkeypatch, shared=shared)
    assert len(load_glb(target).faces) > 500
    own = (EXAMPLES / name).read_text(encoding="utf-8").partition("def main")[0]
    code = [line for line in own.splitlines() if line.strip() and not line.startswith(("#", '"'))]
    assert len(code) < 30, "short enough to be written by a user"


def test_a_strict_type_checker_finds_nothing_in_a_user_s_script(tmp_path: Path) -> None:
    pytest.importorskip("mypy")
    # The examples and what none of them does: wrong uses must be found, or nothing is checked.
    wrong = tmp_path / "wrong.py"
    wrong.write_text(
        "import img2mesh\n"
        "img2mesh.reconstruct(3)\n"
        "img2mesh.reconstruct('a.png', cache='folder')\n"
        "img2mesh.reconstruct('a.png', tresholds=3)\n"
        "x: int = img2mesh.run('a.png').asset\n"
        "img2mesh.Camera.orbit(0, 0)\n"
        "y: str = img2mesh.__version__\n"
    )
    config = "[mypy]\nstrict = true\nignore_missing_imports = true\nfollow_imports = silent\n"
    for name in (*(f"img2mesh.{room}" for room in UNSEEN), *LIBRARIES):
        config += f"[mypy-{name}.*]\nfollow_imports = skip\n"
    (tmp_path / "mypy.ini").write_text(config)
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--config-file", str(tmp_path / "mypy.ini"),
         "--cache-dir", str(tmp_path / "cache"), str(wrong), *map(str, EXAMPLES.glob("*.py"))],
        capture_output=True, text=True, cwd=ROOT, check=False,
    )  # fmt: skip
    found = [line for line in done.stdout.splitlines() if ": error: " in line]
    assert {line.partition(": error: ")[0] for line in found} == {
        f"{wrong}:{number}" for number in (2, 3, 4, 5, 6)
    }, done.stdout + done.stderr
