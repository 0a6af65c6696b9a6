"""Training renders: cameras, files and pictures of the two layouts, and what bad meshes do."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import trimesh
from PIL import Image

from img2mesh.batch.renders import render_meshes
from img2mesh.core.rigs import rig
from img2mesh.errors import InputError
from img2mesh.evaluation.examples import find_examples
from img2mesh.training.catalog import Entry, read_catalog
from img2mesh.training.environments import procedural_probe
from img2mesh.training.photograph import environment_light, photograph
from img2mesh.training.renders import OBJECT_RADIUS, Recipe, closer, render, turned
from img2mesh.training.shards import pack
from tests.training.meshes import write_meshes


def rgba(file: Path) -> np.ndarray:
    return np.asarray(Image.open(file)).astype(float)


def brick(folder: Path, size: tuple[float, ...] = (1.0, 0.6, 1.4)) -> Entry:
    box = trimesh.creation.box(size)
    box.apply_translation((3, -1, 2))  # nothing may hang on where a file puts its object
    box.export(folder / "brick.ply")
    return Entry(folder / "brick.ply", "brick.ply")


def test_zero123_matrices_project_the_object_onto_its_picture(tmp_path: Path) -> None:
    entry = brick(tmp_path)
    recipe = Recipe("zero123", 96, views=5, seed=4)
    assert render(entry, tmp_path / "out", recipe) == {"pictures": 5}
    assert sorted(f.name for f in (tmp_path / "out").iterdir())[:2] == ["000.npy", "000.png"]
    corners = trimesh.creation.box((1.0, 0.6, 1.4)).vertices / 1.4  # the longest side is 1
    corners = corners[:, [2, 0, 1]]  # +y up -> z up
    for k in range(5):
        matrix = np.load(tmp_path / "out" / f"{k:03d}.npy")
        assert matrix.shape == (3, 4) and np.allclose(matrix[:, :3] @ matrix[:, :3].T, np.eye(3))
        centre = -matrix[:, :3].T @ matrix[:, 3]
        assert 1.5 <= np.linalg.norm(centre) <= 2.2
        local = corners @ matrix[:, :3].T + matrix[:, 3]
        assert (local[:, 2] < 0).all(), "the camera looks along -z"
        focal = 96 * 35 / 32
        u, v = focal * local[:, :2].T / -local[:, 2] * np.array([[1], [-1]]) + 48
        seen = rgba(tmp_path / "out" / f"{k:03d}.png")[..., 3] > 127
        rows, columns = np.nonzero(seen.any(1))[0], np.nonzero(seen.any(0))[0]
        found = [columns.min(), columns.max() + 1, rows.min(), rows.max() + 1]
        assert np.allclose(found, np.clip([u.min(), u.max(), v.min(), v.max()], 0, 96), atol=1.5)


def test_six_views_have_the_rig_s_cameras_depth_and_normals(tmp_path: Path) -> None:
    ball = trimesh.creation.icosphere(subdivisions=4, radius=7)
    ball.export(tmp_path / "ball.ply")
    recipe = Recipe("zero123plus", 64, rig="zero123plus-v1.2", seed=1)
    render(Entry(tmp_path / "ball.ply", "ball.ply"), tmp_path / "out", recipe)
    facts = json.loads((tmp_path / "out" / "cameras.json").read_text())
    cameras = rig("zero123plus-v1.2").cameras(64)
    for fact, camera in zip(facts["views"], cameras, strict=True):
        assert np.allclose(fact["transform_matrix"], camera.world_from_camera)
    # A sphere of radius r at distance d: nearest point d - r, horizon d - r^2 / d.
    radius = OBJECT_RADIUS["zero123plus-v1.2"]
    assert radius == pytest.approx(1.0718, abs=1e-4)
    assert facts["views"][0]["near"] == pytest.approx(4 - radius, abs=0.01)
    assert facts["views"][0]["far"] == pytest.approx(4 - radius**2 / 4, abs=0.05)
    depth = rgba(tmp_path / "out" / "001_depth.png") / 65535
    seen = rgba(tmp_path / "out" / "001.png")[..., 3] > 0
    assert depth[32, 32] < 0.01 and depth[seen].max() == 1 and (depth[~seen] == 0).all()
    # Linear z-depth, not the length of the ray: a column through the middle has a closed form.
    u = np.arange(64) + 0.5 - 32
    rays = np.hypot(u[4:60] / cameras[0].fy, 0)
    b = 4 / (1 + rays**2)
    z = b - np.sqrt(b**2 - (16 - radius**2) / (1 + rays**2))
    near, far = facts["views"][0]["near"], facts["views"][0]["far"]
    assert np.allclose(depth[4:60, 32] * (far - near) + near, z, atol=0.03)
    normal = rgba(tmp_path / "out" / "001_normal.png") / 255 * 2 - 1
    assert np.allclose(normal[32, 32], [0, 0, 1], atol=0.1)
    assert normal[32, 56, 0] > 0.5 and normal[8, 32, 1] > 0.5
    assert np.allclose(normal[0, 0], -1 / 255, atol=1e-6)


def test_azimuths_count_from_the_condition(tmp_path: Path) -> None:
    """A render is an example whose truth another render of the same mesh agrees with."""
    entry = brick(tmp_path)
    (tmp_path / "set").mkdir()
    recipe = Recipe("zero123plus", 48, seed=2)
    render(entry, tmp_path / "set" / "brick", recipe)
    (source,) = find_examples(tmp_path / "set")
    example = source.open()
    truth = example.truth(rig("zero123plus-v1.1").cameras(48))
    facts = json.loads((tmp_path / "set" / "brick" / "cameras.json").read_text())
    from img2mesh.training.prepare import read_surface

    subject = turned(read_surface(entry), facts["input_azimuth_deg"])
    light = environment_light(np.eye(9, 3))
    for view, camera in zip(truth.views, rig("zero123plus-v1.1").cameras(48), strict=True):
        shot = photograph(subject, closer(camera, facts["object_radius"]), light)
        assert np.abs(shot.alpha - view.alpha).max() < 0.01
    with pytest.raises(InputError, match=r"rendered for zero123plus-v1\.1"):
        example.truth(rig("zero123plus-v1.2").cameras(48))


def test_a_white_ball_in_an_even_world_is_evenly_white() -> None:
    from img2mesh.io.read_mesh import Paint, Surface

    ball = trimesh.creation.icosphere(subdivisions=3)
    n = len(ball.vertices)
    surface = Surface(
        np.asarray(ball.vertices), np.asarray(ball.faces, np.int32), np.zeros((n, 2), np.float32),
        np.ones((n, 3), np.float32), np.zeros(len(ball.faces), np.int32),
        (Paint(np.ones(3, np.float32)),),
    )  # fmt: skip
    even = np.zeros((9, 3))
    even[0] = 0.5 / 0.282095
    camera = rig("zero123plus-v1.1").cameras(32)[0]
    shot = photograph(turned(surface, 0.0), camera, environment_light(even))
    inside = shot.alpha == 1
    assert np.allclose(shot.rgb[inside], 0.7354, atol=1e-3)  # half the light, sRGB-encoded
    # Turning the world is turning the object the other way.
    probe = procedural_probe(np.random.default_rng(0))
    first = photograph(turned(surface, 0.0), camera, environment_light(probe, turn_deg=90))
    other = (
        rig("zero123plus-v1.1")
        .cameras(32)[0]
        .orbit(
            30 - 90, 30, distance=2.490082685595289, fov_deg=49.13434264120263, width=32, height=32
        )
    )
    second = photograph(turned(surface, 0.0), other, environment_light(probe))
    assert np.abs(first.rgb[inside] - second.rgb[inside]).max() < 0.02


def test_one_bad_mesh_is_named_and_a_second_run_draws_what_is_missing(tmp_path: Path) -> None:
    meshes = write_meshes(tmp_path / "meshes")
    (meshes / "brick.glb").write_bytes(b"not a mesh")
    out, recipe = tmp_path / "set", Recipe("zero123", 32, views=2, samples=1)
    assert render_meshes([meshes], out, recipe, jobs=1) == {"drawn": 3, "there": 0, "failed": 1}
    rows = {r["name"]: r for r in csv.DictReader((out / "manifest.csv").open())}
    assert rows["brick"]["status"] == "failed" and "cannot be read" in rows["brick"]["reason"]
    assert (rows["ball"]["status"], rows["ball"]["licence"]) == ("done", "CC0-1.0")
    assert json.loads((out / "valid_paths.json").read_text()) == ["ball", "post", "slab"]
    before = rgba(out / "ball" / "001.png")
    times = {f: f.stat().st_mtime_ns for f in out.glob("p*/*.png")}
    for file in (out / "ball").iterdir():
        file.unlink()
    (out / "ball").rmdir()
    assert render_meshes([meshes], out, recipe, jobs=1) == {"drawn": 1, "there": 2, "failed": 1}
    assert np.array_equal(rgba(out / "ball" / "001.png"), before)
    assert {f: f.stat().st_mtime_ns for f in out.glob("p*/*.png")} == times
    with pytest.raises(InputError, match="data set with size 32"):
        render_meshes([meshes], out, Recipe("zero123", 64, views=2, samples=1))
    with pytest.raises(InputError, match="unknown layout"):
        Recipe("nerf", 64)


def test_shards_hold_what_the_folders_held_and_a_second_run_goes_on(tmp_path: Path) -> None:
    import tarfile

    from img2mesh.training.diffusion.sheets import SheetData, depth_sheet, opened, sheet

    meshes = write_meshes(tmp_path / "meshes", held_out=("slab",))
    recipe = Recipe("zero123plus", 16, samples=1)
    plain, out = tmp_path / "plain", tmp_path / "set"
    for entry in read_catalog(meshes):
        render(entry, plain / entry.name, recipe)
    # Killed between packing and deleting, and before packing: both are made good.
    out.mkdir()
    shutil.copytree(plain / "ball", out / "ball")
    pack(out, "train", {"ball": "CC0-1.0"})
    shutil.copytree(plain / "brick", out / "brick")
    (out / "train-000001.tar").write_bytes(b"torn: without an index it does not count")
    found = render_meshes([meshes], out, recipe, jobs=1, shards=2)
    assert found == {"drawn": 2, "there": 2, "failed": 0}
    assert not [f for f in out.iterdir() if f.is_dir() and f.name != "logs"]
    rows = {r["name"]: r for r in csv.DictReader((out / "manifest.csv").open())}
    assert {r["status"] for r in rows.values()} == {"done"}
    assert render_meshes([meshes], out, recipe, jobs=1, shards=2)["there"] == 4
    with pytest.raises(InputError, match="give --shards again"):
        render_meshes([meshes], out, recipe, jobs=1)
    data = SheetData.open(out)
    training = sorted(name for name, r in rows.items() if r["split"] == "train")
    assert sorted(f.name for f in data.folders) == training == ["ball", "brick", "post"]
    assert [f.name for f in SheetData.open(out, split="val").folders] == ["slab"]
    assert set(data.licences) == {rows[name]["licence"] for name in training}
    for packed in data.folders:
        folder = plain / packed.name
        assert sorted(f.name for f in packed.iterdir()) == sorted(f.name for f in folder.iterdir())
        assert np.array_equal(sheet(packed, "", 16), sheet(folder, "", 16))
        assert np.array_equal(depth_sheet(packed, 16), depth_sheet(folder, 16))
        assert np.array_equal(opened(packed / "000.png"), opened(folder / "000.png"))
    # As webdataset reads it: a plain tar whose members share their key up to the first dot.
    with tarfile.open(out / "train-000000.tar") as tar:
        names = tar.getnames()
    assert {n.partition(".")[0] for n in names} == {"ball"} and "ball.cameras.json" in names
