"""Camera folders as tools write them are read as they are: cases 30, 31, 33 and their kind."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from img2mesh.artifacts import ViewSet
from img2mesh.errors import InputError
from img2mesh.io.masks import TURNED_OVER
from img2mesh.io.views import digest_of, longest_side
from tests import captures

LENS = {"k1": -0.6, "k2": 0.3, "p1": -0.01, "p2": 0.006}


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> ViewSet:
    return ViewSet.open(captures.nerfstudio(tmp_path_factory.mktemp("plain")))


@pytest.mark.parametrize("terms", [LENS, {"k1": 0.5}, {"k1": -0.02, "p2": 0.02}])
def test_a_bent_lens_is_undone(tmp_path: Path, plain: ViewSet, terms: dict[str, float]) -> None:
    drawn = captures.pixels(terms)
    stored = [np.nan_to_num(d["depth"] * 1000).astype(np.uint16) for d in drawn]
    views = ViewSet.open(captures.nerfstudio(tmp_path, drawn, depth=stored, **terms))
    captures.same_views(views, plain, least=0.96)
    assert any("distortion" in note for note in views.provenance.notes)
    truth = np.stack([d["depth"] for d in captures.pixels()])
    assert np.nanmedian(np.abs(views.depth - truth)) < 0.01


def test_instant_ngp_with_angles_and_windows_paths(tmp_path: Path, plain: ViewSet) -> None:
    captures.nerfstudio(tmp_path)
    file = tmp_path / "transforms.json"
    content = json.loads(file.read_text())
    angle = 2 * np.arctan(0.5 * captures.SIZE / content["fl_x"])
    for name in ("fl_x", "fl_y", "cx", "cy"):
        del content[name]
    content |= {"camera_angle_x": angle, "aabb_scale": 4, "k1": 0.0, "is_fisheye": False}
    for frame in content["frames"]:
        frame["file_path"] = ".\\" + frame["file_path"].replace("/", "\\")
        frame["sharpness"] = 12.5
    file.write_text(json.dumps(content))
    captures.same_views(ViewSet.open(tmp_path), plain)


def test_blenders_folder_has_a_train_file(tmp_path: Path, plain: ViewSet) -> None:
    captures.nerfstudio(tmp_path)
    content = json.loads((tmp_path / "transforms.json").read_text())
    shutil.move(tmp_path / "images", tmp_path / "train")
    for frame in content["frames"]:
        frame["file_path"] = "./train/" + Path(frame["file_path"]).stem
    for name in ("train", "test", "val"):
        (tmp_path / f"transforms_{name}.json").write_text(json.dumps(content))
    (tmp_path / "transforms.json").unlink()
    captures.same_views(ViewSet.open(tmp_path), plain)


@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.parametrize("terms", [None, LENS])
def test_colmap(
    tmp_path: Path, plain: ViewSet, binary: bool, terms: dict[str, float] | None
) -> None:
    folder = captures.colmap(tmp_path / "c", binary=binary, terms=terms)
    captures.same_views(ViewSet.open(folder), plain, least=0.96 if terms else 1.0)
    first = digest_of(folder)
    suffix = "bin" if binary else "txt"
    file = folder / "sparse" / "0" / f"cameras.{suffix}"
    file.write_bytes(file.read_bytes() + b"\n")
    assert digest_of(folder) != first


@pytest.mark.parametrize("name", ["{stem}.jpg.png", "{stem}.png"])
def test_colmaps_masks(tmp_path: Path, plain: ViewSet, name: str) -> None:
    folder = captures.colmap(tmp_path, binary=False)
    (folder / "masks").mkdir()
    for file in sorted((folder / "images").iterdir()):
        rgba = np.array(Image.open(file))
        rgba[rgba[..., 3] == 0, :3] = np.random.default_rng(0).integers(0, 255, 3)
        Image.fromarray(rgba[..., :3]).save(file.with_suffix(".jpg"), quality=95)
        mask = folder / "masks" / name.format(stem=file.stem)
        Image.fromarray(rgba[..., 3]).save(mask)
        file.unlink()
    images = folder / "sparse" / "0" / "images.txt"
    images.write_text(images.read_text().replace(".png", ".jpg"))
    captures.same_views(ViewSet.open(folder), plain)


MOVED = {
    "another machine's": "/elsewhere/data/{0}",
    "Windows's": "C:\\data\\images\\{1}",
    "other letters": "Images/{2}",
    "no suffix": "images/{3}",
    "its name alone": "{1}",
}


@pytest.mark.parametrize("how", MOVED)
def test_pictures_of_a_capture_that_was_moved(tmp_path: Path, plain: ViewSet, how: str) -> None:
    captures.nerfstudio(tmp_path)
    content = json.loads((tmp_path / "transforms.json").read_text())
    if how == "its name alone":
        for file in (tmp_path / "images").iterdir():
            file.rename(tmp_path / file.name)
    else:
        for file in (tmp_path / "images").iterdir():
            file.rename(file.with_suffix(".PNG"))
    for frame in content["frames"]:
        path = Path(frame["file_path"])
        frame["file_path"] = MOVED[how].format(path, path.name, path.name.upper(), path.stem)
    (tmp_path / "transforms.json").write_text(json.dumps(content))
    captures.same_views(ViewSet.open(tmp_path), plain)


@pytest.mark.parametrize("how", ["sixteen numbers in a row", "twelve", "a scaled camera"])
def test_matrices_as_tools_write_them(tmp_path: Path, plain: ViewSet, how: str) -> None:
    captures.nerfstudio(tmp_path)
    content = json.loads((tmp_path / "transforms.json").read_text())
    for frame in content["frames"]:
        matrix = np.array(frame["transform_matrix"])
        if how == "a scaled camera":
            matrix[:3, :3] *= 0.4
        else:
            matrix = matrix[: 3 if how == "twelve" else 4].reshape(-1)
        frame["transform_matrix"] = matrix.tolist()
    (tmp_path / "transforms.json").write_text(json.dumps(content))
    captures.same_views(ViewSet.open(tmp_path), plain)


@pytest.mark.parametrize(
    "more", [{"k5": 0.1}, {"camera_model": "FULL_OPENCV", "k4": 0.1}, {"b1": 2.0, "b2": 0.5}]
)
def test_a_richer_lens_is_never_ignored(tmp_path: Path, more: dict[str, object]) -> None:
    with pytest.raises(InputError, match=r"lens terms .* are not supported: undistort"):
        ViewSet.open(captures.nerfstudio(tmp_path, **more))


@pytest.mark.parametrize("named", ["", "keyframes"])
def test_polycams_keyframes(tmp_path: Path, plain: ViewSet, named: str) -> None:
    drawn, home = captures.pixels(), tmp_path / "keyframes"
    for place in ("corrected_cameras", "depth"):
        (home / place).mkdir(parents=True)
    names = captures.write_pictures(home, drawn, "corrected_images")
    for name, one, camera in zip(names, drawn, captures.cameras(), strict=True):
        numbers = {"fx": camera.fx, "fy": camera.fy, "cx": camera.cx, "cy": camera.cy}
        pose = camera.world_from_camera[:3]
        turn = {f"t_{i}{j}": pose[i, j] for i in range(3) for j in range(4)}
        content = {**numbers, **turn, "width": camera.width, "height": camera.height}
        (home / "corrected_cameras" / name.replace(".png", ".json")).write_text(json.dumps(content))
        depth = np.nan_to_num(one["depth"][::2, ::2] * 1000).astype(np.uint16)
        Image.fromarray(depth).save(home / "depth" / name)
    views = ViewSet.open(tmp_path / named)
    captures.same_views(views, plain)
    assert views.depth is not None, "of half the size"
    truth = np.stack([d["depth"] for d in drawn])
    assert np.nanmedian(np.abs(views.depth - truth)) < 0.02
    assert digest_of(tmp_path) == digest_of(home)
    (home / "corrected_cameras" / names[0].replace(".png", ".json")).write_text("{}")
    with pytest.raises(InputError, match="no camera of Polycam, or damaged"):
        digest_of(tmp_path)


@pytest.mark.parametrize("place", ["dense", "dense/0", "undistorted"])
def test_colmaps_workspaces(tmp_path: Path, plain: ViewSet, place: str) -> None:
    folder = captures.colmap(tmp_path / place, binary=True)
    for file in (folder / "sparse" / "0").iterdir():
        file.rename(folder / "sparse" / file.name)
    captures.same_views(ViewSet.open(tmp_path), plain)


def test_colmaps_missing_picture_is_asked_for_where_it_belongs(tmp_path: Path) -> None:
    folder = captures.colmap(tmp_path, binary=False)
    next((folder / "images").iterdir()).unlink()
    with pytest.raises(InputError, match=r"put it at .*/images/frame_\d+\.png"):
        ViewSet.open(folder)


@pytest.mark.parametrize("how", ["inverted", "half the size", "another shape"])
def test_masks_of_views(tmp_path: Path, plain: ViewSet, how: str) -> None:
    captures.nerfstudio(tmp_path)
    content = json.loads((tmp_path / "transforms.json").read_text())
    (tmp_path / "masks").mkdir()
    for frame in content["frames"]:
        picture = Image.open(tmp_path / frame["file_path"])
        mask = picture.getchannel("A")
        if how == "inverted":
            mask = mask.point(lambda value: 255 - value)
        else:
            mask = mask.resize((32, 32 if how == "half the size" else 20))
        picture.convert("RGB").save(tmp_path / frame["file_path"])
        frame["mask_path"] = f"masks/{Path(frame['file_path']).name}"
        mask.save(tmp_path / frame["mask_path"])
    (tmp_path / "transforms.json").write_text(json.dumps(content))
    if how == "another shape":
        with pytest.raises(InputError, match="expected the same picture, at any size"):
            ViewSet.open(tmp_path)
        return
    views = ViewSet.open(tmp_path)
    captures.same_views(views, plain, least=1.0 if how == "inverted" else 0.85)
    assert (TURNED_OVER in views.provenance.notes) == (how == "inverted")


@pytest.mark.parametrize("damage", ["cut", "words", "fisheye"])
def test_a_damaged_reconstruction_is_one_sentence(tmp_path: Path, damage: str) -> None:
    folder = captures.colmap(tmp_path, binary=damage == "cut")
    home = folder / "sparse" / "0"
    if damage == "cut":
        (home / "images.bin").write_bytes((home / "images.bin").read_bytes()[:150])
    elif damage == "words":
        (home / "cameras.txt").write_text("7 PINHOLE wide high 1 2 3 4\n")
    else:
        (home / "cameras.txt").write_text("7 OPENCV_FISHEYE 64 64 1 1 1 1 0 0 0 0\n")
    with pytest.raises(InputError, match="colmap"):
        ViewSet.open(folder)


def test_many_and_large_views_are_chosen_and_reduced(tmp_path: Path) -> None:
    captures.nerfstudio(tmp_path)
    content = json.loads((tmp_path / "transforms.json").read_text())
    content["frames"] = [frame for frame in content["frames"] for _ in range(20)]
    (tmp_path / "transforms.json").write_text(json.dumps(content))
    views = ViewSet.open(tmp_path)
    assert len(views) == 100 and views.rgb.shape[1:3] == (64, 64)
    assert any("120 views are listed: 100" in note for note in views.provenance.notes)
    content["frames"] = content["frames"][::20]
    (tmp_path / "transforms.json").write_text(json.dumps(content))
    for file in (tmp_path / "images").iterdir():
        Image.open(file).resize((1280, 1280), Image.Resampling.NEAREST).save(file)
    views = ViewSet.open(tmp_path)
    assert views.rgb.shape[1:3] == (1024, 1024) and views.cameras[0].width == 1024
    assert any("reduced from 1280x1280" in note for note in views.provenance.notes)
    assert [longest_side(n) for n in (3, 24, 25, 48, 49, 100)] == [1024, 1024, 512, 512, 384, 384]


def test_a_turned_sheet_is_read_upright(tmp_path: Path) -> None:
    from img2mesh.imaging.sheet import tile

    sheet = Image.fromarray(tile(np.stack([d["rgba"] for d in captures.pixels()])))
    exif = Image.Exif()
    exif[0x0112] = 6
    upright, turned = tmp_path / "upright.png", tmp_path / "turned.png"
    sheet.save(upright)
    sheet.transpose(Image.Transpose.ROTATE_90).save(turned, exif=exif)
    one, other = (ViewSet.open(p, rig="zero123plus-v1.2") for p in (upright, turned))
    assert (one.rgb == other.rgb).all() and (one.alpha == other.alpha).all()
