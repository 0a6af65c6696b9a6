"""`eval suite`: rankings that must come out, resuming, layouts, and what is written."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from img2mesh.artifacts import ViewSet
from img2mesh.core.rigs import rig
from img2mesh.errors import Img2MeshError, InputError
from img2mesh.evaluation.examples import Example, find_examples
from img2mesh.evaluation.perceptual import Perceptual
from img2mesh.evaluation.suite import Contender, run_suite
from img2mesh.evaluation.tables import differences, interval
from tests.training.meshes import write_meshes

SIZE = 32
CAMERAS = rig("zero123plus-v1.1").cameras(SIZE)


def perfect(example: Example) -> ViewSet:
    return example.truth(CAMERAS)


def noisy(example: Example) -> ViewSet:
    views = perfect(example)
    noise = np.random.default_rng(0).normal(scale=0.15, size=views.rgb.shape)
    return replace(views, rgb=np.clip(views.rgb + noise, 0, 1).astype(np.float32))


def inconsistent(example: Example) -> ViewSet:
    """Every view is a good picture of the object, from some other side."""
    turned = np.random.default_rng(1).permutation(360)[:6]
    cameras = tuple(
        rig_camera.orbit(
            float(a), 40.0, distance=2.2, fov_deg=49.13434264120263, width=SIZE, height=SIZE
        )
        for a, rig_camera in zip(turned, CAMERAS, strict=True)
    )
    return replace(example.truth(cameras), cameras=CAMERAS)


def broken(example: Example) -> ViewSet:
    raise Img2MeshError("out of memory")


@pytest.fixture(scope="module")
def meshes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("suite")
    return write_meshes(folder, held_out=("slab", "brick", "post"))


def fakes(*draws: Callable[[Example], ViewSet]) -> dict[str, Contender]:
    return {draw.__name__: Contender(draw) for draw in draws}


def test_fakes_come_out_in_the_right_order_and_a_second_run_goes_on(
    meshes: Path, tmp_path: Path
) -> None:
    sources = find_examples(meshes)
    assert {s.name for s in sources} == {"slab", "brick", "post"}
    colour = Perceptual(features=lambda p: p.reshape(len(p), -1, 3).mean(1))
    contenders = fakes(perfect, noisy, inconsistent)
    found = run_suite(sources, contenders, tmp_path, perceptual=colour)
    means = {n: {k: v[0] for k, v in f.items()} for n, f in found["generators"].items()}
    assert means["perfect"]["psnr"] == 100 and means["perfect"]["mask_iou"] == 1
    assert means["perfect"]["fid"] < 1e-9
    for figure in ("psnr", "psnr_tiled", "ssim", "ssim_tiled", "psnr_object"):
        ranked = [means[n][figure] for n in ("perfect", "noisy", "inconsistent")]
        assert ranked == sorted(ranked, reverse=True) and len(set(ranked)) == 3, figure
    assert means["noisy"]["mask_iou"] == 1 > means["inconsistent"]["mask_iou"] + 0.05
    assert found["differences"]["noisy"]["psnr"][2] < 0 and found["objects"] == 3
    assert "psnr_tiled" in found["definitions"] and "lpips" not in found["definitions"]
    table = (tmp_path / "table.md").read_text()
    assert "| figure | perfect | noisy | inconsistent |" in table and "`fid`: Frechet" in table
    lines = list(csv.DictReader((tmp_path / "table.csv").read_text().splitlines()))
    assert {line["generator"] for line in lines} == {"perfect", "noisy", "inconsistent"}
    assert json.loads((tmp_path / "results.json").read_text()) == found
    assert Image.open(tmp_path / "sheet.png").size[0] == 8 * 72

    # Half of it lost and a line torn by a kill: only that is done again, with the same outcome.
    rows = (tmp_path / "rows.jsonl").read_text().splitlines()
    (tmp_path / "rows.jsonl").write_text("\n".join([*rows[:5], rows[5][:40]]))
    drawn: list[str] = []

    def counted(example: Example) -> ViewSet:
        drawn.append(example.name)
        return inconsistent(example)

    again = {**contenders, "inconsistent": Contender(counted)}
    second = run_suite(sources, again, tmp_path, perceptual=colour)
    for results in (found, second):
        for figures in (*results["generators"].values(), *results["differences"].values()):
            if isinstance(figures, dict):
                figures.pop("seconds", None)
        results.pop("classes")
    assert second == found
    assert len(drawn) == sum("inconsistent" in row for row in rows[5:])


def test_a_generator_that_fails_is_named_and_the_others_are_compared(
    meshes: Path, tmp_path: Path
) -> None:
    def mostly(example: Example) -> ViewSet:
        return broken(example) if example.name == "slab" else perfect(example)

    found = run_suite(find_examples(meshes), fakes(noisy, mostly), tmp_path)
    assert found["objects"] == 2
    assert [(f["example"], f["error"]) for f in found["failed"]] == [("slab", "out of memory")]
    assert found["generators"]["noisy"]["psnr"][3] == 2


def test_meshes_are_measured_in_the_frame_of_the_views(meshes: Path, tmp_path: Path) -> None:
    source = next(s for s in find_examples(meshes) if s.name == "brick")
    surface = source.open().surface
    assert surface is not None
    contender = Contender(perfect, mesh=lambda views: surface)
    found = run_suite([source], {"perfect": contender}, tmp_path)["generators"]["perfect"]
    assert found["chamfer_pct"][0] < 1e-3 and found["f_1"][0] == 1
    assert found["watertight"][0] == 1 and found["volume_iou"][0] == 1


def test_the_same_object_in_the_layout_of_scans(meshes: Path, tmp_path: Path) -> None:
    import trimesh

    for name in ("Cup_Blue", "Shoe"):
        (tmp_path / name / "meshes").mkdir(parents=True)
        trimesh.creation.box((1, 2, 1)).export(tmp_path / name / "meshes" / "model.obj")
    (source, other) = sorted(find_examples(tmp_path), key=lambda s: s.name)
    assert (source.name, other.name, source.kind) == ("Cup_Blue", "Shoe", "scanned")
    assert source.open().cutout.alpha.mean() > 0.1
    with pytest.raises(InputError, match="split 'val'"):
        find_examples(_plain(tmp_path / "plain"), split="val")


def _plain(folder: Path) -> Path:
    import trimesh

    folder.mkdir()
    trimesh.creation.box().export(folder / "one.ply")
    return folder


def test_intervals_hold_the_mean_of_what_they_sample() -> None:
    rng = np.random.default_rng(3)
    held = 0
    for k in range(100):
        mean, low, high = interval(rng.normal(size=40), seed=k)
        assert low < mean < high
        held += low < 0 < high
    assert held >= 85  # 95 of 100 are expected, a little fewer for 40 samples


def test_differences_are_paired() -> None:
    hard = np.linspace(0, 10, 20)
    rows = [{"generator": "a", "example": str(k), "psnr": v} for k, v in enumerate(hard)]
    rows += [{"generator": "b", "example": str(k), "psnr": v + 1} for k, v in enumerate(hard)]
    (mean, low, high, count) = differences(rows, ["psnr"], "a")["b"]["psnr"]
    assert mean == pytest.approx(1) and high - low < 1e-9 and count == 20
