"""What is wrong is said at once: before a stage works, before torch is loaded, by every door."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from img2mesh import settings
from img2mesh.api import Session
from img2mesh.core import devices
from img2mesh.core.ranges import Between
from img2mesh.errors import InputError, MissingExtraError
from img2mesh.graph import Runner
from img2mesh.jobs import early
from img2mesh.jobs.claims import require_writable
from img2mesh.jobs.request import OutputOptions, Request, request_from
from img2mesh.pipeline import PIPELINE
from tests.conftest import ROOT, Command

NUMBERS = [
    (stage.name, name)
    for stage in PIPELINE.stages.values()
    for name, one in stage.settings.items()
    if one.annotation in (int, float, float | None)
]

#: Flags, and words of the sentence.
WRONG = [
    (("--texture-resolution", "0"), "asset.texture_resolution expects 64 to 8192, got 0"),
    (("--texture-resolution", "100000"), "texture_resolution"),
    (("--seed", "-1"), "seed expects 0 to 4294967295, got -1"),
    (("--seed", str(2**64)), "seed"),
    (("--foreground-ratio", "0"), "foreground_ratio expects 0.1 to 1"),
    (("--foreground-ratio", "nan"), "foreground_ratio"),
    (("--target-faces", "3"), "target_faces"),
    (("--mc-resolution", "5"), "surface.resolution expects 0, or 16 to 768"),
    (("--scale", "0"), "asset.scale"),
    (("--scale", "-1"), "asset.scale"),
    (("--scale", "inf"), "asset.scale"),
    (("--steps", "0"), "steps"),
    (("--guidance-scale", "-2"), "guidance_scale"),
    (("--lods", "9"), "game.lods"),
    (("--lod-ratio", "1"), "game.lod_ratio"),
    (("--collision-hulls", "0"), "collision_hulls"),
    (("--collision-vertices", "3"), "collision_vertices"),
    (("--set", "surface.smoothing_steps=1e20"), "smoothing_steps"),
    (("--set", "radiance.relax_px=1e308"), "relax_px expects 0 to 64"),
    (("--set", "radiance.grid=8"), "radiance.grid"),
    (("--set", "radiance.fine_grid=32"), "coarser than radiance.grid"),
    (("--set", "cutout.max_size=100"), "max_size"),
    (("--set", "views.tile=100000"), "views.tile"),
    (("--set", "cutout.segmenter=onnx", "--set", "cutout.model=/none.onnx"), "cutout.model"),
    (("--pivot", "top"), "pivot"),
    (("--frame", "left"), "frame"),
    (("--remesh", "hexagon"), "remesh"),
    (("--format", "fbx"), "fbx"),
    (("--texture-format", "tga"), "texture format"),
    (("--compress", "zip"), "compression"),
    (("--until", "mesh"), "unknown stage"),
    (("--from", "mesh"), "unknown stage"),
    (("--preset", "best"), "unknown preset"),
    (("--config", "/none.toml"), "config"),
    (("--device", "tpu"), "unknown device"),
    (("--device", "cuda:x"), "cuda:x"),
    (("--device", "mps"), "mps"),
    (("--size", "height=1e-9m"), "1e-06 to 1e+06 m"),
    (("--size", "9cm"), "a size is written as height=9cm"),
    (("--parts", "glue"), "keep, join, largest"),
    (("--segmenter", "magic"), "cutout.segmenter"),
    (("--elevation", "200"), "views.elevation expects -90 to 90"),
    (("--cache-dir", ""), "the path is empty"),
    (("--output-dir", ""), "the path is empty"),
    (("--output-dir", "-"), "a mesh is not written to stdout"),
    (("--box", "1,2,3"), "is not X,Y,W,H"),
]  # fmt: skip


@pytest.mark.parametrize(("stage", "name"), NUMBERS)
def test_every_number_has_a_range_that_holds_its_default(stage: str, name: str) -> None:
    between = settings.range_of(PIPELINE, stage, name)
    assert between is not None, f"{stage}.{name} needs Annotated[..., Between(...)]"
    assert between.holds(PIPELINE.stages[stage].settings[name].default)


@pytest.mark.parametrize(("flags", "words"), WRONG, ids=lambda value: str(value)[:40])
def test_wrong_values_are_refused_before_any_stage(
    flags: tuple[str, ...],
    words: str,
    toy: Path,
    tmp_path: Path,
    command: Command,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if "mps" in flags:
        monkeypatch.setattr(sys, "platform", "linux")

    def worked(*given: Any) -> None:
        raise AssertionError("a stage was to run")

    monkeypatch.setattr(Runner, "run", worked)
    done = command("run", str(toy), "--no-cache", "-o", str(tmp_path / "out"), *flags)
    assert done.returncode == 2 and words in done.stderr, done.stderr
    assert not (tmp_path / "out").exists()


def test_forty_wrong_values_are_refused_without_torch(toy: Path, tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.touch()
    wrong = [*(flags for flags, _ in WRONG), ("-o", str(blocked / "out")), ("--device", "cuda:99")]
    assert len(wrong) >= 40
    program = f"""
import sys
from img2mesh import cli
for more in {wrong!r}:
    try:
        cli.main(["run", {str(toy)!r}, "--no-cache", *more])
    except SystemExit as ended:
        assert ended.code in (1, 2), (more, ended.code)
    heavy = {{"torch", "open3d", "scipy", "cv2", "diffusers"}} & set(sys.modules)
    assert not heavy, (more, heavy)
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "img2mesh_out").exists()


@pytest.mark.parametrize("flags", [("--seed", "-1"), ("--preset", "best"), ("-o", "FILE/out")])
def test_wrong_values_are_told_before_large_inputs_are_read(
    flags: tuple[str, ...], tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(*given: Any, **more: Any) -> None:
        raise AssertionError("the inputs were read first")

    for name in ("views_job", "photo_job"):
        monkeypatch.setattr(f"img2mesh.jobs.job.{name}", read)
    (tmp_path / "file.png").touch()
    flags = tuple(flag.replace("FILE", str(tmp_path / "file.png")) for flag in flags)
    for words in (("run", str(tmp_path / "file.png")), ("reconstruct", str(tmp_path))):
        done = command(*words, *flags)
        assert done.returncode in (1, 2), done.stderr


def test_a_manifest_s_row_is_refused_by_its_line(
    toy: Path, tmp_path: Path, command: Command
) -> None:
    listed = tmp_path / "list.csv"
    listed.write_text(f"path,asset.texture_resolution\n{toy},512\n{toy},0\n")
    done = command("batch", "--manifest", str(listed), "-o", str(tmp_path / "out"))
    assert done.returncode == 2 and "line 3: asset.texture_resolution" in done.stderr
    assert not (tmp_path / "out").exists()


def test_python_is_told_as_early() -> None:
    with pytest.raises(InputError, match="seed expects"):
        Session(settings={"radiance": {"seed": -1}})


def test_an_output_below_a_file(toy: Path, command: Command) -> None:
    done = command("run", str(toy), "--no-cache", "-o", str(toy / "out"))
    assert done.returncode == 1 and "is no folder" in done.stderr
    assert "cache" not in done.stderr and "cutout" not in done.stderr


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_closed_output(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(Exception, match="cannot write the results"):
            require_writable(tmp_path / "out")
    finally:
        tmp_path.chmod(0o700)


def driver(count: int) -> SimpleNamespace:
    def tell(pointer: Any) -> int:
        pointer._obj.value = count
        return 0

    return SimpleNamespace(cuInit=lambda flags: 0, cuDeviceGetCount=tell)


@pytest.mark.parametrize(
    ("name", "count", "words"),
    [("cuda", 0, "no GPU"), ("cuda", 1, ""), ("cuda:1", 2, ""), ("cuda:2", 2, "2 GPUs")],
)
def test_a_gpu_is_counted_by_its_driver(
    name: str, count: int, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(devices, "_built_for", lambda: "cuda")
    monkeypatch.setattr(devices.ctypes, "CDLL", lambda library: driver(count))
    if not words:
        devices.require_device(name)
        return
    with pytest.raises(InputError, match=words):
        devices.require_device(name)


def test_a_torch_for_the_cpu_has_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "_built_for", lambda: "")
    with pytest.raises(InputError, match="built for the CPU"):
        early.require_possible(Request(device="cuda"))
    early.require_possible(Request(device="cuda"), here=False)


@pytest.mark.parametrize(
    ("setting", "extra"), [("game.lods", "lods"), ("game.collision", "collision")]
)
def test_a_missing_library_is_named_before_the_work(
    setting: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "meshoptimizer", None)
    monkeypatch.setitem(sys.modules, "coacd", None)
    with pytest.raises(MissingExtraError, match=rf"img2mesh\[{extra}\]"):
        early.require_possible(request_from(overrides={setting: 1 if extra == "lods" else True}))
    early.require_possible(request_from(overrides={setting: 1 if extra == "lods" else True,
                                                   }, until="surface"))  # fmt: skip
    with pytest.raises(MissingExtraError, match="meshopt"):
        early.require_writers(OutputOptions(compress="meshopt"), Request())


def test_nerfaccs_extension_is_missed_before_the_work_by_who_chose_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(devices, "_built_for", lambda: "cuda")
    monkeypatch.setattr(devices.ctypes, "CDLL", lambda library: driver(1))
    monkeypatch.setenv("PATH", "")  # no nvcc
    chosen = request_from(overrides={"radiance.renderer": "nerfacc"})
    early.require_possible(chosen)
    early.require_possible(replace(chosen, device="cuda"), here=False)
    early.require_possible(Request(device="cuda"))
    with pytest.raises(InputError, match="no CUDA compiler"):
        early.require_possible(replace(chosen, device="cuda"))


def test_ranges_say_what_they_hold() -> None:
    assert str(Between(16, 512, off=0)) == "0, or 16 to 512"
    assert Between(16, 512, off=0).holds(0) and not Between(16, 512, off=0).holds(1)
    assert Between(0, 1).holds(None)
