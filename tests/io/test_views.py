"""Posed views from files, on a turned box and a torus drawn here with known cameras."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from img2mesh.artifacts import ViewSet
from img2mesh.core.cameras import Camera
from img2mesh.core.rigs import rig
from img2mesh.errors import InputError
from img2mesh.geometry.raycast import Scene
from img2mesh.imaging.matting import matte
from img2mesh.imaging.sheet import tile, untile
from img2mesh.io.views import digest_of

SIZE = 96
DEPTH_SCALE = 10000


def _box() -> tuple[np.ndarray, np.ndarray]:
    """A 1.2 x 0.6 x 0.8 box turned about y and moved off the origin, vertices and faces."""
    corners = np.array([[x, y, z] for x in (-0.6, 0.6) for y in (-0.3, 0.3) for z in (-0.4, 0.4)])
    c, s = np.cos(0.5), np.sin(0.5)
    turned = corners @ np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]]).T + [0.05, 0.1, -0.05]
    quads = [[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4], [1, 5, 7, 3]]
    faces = np.array([t for a, b, c, d in quads for t in ([a, b, c], [a, c, d])])
    return turned, faces


def _draw(camera: Camera) -> dict[str, np.ndarray]:
    """RGBA, 16-bit depth and camera-space normal pictures of the box; colour = shaded red."""
    hits = Scene(*_box()).look(camera)
    local = hits.normal @ camera.world_from_camera[:3, :3]
    rgba = np.zeros((camera.height, camera.width, 4), np.uint8)
    rgba[hits.mask, 0] = (150 + 100 * local[..., 2].clip(0))[hits.mask].astype(np.uint8)
    rgba[hits.mask, 2] = 60
    rgba[hits.mask, 3] = 255
    depth = np.nan_to_num(hits.depth * DEPTH_SCALE).round().astype(np.uint16)
    normal = np.where(hits.mask[..., None], np.round((local * 0.5 + 0.5) * 255), 128)
    return {"rgba": rgba, "depth": depth, "normal": normal.astype(np.uint8), "local": hits.normal}


@pytest.fixture(scope="module")
def cameras() -> tuple[Camera, ...]:
    return rig("zero123plus-v1.2").cameras(SIZE)


@pytest.fixture(scope="module")
def drawings(cameras: tuple[Camera, ...]) -> list[dict[str, np.ndarray]]:
    return [_draw(c) for c in cameras]


def _over(rgba: np.ndarray, grey: int) -> np.ndarray:
    alpha = rgba[..., 3:] / 255
    return (rgba[..., :3] * alpha + grey * (1 - alpha) + 0.5).astype(np.uint8)


def _save_sheet(path: Path, pictures: list[np.ndarray]) -> Path:
    Image.fromarray(tile(np.stack(pictures))).save(path)
    return path


def _folder(
    folder: Path,
    cameras: tuple[Camera, ...],
    drawings: list[dict[str, np.ndarray]],
    **changes: Any,
) -> Path:
    """Write a cameras.json folder with two groups; ``changes`` overrides fields of record 2."""
    folder.mkdir(exist_ok=True)
    records = []
    for i, (camera, drawing) in enumerate(zip(cameras, drawings, strict=True)):
        Image.fromarray(drawing["rgba"]).save(folder / f"{i}.png")
        Image.fromarray(drawing["depth"]).save(folder / f"{i}_depth.png")
        Image.fromarray(drawing["normal"]).save(folder / f"{i}_normal.png")
        records.append(
            {
                "file": f"{i}.png",
                "fov": 30.0,
                "transform_matrix": camera.world_from_camera.tolist(),
                "depth_file": f"{i}_depth.png",
                "normal_file": f"{i}_normal.png",
            }
        )
    records[2].update(changes)
    content = {"depth_scale": DEPTH_SCALE, "input": records[:1], "ring": records}
    content["half"] = records[:3]
    (folder / "cameras.json").write_text(json.dumps(content))
    return folder


def _transforms(folder: Path, cameras: tuple[Camera, ...], **globals_: Any) -> Path:
    frames = [
        {"file_path": f"./{i}", "transform_matrix": c.world_from_camera.tolist()}
        for i, c in enumerate(cameras)
    ]
    (folder / "transforms.json").write_text(json.dumps({**globals_, "frames": frames}))
    return folder


# ------------------------------------------------------------------------------------------ sheets


def test_tiles_are_in_row_major_order() -> None:
    tiles = np.arange(6 * 4 * 4 * 3).reshape(6, 4, 4, 3)
    sheet = tile(tiles)
    assert sheet.shape == (12, 8, 3)
    assert (sheet[:4, 4:] == tiles[1]).all() and (sheet[4:8, :4] == tiles[2]).all()
    assert (untile(sheet) == tiles).all()


def test_rgba_sheet_keeps_alpha_and_takes_the_rigs_cameras(
    tmp_path: Path, cameras: tuple[Camera, ...], drawings: list[dict[str, np.ndarray]]
) -> None:
    path = _save_sheet(tmp_path / "sheet.png", [d["rgba"] for d in drawings])
    views = ViewSet.open(path, rig="zero123plus-v1.2")
    assert views.provenance.generator == "given" and views.provenance.exact
    for i, camera in enumerate(cameras):
        assert (views.alpha[i] == drawings[i]["rgba"][..., 3] / 255).all()
        assert np.allclose(views.cameras[i].world_from_camera, camera.world_from_camera)
    inside = views.alpha > 0
    truth = np.stack([d["rgba"][..., :3] for d in drawings]) / 255
    assert np.allclose(views.rgb[inside], truth[inside], atol=1e-6)
    # Outside, the colour is the object's, never the black under the transparent pixels.
    assert views.rgb[~inside][:, 0].min() > 0.5


@pytest.mark.parametrize("grey", [127, 255])
def test_opaque_sheet_is_cut_out_of_its_backdrop(
    tmp_path: Path, drawings: list[dict[str, np.ndarray]], grey: int
) -> None:
    path = _save_sheet(tmp_path / "sheet.png", [_over(d["rgba"], grey) for d in drawings])
    views = ViewSet.open(path, rig="zero123plus-v1.2")
    truth = np.stack([d["rgba"][..., 3] > 127 for d in drawings])
    assert ((views.alpha > 0.5) == truth).all()


def test_noisy_backdrop(tmp_path: Path, drawings: list[dict[str, np.ndarray]]) -> None:
    rng = np.random.default_rng(0)
    noisy = [
        np.clip(_over(d["rgba"], 127) + rng.normal(0, 2.5, (SIZE, SIZE, 3)), 0, 255)
        for d in drawings
    ]
    path = _save_sheet(tmp_path / "sheet.png", [n.astype(np.uint8) for n in noisy])
    views = ViewSet.open(path, rig="zero123plus-v1.2")
    truth = np.stack([d["rgba"][..., 3] > 127 for d in drawings])
    found = views.alpha > 0.5
    assert (found & truth).sum() / (found | truth).sum() > 0.99


def test_sheet_needs_a_rig_and_says_so(
    tmp_path: Path, drawings: list[dict[str, np.ndarray]]
) -> None:
    path = _save_sheet(tmp_path / "sheet.png", [d["rgba"] for d in drawings])
    with pytest.raises(InputError, match=r"--rig zero123plus-v1\.1"):
        ViewSet.open(path)
    with pytest.raises(InputError, match="unknown rig"):
        ViewSet.open(path, rig="zero123plus-v9")


@pytest.mark.parametrize("size", [(960, 640), (320, 320), (641, 960), (640, 958)])
def test_wrong_sheet_size_names_both(tmp_path: Path, size: tuple[int, int]) -> None:
    path = tmp_path / "odd.png"
    Image.new("RGB", size, (127, 127, 127)).save(path)
    with pytest.raises(InputError, match=rf"640x960.*{size[0]}x{size[1]}"):
        ViewSet.open(path, rig="zero123plus-v1.1")


def test_normal_sheet_beside_the_views(
    tmp_path: Path, drawings: list[dict[str, np.ndarray]]
) -> None:
    path = _save_sheet(tmp_path / "sheet.png", [d["rgba"] for d in drawings])
    extra = _save_sheet(tmp_path / "normals.png", [d["normal"] for d in drawings])
    views = ViewSet.open(path, rig="zero123plus-v1.2", normals=extra)
    truth = np.stack([d["local"] for d in drawings])
    assert views.normals is not None and np.abs(views.normals - truth).max() < 0.02


# ------------------------------------------------------------------------------------------ matting


def _disc(radius: float, centre: float = 32.0, size: int = 64) -> np.ndarray:
    """Exact-ish coverage of a disc by 8x8 supersampling, (size, size)."""
    p = (np.arange(size * 8) + 0.5) / 8
    inside = (p[:, None] - centre) ** 2 + (p[None] - centre) ** 2 < radius**2
    return inside.reshape(size, 8, size, 8).mean(axis=(1, 3))


def test_matting_recovers_soft_coverage_and_pure_colour() -> None:
    cover = _disc(20)[..., None]
    colour = np.array([0.9, 0.2, 0.1])
    picture = np.round((cover * colour + (1 - cover) * 127 / 255) * 255) / 255
    rgb, alpha = matte(picture.astype(np.float32))
    assert np.abs(alpha - cover[..., 0]).max() < 0.03
    assert np.abs(rgb - colour).max() < 0.01  # no grey fringe anywhere


def test_part_of_the_backdrops_colour_inside_the_object_stays() -> None:
    """A shaded patch that passes through the backdrop's grey is no hole."""
    cover = _disc(24)
    shade = np.linspace(0.2, 0.8, 64)[None].repeat(64, axis=0)
    picture = np.where(cover > 0.5, shade, 127 / 255)[..., None].repeat(3, axis=2)
    picture = np.round(picture * 255).astype(np.float32) / 255
    _, alpha = matte(picture)
    assert (alpha[_disc(22) == 1] == 1).all()


def test_hole_through_the_object_is_open() -> None:
    ring = _disc(24) * (1 - _disc(10))
    picture = ring[..., None] * [0.1, 0.3, 0.9] + (1 - ring[..., None]) * 127 / 255
    picture = np.round(picture * 255).astype(np.float32) / 255
    _, alpha = matte(picture)
    assert (alpha[_disc(9) == 1] == 0).all() and np.abs(alpha - ring).max() < 0.05


def test_small_highlight_on_white_backdrop_stays_but_a_large_hole_opens() -> None:
    ring = (_disc(24) - _disc(1.5))[..., None]
    picture = (ring * [0.1, 0.3, 0.9] + (1 - ring)).astype(np.float32)
    _, alpha = matte(picture)
    assert (alpha[_disc(20) == 1] == 1).all()
    ring = (_disc(24) - _disc(10))[..., None]
    _, alpha = matte((ring * [0.1, 0.3, 0.9] + (1 - ring)).astype(np.float32))
    assert (alpha[_disc(9) == 1] == 0).all()


def test_photo_background_is_refused() -> None:
    rng = np.random.default_rng(1)
    with pytest.raises(InputError, match="plain background"):
        matte(rng.random((64, 64, 3)).astype(np.float32))


# ------------------------------------------------------------------------------------------ folders


def test_cameras_json_reads_depth_and_normals_into_the_world(
    tmp_path: Path, cameras: tuple[Camera, ...], drawings: list[dict[str, np.ndarray]]
) -> None:
    views = ViewSet.open(_folder(tmp_path / "o", cameras, drawings), group="ring")
    assert views.depth is not None and views.normals is not None and views.photo is None
    vertices, faces = _box()
    scene = Scene(vertices, faces)
    for i, camera in enumerate(views.cameras):
        mask = views.alpha[i] > 0.5
        assert (np.isfinite(views.depth[i]) == mask).all()
        points = camera.origin + views.depth[i][..., None] * camera.directions()
        nearest, face = scene.closest(points[mask])
        assert np.linalg.norm(nearest - points[mask], axis=1).max() < 2e-4
        edges = vertices[faces[face]]
        truth = np.cross(edges[:, 1] - edges[:, 0], edges[:, 2] - edges[:, 0])
        truth /= np.linalg.norm(truth, axis=1, keepdims=True)
        agreement = (views.normals[i][mask] * truth).sum(axis=1)
        assert np.quantile(agreement, 0.02) > 0.999


def test_group_must_be_chosen_where_there_are_several(
    tmp_path: Path, cameras: tuple[Camera, ...], drawings: list[dict[str, np.ndarray]]
) -> None:
    folder = _folder(tmp_path / "o", cameras, drawings)
    with pytest.raises(InputError, match=r"ring\|half"):
        ViewSet.open(folder)
    with pytest.raises(InputError, match="no group 'rings'"):
        ViewSet.open(folder, group="rings")
    content = json.loads((folder / "cameras.json").read_text())
    del content["half"]
    (folder / "cameras.json").write_text(json.dumps(content))
    assert len(ViewSet.open(folder)) == 6


@pytest.mark.parametrize("w", [None, SIZE, 10 * SIZE])
def test_transforms_json_gives_the_same_views(
    tmp_path: Path,
    cameras: tuple[Camera, ...],
    drawings: list[dict[str, np.ndarray]],
    w: int | None,
) -> None:
    """camera_angle_x alone, or fl_x with the stated size, which may be another one."""
    folder = _folder(tmp_path / "o", cameras, drawings)
    expected = ViewSet.open(folder, group="ring")
    if w is None:
        _transforms(folder, cameras, camera_angle_x=np.deg2rad(30))
    else:
        focal = 0.5 * w / np.tan(np.deg2rad(15))
        _transforms(folder, cameras, fl_x=focal, w=w, h=w, cx=w / 2, cy=w / 2)
    views = ViewSet.open(folder)
    assert views.depth is None
    assert (views.rgb == expected.rgb).all() and (views.alpha == expected.alpha).all()
    for got, want in zip(views.cameras, expected.cameras, strict=True):
        assert np.isclose(got.fx, want.fx) and np.isclose(got.fy, want.fy) and got.cx == want.cx


def test_z_up_world_is_kept_and_noted(
    tmp_path: Path, cameras: tuple[Camera, ...], drawings: list[dict[str, np.ndarray]]
) -> None:
    folder = _folder(tmp_path / "o", cameras, drawings)
    z_up = np.array([[0, 0, 1, 0], [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1.0]])
    turned = tuple(c.moved(z_up) for c in cameras)
    views = ViewSet.open(_transforms(folder, turned, camera_angle_x=np.deg2rad(30)))
    assert np.allclose(views.cameras[1].world_from_camera, turned[1].world_from_camera)
    assert "+z" in views.provenance.notes[0]


def _matrix(change: str) -> list[list[float]]:
    good = rig("zero123plus-v1.2").cameras(SIZE)[2].world_from_camera.copy()
    if change == "mirrored":
        good[:3, 0] *= -1
    elif change == "stretched":
        good[:3, 0] *= 1.5
    elif change == "opencv":
        good[:3, 1:3] *= -1
    elif change == "nan":
        good[0, 3] = np.nan
    return good.tolist()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"file": "gone.png"}, "gone.png"),
        ({"file": None}, "names no picture"),
        ({"fov": None}, "no focal length"),
        ({"fov": "wide"}, "fov in the camera file must be a number"),
        ({"fov": 190.0}, "field of view"),
        ({"k1": -5.0}, "undistort"),
        ({"w": 200, "h": 100}, "200x100"),
        ({"transform_matrix": None}, "no transform_matrix"),
        ({"transform_matrix": [[1, 2], [3, 4]]}, "4x4"),
        ({"transform_matrix": _matrix("mirrored")}, "rigid"),
        ({"transform_matrix": _matrix("stretched")}, "rigid"),
        ({"transform_matrix": _matrix("nan")}, "NaN"),
        ({"transform_matrix": _matrix("opencv")}, "do not fit together: 2.png"),
        ({"depth_file": "gone_depth.png"}, "gone_depth.png"),
        ({"depth_file": "1.png"}, "16-bit"),
    ],
)
def test_bad_record_is_named(
    tmp_path: Path,
    cameras: tuple[Camera, ...],
    drawings: list[dict[str, np.ndarray]],
    changes: dict[str, Any],
    says: str,
) -> None:
    folder = _folder(tmp_path / "o", cameras, drawings, **changes)
    with pytest.raises(InputError) as caught:
        ViewSet.open(folder, group="ring")
    assert says in str(caught.value)
    assert "2.png" in str(caught.value) or set(changes) & {"file", "depth_file"}


def test_bad_pictures_are_named(
    tmp_path: Path, cameras: tuple[Camera, ...], drawings: list[dict[str, np.ndarray]]
) -> None:
    folder = _folder(tmp_path / "o", cameras, drawings)
    good = (folder / "3.png").read_bytes()

    def complaint() -> str:
        with pytest.raises(InputError) as caught:
            ViewSet.open(folder, group="ring")
        return str(caught.value)

    (folder / "3.png").write_bytes(good[: len(good) // 2])
    assert "3.png' is damaged" in complaint()
    (folder / "3.png").write_text("not a picture")
    assert "3.png' is not a picture" in complaint()
    Image.new("RGBA", (SIZE, SIZE), (9, 9, 9, 0)).save(folder / "3.png")
    assert "3.png shows no object" in complaint()
    Image.fromarray(drawings[3]["rgba"]).resize((48, 48)).save(folder / "3.png")
    assert "3.png has 48x48" in complaint()


def test_folders_without_usable_cameras(
    tmp_path: Path, cameras: tuple[Camera, ...], drawings: list[dict[str, np.ndarray]]
) -> None:
    with pytest.raises(InputError, match=r"neither transforms\.json nor"):
        ViewSet.open(tmp_path)
    with pytest.raises(InputError, match="does not exist"):
        ViewSet.open(tmp_path / "nowhere")
    (tmp_path / "transforms.json").write_text("{")
    with pytest.raises(InputError, match="JSON"):
        ViewSet.open(tmp_path)
    folder = _folder(tmp_path / "o", cameras, drawings)
    with pytest.raises(InputError, match="at least 3"):
        ViewSet.open(folder, group="input")
    same = _transforms(folder, (cameras[0],) * 6, camera_angle_x=0.5)
    for i in range(6):
        Image.fromarray(drawings[0]["rgba"]).save(folder / f"{i}.png")
    with pytest.raises(InputError, match="same direction"):
        ViewSet.open(same)


# ------------------------------------------------------------------------------------------ digests


def test_digest_changes_with_every_file_that_is_read_and_no_other(
    tmp_path: Path, cameras: tuple[Camera, ...], drawings: list[dict[str, np.ndarray]]
) -> None:
    folder = _folder(tmp_path / "o", cameras, drawings)
    seen = {digest_of(folder, None, "ring"), digest_of(folder, None, "half")}
    assert len(seen) == 2
    first = digest_of(folder, None, "half")
    (folder / "5.png").write_bytes(b"not in the group")
    (folder / "notes.txt").write_text("not named")
    assert digest_of(folder, None, "half") == first
    for name in ("1.png", "1_depth.png", "1_normal.png"):
        with (folder / name).open("ab") as file:
            file.write(b"x")
        seen.add(digest_of(folder, None, "half"))
    assert len(seen) == 5
    with pytest.raises(InputError):
        digest_of(folder, None, "nothing")
    sheet = _save_sheet(tmp_path / "sheet.png", [d["rgba"] for d in drawings])
    assert digest_of(sheet, "zero123plus-v1.1") != digest_of(sheet, "zero123plus-v1.2")
