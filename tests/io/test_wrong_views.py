"""Views that cannot be right, given to `reconstruct`: one sentence, exit 2, nothing left behind."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from img2mesh import cli
from img2mesh.artifacts import ViewSet
from img2mesh.core.cameras import Camera
from img2mesh.core.rigs import rig
from img2mesh.errors import InputError
from img2mesh.geometry.raycast import Scene
from img2mesh.imaging.sheet import tile

SIZE = 96
V12, V11 = "zero123plus-v1.2", "zero123plus-v1.1"
Change = Callable[[dict[str, Any]], None]


def lopsided() -> tuple[np.ndarray, np.ndarray]:
    """Three boxes without any symmetry, vertices and faces."""
    boxes = [
        ((-0.6, -0.5, -0.35), (0.5, -0.1, 0.4)),
        ((-0.6, -0.1, -0.3), (-0.2, 0.6, 0.1)),
        ((0.2, -0.1, 0.0), (0.45, 0.2, 0.7)),
    ]
    quads = [[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4], [1, 5, 7, 3]]
    one = np.array([t for a, b, c, d in quads for t in ([a, b, c], [a, c, d])])
    corners = [
        [[x, y, z] for x in (low[0], top[0]) for y in (low[1], top[1]) for z in (low[2], top[2])]
        for low, top in boxes
    ]
    return np.concatenate(corners), np.concatenate([one + 8 * k for k in range(len(boxes))])


def draw(scene: Scene, camera: Camera) -> np.ndarray:
    """RGBA (h, w, 4) uint8, coloured by the normal."""
    hits = scene.look(camera)
    rgba = np.zeros((camera.height, camera.width, 4), np.uint8)
    rgba[..., :3] = np.where(hits.mask[..., None], 110 + 90 * hits.normal, 0).astype(np.uint8)
    rgba[..., 3] = 255 * hits.mask
    return rgba


@pytest.fixture(scope="module")
def pictures() -> dict[str, list[np.ndarray]]:
    scene = Scene(*lopsided())
    return {name: [draw(scene, c) for c in rig(name).cameras(SIZE)] for name in (V11, V12)}


def on(colour: int, rgba: np.ndarray) -> np.ndarray:
    return np.where(rgba[..., 3:] > 0, rgba[..., :3], colour).astype(np.uint8)


def sheet(path: Path, tiles: list[np.ndarray]) -> Path:
    Image.fromarray(tile(np.stack(tiles))).save(path)
    return path


@pytest.fixture
def refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run the command, hold it to the contract for bad input, and return its one sentence."""

    def call(source: Path, *flags: str) -> str:
        out = tmp_path / "out"
        places = ["--cache-dir", str(tmp_path / "cache"), "-o", str(out)]
        with pytest.raises(SystemExit) as ended:
            cli.main(["reconstruct", str(source), *flags, *places])
        said = capsys.readouterr()
        assert ended.value.code == 2, said.err
        lines = said.err.strip().splitlines()
        assert len(lines) == 1 and lines[0].startswith("img2mesh: "), said.err
        assert said.out == "" and not out.exists()
        assert len(lines[0]) > 60, "says what came, what was expected and what to do"
        return lines[0]

    return call


# ------------------------------------------------------------------------------------------ sheets


@pytest.mark.parametrize(
    ("size", "says"),
    [
        ((600, 960), "resize or crop"),
        ((960, 640), "put its views into 3 rows of 2"),
        ((1600, 320), "5 views"),
        ((640, 640), "img2mesh run"),
    ],
)
def test_sheet_of_the_wrong_size(
    size: tuple[int, int], says: str, tmp_path: Path, refused: Callable[..., str]
) -> None:
    Image.new("RGB", size, (127, 127, 127)).save(tmp_path / "s.png")
    sentence = refused(tmp_path / "s.png", "--rig", V12)
    assert says in sentence and "640x960" in sentence and f"{size[0]}x{size[1]}" in sentence


def test_sheet_with_five_views(
    tmp_path: Path, pictures: dict[str, list[np.ndarray]], refused: Callable[..., str]
) -> None:
    for name, colour in (("grey", 127), ("white", 255)):
        blank = np.full((SIZE, SIZE, 3), colour, np.uint8)
        five = [on(colour, p) for p in pictures[V12][:5]] + [blank]
        sentence = refused(sheet(tmp_path / f"{name}.png", five), "--rig", V12)
        assert "view 6 shows no object" in sentence


def test_sheet_without_a_rig_or_with_an_unknown_one(
    tmp_path: Path, pictures: dict[str, list[np.ndarray]], refused: Callable[..., str]
) -> None:
    path = sheet(tmp_path / "s.png", pictures[V12])
    assert V11 in refused(path) and "--rig" in refused(path)
    assert V12 in refused(path, "--rig", "zero123plus")


def test_white_background_without_alpha_is_cut_off(
    tmp_path: Path, pictures: dict[str, list[np.ndarray]]
) -> None:
    views = ViewSet.open(sheet(tmp_path / "s.png", [on(255, p) for p in pictures[V11]]), rig=V11)
    truth = np.stack([p[..., 3] for p in pictures[V11]]) / 255
    assert np.abs(views.alpha - truth).mean() < 2e-3 and views.provenance.notes == ()


ORDERS = {
    "column by column": (0, 3, 1, 4, 2, 5),
    "backwards": (5, 4, 3, 2, 1, 0),
    "from right to left": (1, 0, 3, 2, 5, 4),
    "from the bottom up": (4, 5, 2, 3, 0, 1),
    "view 1, view 2, view 3, view 5, view 4, view 6": (0, 1, 2, 4, 3, 5),
}


@pytest.mark.parametrize("says", ORDERS)
def test_wrong_order_is_noticed_and_the_right_one_named(
    says: str,
    tmp_path: Path,
    pictures: dict[str, list[np.ndarray]],
    refused: Callable[..., str],
) -> None:
    mixed = sheet(tmp_path / "s.png", [on(127, pictures[V12][i]) for i in ORDERS[says]])
    sentence = refused(mixed, "--rig", V12)
    assert says in sentence and "30, 90, 150" in sentence


def test_the_other_rig_is_named_when_it_fits_better(
    tmp_path: Path, pictures: dict[str, list[np.ndarray]]
) -> None:
    path = sheet(tmp_path / "s.png", pictures[V11])
    (note,) = ViewSet.open(path, rig=V12).provenance.notes
    assert f"--rig {V11}" in note
    assert ViewSet.open(path, rig=V11).provenance.notes == ()


def test_warped_views_are_in_order(tmp_path: Path, pictures: dict[str, list[np.ndarray]]) -> None:
    """A generator's views disagree by a pixel or two: neither refused nor noted."""
    rng = np.random.default_rng(3)
    shifted = [np.roll(p, rng.integers(-1, 2, 2), (0, 1)) for p in pictures[V12]]
    assert ViewSet.open(sheet(tmp_path / "s.png", shifted), rig=V12).provenance.notes == ()


# ----------------------------------------------------------------------------------------- folders


def folder(home: Path, pictures: list[np.ndarray], change: Change = lambda content: None) -> Path:
    """A nerfstudio folder, its ``transforms.json`` changed before it is written."""
    (home / "images").mkdir(parents=True)
    frames = []
    for k, (picture, camera) in enumerate(zip(pictures, rig(V12).cameras(SIZE), strict=True)):
        Image.fromarray(picture).save(home / "images" / f"{k}.png")
        frames.append(
            {
                "file_path": f"images/{k}.png",
                "transform_matrix": camera.world_from_camera.tolist(),
            }
        )
    content: dict[str, Any] = {"camera_angle_x": float(np.deg2rad(30)), "frames": frames}
    change(content)
    (home / "transforms.json").write_text(json.dumps(content))
    return home


def frame(**changes: Any) -> Change:
    def change(content: dict[str, Any]) -> None:
        content["frames"][2].update(changes)

    return change


def matrix(edit: Callable[[np.ndarray], object]) -> Change:
    def change(content: dict[str, Any]) -> None:
        stored = np.array(content["frames"][2]["transform_matrix"])
        edit(stored)
        content["frames"][2]["transform_matrix"] = stored.tolist()

    return change


def no_matrix(content: dict[str, Any]) -> None:
    del content["frames"][2]["transform_matrix"]


def no_focal(content: dict[str, Any]) -> None:
    del content["camera_angle_x"]


def swapped(content: dict[str, Any]) -> None:
    a, b = content["frames"][1], content["frames"][2]
    a["file_path"], b["file_path"] = b["file_path"], a["file_path"]


def opencv_axes(content: dict[str, Any]) -> None:
    for one in content["frames"]:
        one["transform_matrix"] = (
            np.array(one["transform_matrix"]) @ np.diag([1, -1, -1, 1])
        ).tolist()


def inverse(content: dict[str, Any]) -> None:
    for one in content["frames"]:
        one["transform_matrix"] = np.linalg.inv(one["transform_matrix"]).tolist()


FOLDERS: dict[str, tuple[Change, str]] = {
    "matrix missing": (no_matrix, "no transform_matrix"),
    "matrix not numbers": (frame(transform_matrix="turned"), "4x4 matrix of numbers"),
    "matrix ragged": (frame(transform_matrix=[[1, 2], [3]]), "4x4 matrix of numbers"),
    "matrix 3x3": (frame(transform_matrix=np.eye(3).tolist()), "must be 4x4"),
    "NaN in matrix": (matrix(lambda m: m.__setitem__((0, 3), np.nan)), "NaN"),
    "scaled matrix": (matrix(lambda m: m.__imul__(1.5)), "rigid"),
    "mirrored matrix": (matrix(lambda m: m.__setitem__((..., 0), -m[:, 0])), "rigid"),
    "world to camera": (inverse, "camera-to-world"),
    "OpenCV axes": (opencv_axes, "looking along -z"),
    "two pictures swapped": (swapped, "in the order 0.png, 1.png, 2.png"),
    "picture missing": (frame(file_path="images/9.png"), "9.png, which is not there"),
    "no picture named": (frame(file_path=None), "names no picture"),
    "mask missing": (frame(mask_path="m.png"), "m.png cannot be read"),
    "depth missing": (frame(depth_file_path="d.png"), "d.png cannot be read"),
    "no focal length": (no_focal, "fl_x"),
    "focal length a word": (lambda c: c.update(fl_x="long"), "must be a number"),
    "focal length NaN": (lambda c: c.update(fl_x=float("nan")), "finite"),
    "distorted lens": (lambda c: c.update(k1=0.2), "undistort"),
    "fisheye": (lambda c: c.update(camera_model="OPENCV_FISHEYE"), "undistort"),
    "other picture shape": (lambda c: c.update(w=300, h=200), "300x200"),
    "no frames": (lambda c: c.update(frames=[]), "at least 3"),
    "two frames": (lambda c: c.update(frames=c["frames"][:2]), "at least 3"),
    "frames are names": (lambda c: c.update(frames=["a", "b", "c"]), "must be an object"),
    "not a camera file": (lambda c: c.clear(), "at least 3 views"),
}


@pytest.mark.parametrize("case", FOLDERS)
def test_folder_that_cannot_be_right(
    case: str, tmp_path: Path, pictures: dict[str, list[np.ndarray]], refused: Callable[..., str]
) -> None:
    change, says = FOLDERS[case]
    assert says in refused(folder(tmp_path / "f", pictures[V12], change))


def test_pictures_that_do_not_fit(
    tmp_path: Path, pictures: dict[str, list[np.ndarray]], refused: Callable[..., str]
) -> None:
    home = folder(tmp_path / "f", pictures[V12])
    good = home / "images" / "3.png"
    kept = shutil.copy(good, tmp_path / "kept.png")
    Image.open(kept).resize((48, 48)).save(good)
    assert "3.png has 48x48 pixels but" in refused(home)
    Image.new("RGBA", (SIZE, SIZE)).save(good)
    assert "3.png shows no object" in refused(home)
    good.write_bytes(Path(kept).read_bytes()[:300])
    assert "3.png' is damaged" in refused(home)
    good.unlink()
    assert "3.png, which is not there" in refused(home)


def test_group_that_does_not_exist(
    tmp_path: Path, pictures: dict[str, list[np.ndarray]], refused: Callable[..., str]
) -> None:
    home = folder(tmp_path / "f", pictures[V12])
    assert "--group" in refused(home, "--group", "views_v12")
    content = json.loads((home / "transforms.json").read_text())
    (home / "transforms.json").unlink()
    (home / "cameras.json").write_text(
        json.dumps({"camera_angle_x": content["camera_angle_x"], "ring": content["frames"]})
    )
    assert "it has: ring" in refused(home, "--group", "views_v12")


def test_five_views_in_a_folder_are_enough(
    tmp_path: Path, pictures: dict[str, list[np.ndarray]]
) -> None:
    home = folder(tmp_path / "f", pictures[V12], lambda c: c["frames"].pop())
    assert len(ViewSet.open(home)) == 5


def test_byte_order_mark_is_no_reason_to_refuse(
    tmp_path: Path, pictures: dict[str, list[np.ndarray]]
) -> None:
    home = folder(tmp_path / "f", pictures[V12])
    file = home / "transforms.json"
    file.write_text("\ufeff" + file.read_text(), "utf-8")
    assert len(ViewSet.open(home)) == 6


def test_outlines_no_order_explains_are_doubted(
    tmp_path: Path, pictures: dict[str, list[np.ndarray]]
) -> None:
    turned = [p if k % 2 else p[::-1] for k, p in enumerate(pictures[V12])]
    try:
        notes = ViewSet.open(folder(tmp_path / "f", turned)).provenance.notes
    except InputError as error:
        notes = (str(error),)
    assert "outlines" in notes[0]
