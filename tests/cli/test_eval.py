"""`img2mesh eval` as a user calls it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from img2mesh.core.rigs import rig
from tests.conftest import Command
from tests.training.meshes import write_meshes


@pytest.fixture
def ball(tmp_path: Path) -> Path:
    import trimesh

    path = tmp_path / "ball.ply"
    trimesh.creation.icosphere(subdivisions=3, radius=0.5).export(path)
    return path


def test_mesh_against_itself_and_a_larger_one(ball: Path, tmp_path: Path, command: Command) -> None:
    import trimesh

    done = command("eval", "mesh", str(ball), str(ball), "--samples", "500", "--json")
    same = json.loads(done.stdout)
    assert done.returncode == 0 and done.stderr == ""
    assert same["surface"]["chamfer"] < 1e-5 and same["visible"]["f_1"] == 1
    larger = tmp_path / "larger.ply"
    trimesh.creation.icosphere(subdivisions=3, radius=0.55).export(larger)
    judged = ("eval", "mesh", str(larger), str(ball), "--samples", "500")
    found = json.loads(command(*judged, "--json").stdout)
    assert np.isclose(found["surface"]["chamfer"], 0.05, atol=0.005)
    out = command(*judged).stdout
    assert "chamfer_pct" in out and "% of the diagonal" in out and "watertight" in out


def disc_views(folder: Path, *, size: int = 48, count: int = 6) -> Path:
    """A folder of pictures of a black ball of radius .5, as the cameras of the rig see it."""
    folder.mkdir(exist_ok=True)
    v, u = np.mgrid[0:size, 0:size] + 0.5 - size / 2
    # Apparent radius of a sphere of .5 at distance 4, seen through 30 degrees.
    radius = size / 2 / np.tan(np.deg2rad(15)) * 0.5 / np.sqrt(16 - 0.25)
    disc = np.where(np.hypot(u, v) < radius, 255, 0).astype(np.uint8)
    frames = []
    for k, camera in enumerate(rig("zero123plus-v1.2").cameras(size)[:count]):
        picture = np.dstack([np.full((size, size, 3), 255, np.uint8), disc])
        Image.fromarray(picture).save(folder / f"{k}.png")
        pose = camera.world_from_camera.tolist()
        frames.append({"file_path": f"{k}.png", "transform_matrix": pose})
    content = {"camera_angle_x": float(np.deg2rad(30)), "frames": frames}
    (folder / "transforms.json").write_text(json.dumps(content))
    return folder


def test_views_of_a_mesh_and_of_pictures(ball: Path, tmp_path: Path, command: Command) -> None:
    folder = str(disc_views(tmp_path / "views"))
    done = command("eval", "views", str(ball), folder, "--json")
    found = json.loads(done.stdout)
    assert done.returncode == 0 and done.stderr == "" and found["count"] == 6
    assert found["mask_iou"] > 0.95 and found["psnr"] > 30
    out = command("eval", "views", folder, folder).stdout
    assert ["psnr_object", "100.0000"] in [
        line.split()[:2] for line in out.splitlines()
    ] and "6 views on a white background" in out


@pytest.mark.parametrize(
    ("size", "count", "says"),
    [(32, 6, "6 pictures of 32x32 pixels, the reference 6 of 48x48"), (48, 4, "4 pictures of")],
)
def test_pictures_that_do_not_pair_up(
    size: int, count: int, says: str, tmp_path: Path, command: Command
) -> None:
    reference = disc_views(tmp_path / "reference")
    other = disc_views(tmp_path / "other", size=size, count=count)
    done = command("eval", "views", str(other), str(reference))
    assert done.returncode == 2 and done.stdout == "" and says in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("mesh", "gone.glb", "BALL"), "gone.glb"),
        (("mesh", "BALL", "TEXT"), "cannot be read as a mesh"),
        (("mesh", "POINTS", "BALL"), "points.ply"),
        (("mesh", "BALL", "BALL", "--samples", "0"), "--samples"),
        (("views", "BALL", "nowhere"), "nowhere"),
        (("views", "BALL", "EMPTY"), "neither transforms.json"),
    ],
)
def test_wrong_files_get_one_sentence(
    arguments: tuple[str, ...], says: str, ball: Path, tmp_path: Path, command: Command
) -> None:
    (tmp_path / "text.glb").write_text("no mesh")
    (tmp_path / "empty").mkdir()
    (tmp_path / "points.ply").write_text(
        "ply\nformat ascii 1.0\nelement vertex 1\nproperty float x\nproperty float y\n"
        "property float z\nend_header\n0 0 0\n"
    )
    names = {
        "BALL": str(ball),
        "POINTS": str(tmp_path / "points.ply"),
        "TEXT": str(tmp_path / "text.glb"),
        "EMPTY": str(tmp_path / "empty"),
    }
    done = command("eval", *(names.get(a, a) for a in arguments))
    assert done.returncode == 2 and done.stdout == "" and says in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_suite_measures_and_refuses_before_it_works(tmp_path: Path, command: Command) -> None:
    meshes = write_meshes(tmp_path / "meshes", held_out=("slab", "brick"))
    call = ("eval", "suite", str(meshes), "-o", str(tmp_path / "out"), "--tile", "32")
    done = command(*call, "--limit", "1", "--generators", "geometric", "--json")
    found = json.loads(done.stdout)
    assert done.returncode == 0 and "1/1" in done.stderr
    assert 5 < found["generators"]["geometric"]["psnr"][0] < 60
    wrong = command(*call, "--generators", "geometric,nothing-like-it")
    assert wrong.returncode == 2 and "nothing-like-it" in wrong.stderr
