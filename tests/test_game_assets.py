"""`--preset game` from photo to files: measured by the benchmark's own checks, repeated, undone."""

from __future__ import annotations

import importlib.util
import json
import zipfile
from pathlib import Path
from types import ModuleType

import pytest

from tests.conftest import ROOT, Command, FinishedRun
from tests.khronos import node_modules

if importlib.util.find_spec("coacd") is None or importlib.util.find_spec("meshoptimizer") is None:
    pytest.skip("needs the extras lods and collision", allow_module_level=True)

FACES = 2000  # as the tiny flags set it


@pytest.fixture(scope="module")
def checks() -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "asset_checks", ROOT / "benchmarks" / "asset_checks.py"
    )
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_game_preset_keeps_its_promises(
    finished_run: FinishedRun,
    tmp_path: Path,
    in_process: Command,
    img2mesh: Command,
    checks: ModuleType,
) -> None:
    """Budgets, atlas, maps, levels, hulls, clean files; the same again; gone when not wanted."""
    start = finished_run.copy(tmp_path)
    flags = [str(start.photo), "--preset", "game", *start.flags]
    flags += ["--lods", "2", "--collision-hulls", "6", "--collision-vertices", "16", "--json"]
    done = in_process("run", *flags, "--zip", "--compress", "meshopt", "--scale", "2.5")
    assert done.returncode == 0, done.stderr
    report, folder = json.loads(done.stdout), start.out / "toy"

    mesh = checks.check_mesh(folder / "mesh.glb", FACES)
    assert mesh["ok"] and mesh["name"] == "toy", mesh
    levels = checks.check_lods(folder, report, 2, FACES)
    assert levels["ok"], levels
    assert all(level["watertight"] for level in levels["levels"])
    hulls = checks.check_hulls(folder, 6, 16)
    assert hulls["ok"] and hulls["hulls"] == report["collision"]["hulls"], hulls
    assert hulls["volume_ratio"] < 1.6, "the hulls hold much more than the body"
    clean = checks.validate(folder, node_modules())
    assert clean is None or clean["ok"], clean
    low, high = report["bounds"]["min"], report["bounds"]["max"]
    assert max(b - a for a, b in zip(low, high, strict=True)) == pytest.approx(2.5)
    with zipfile.ZipFile(folder / "asset.zip") as archive:
        inside = {name.removeprefix("toy/") for name in archive.namelist()}
    made = {path.name for path in folder.glob("*.glb")}
    assert len(made) == 7 and made <= inside

    first = {path.name: path.read_bytes() for path in folder.glob("*.glb")}
    again = img2mesh("run", *flags, "--scale", "2.5", "--compress", "meshopt", "--force",
                     "game")  # fmt: skip
    assert not json.loads(again.stdout)["cached"]["game"]
    assert {path.name: path.read_bytes() for path in folder.glob("*.glb")} == first
    assert not (folder / "asset.zip").exists(), "an archive nobody asked for is of an earlier run"

    bare = in_process("run", *flags, "--scale", "2.5", "--lods", "0", "--no-collision",
                    "--no-normal-map", "--no-orm-map")  # fmt: skip
    assert bare.returncode == 0, bare.stderr
    assert {path.name for path in folder.glob("*.glb")} == {"mesh.glb"}
    assert checks.check_mesh(folder / "mesh.glb", FACES)["normal_map"] == "missing"
    assert "lods" not in json.loads(bare.stdout)
