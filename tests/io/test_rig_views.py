"""Sheets and folders as SyncDreamer, MVDream, Wonder3D and Era3D write them, of a drawn box."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from img2mesh.artifacts import ViewSet
from img2mesh.core.cameras import Camera
from img2mesh.core.rigs import RIGS, Rig, rig
from img2mesh.errors import InputError
from img2mesh.geometry.raycast import Scene
from img2mesh.io.views import digest_of
from tests import shapes
from tests.conftest import Command

SIZE = 40
Drawn = dict[str, list[tuple[np.ndarray, np.ndarray]]]
OTHERS = ("syncdreamer", "mvdream", "wonder3d", "era3d")


@cache
def scene() -> Scene:
    box = shapes.box()
    return Scene(box.vertices * 0.8 + [0.1, 0.08, -0.05], box.faces)


def draw(camera: Camera) -> tuple[np.ndarray, np.ndarray]:
    """RGBA and world normals, white where there is nothing, of a box off the origin."""
    hits = scene().look(camera)
    rgba = np.full((camera.height, camera.width, 4), 255, np.uint8)
    rgba[..., 3] = 255 * hits.mask
    rgba[hits.mask, :3] = (60 + 60 * (hits.normal[hits.mask] + 1)).astype(np.uint8)
    normal = np.where(hits.mask[..., None], np.rint((hits.normal * 0.5 + 0.5) * 255), 255)
    return rgba, normal.astype(np.uint8)


@pytest.fixture(scope="module")
def drawn() -> Drawn:
    return {name: [draw(c) for c in rig(name).cameras(SIZE)] for name in OTHERS}


def save(path: Path, picture: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).save(path)
    return path


def strip(pictures: list[np.ndarray]) -> np.ndarray:
    return np.concatenate(pictures, axis=1)


def shows(views: ViewSet, drawn: list[tuple[np.ndarray, np.ndarray]], known: Rig) -> None:
    """The views are the drawn ones, in order, on the rig's cameras."""
    assert not views.provenance.notes
    truth = np.stack([rgba[..., 3] for rgba, _ in drawn]) / 255
    assert np.abs(views.alpha - truth).mean() < 2e-3  # cut out of white, edges are soft
    for camera, expected in zip(views.cameras, known.cameras(SIZE), strict=True):
        assert np.allclose(camera.world_from_camera, expected.world_from_camera)
        assert camera.fx == expected.fx


# ------------------------------------------------------------------------------------------ sheets


@pytest.mark.parametrize("name", OTHERS)
def test_a_strip_of_views_takes_the_rigs_cameras(tmp_path: Path, name: str, drawn: Drawn) -> None:
    path = save(tmp_path / "0.png", strip([rgba for rgba, _ in drawn[name]]))
    shows(ViewSet.open(path, rig=name), drawn[name], rig(name))


def test_other_grids_are_read_row_by_row(tmp_path: Path, drawn: Drawn) -> None:
    rows = [strip([rgba for rgba, _ in drawn["syncdreamer"][4 * k :][:4]]) for k in range(4)]
    path = save(tmp_path / "grid.png", np.concatenate(rows))
    shows(ViewSet.open(path, rig="syncdreamer"), drawn["syncdreamer"], rig("syncdreamer"))


@pytest.mark.parametrize("form", ["normals above colours", "input, colour, normal, ..."])
def test_sheets_with_normals(tmp_path: Path, drawn: Drawn, form: str) -> None:
    views = drawn["wonder3d"]
    # Their ground is white without alpha: what is white is not object.
    colours, normals = [rgba[..., :3] for rgba, _ in views], [normal for _, normal in views]
    if form == "normals above colours":
        name, sheet = "wonder3d", np.concatenate([strip(normals), strip(colours)])
    else:
        turns = [one for pair in zip(colours, normals, strict=True) for one in pair]
        name, sheet = "era3d", strip([colours[0], *turns])
    read = ViewSet.open(save(tmp_path / "s.png", sheet), rig=name)
    shows(read, views, rig(name))
    right_normals(read)


def right_normals(views: ViewSet) -> None:
    """In the world, whatever the view; nothing outside the object."""
    assert views.normals is not None
    inside = views.alpha > 0.5
    for camera, normal, mask in zip(views.cameras, views.normals, inside, strict=True):
        assert (normal[~mask] == 0).all()
        hits = scene().look(camera)
        assert ((normal * hits.normal).sum(-1)[mask] > 0.98).all()


# ----------------------------------------------------------------------------------------- folders


def test_numbered_pictures_are_in_the_order_of_their_numbers(tmp_path: Path, drawn: Drawn) -> None:
    for k, (rgba, _) in enumerate(drawn["syncdreamer"]):
        save(tmp_path / f"{k}.png", rgba)  # 10.png comes after 9.png, not after 1.png
    shows(ViewSet.open(tmp_path, rig="syncdreamer"), drawn["syncdreamer"], rig("syncdreamer"))


def test_a_folder_of_wonder3d(tmp_path: Path, drawn: Drawn) -> None:
    known = rig("wonder3d")
    for view, (rgba, normal) in zip(known.names, drawn["wonder3d"], strict=True):
        save(tmp_path / f"masked_colors/rgb_000_{view}.png", rgba)
        save(tmp_path / f"rgb_000_{view}.png", rgba[..., :3])
        save(tmp_path / f"normals_000_{view}.png", np.dstack([normal, rgba[..., 3]]))
    save(tmp_path / "owl.png", drawn["wonder3d"][0][0])  # the input lies there too
    views = ViewSet.open(tmp_path, rig="wonder3d")
    shows(views, drawn["wonder3d"], known)
    right_normals(views)


def test_a_folder_of_era3d(tmp_path: Path, drawn: Drawn) -> None:
    known = rig("era3d")
    for view, (rgba, normal) in zip(known.names, drawn["era3d"], strict=True):
        save(tmp_path / f"color_{view}_masked.png", rgba[..., :3])
        save(tmp_path / f"normals_{view}_masked.png", normal)
    views = ViewSet.open(tmp_path, rig="era3d")
    shows(views, drawn["era3d"], known)
    right_normals(views)
    before = digest_of(tmp_path, rig="era3d")
    save(tmp_path / "normals_left_masked.png", drawn["era3d"][0][1])
    assert digest_of(tmp_path, rig="era3d") != before


def test_a_folder_with_one_sheet_is_that_sheet(tmp_path: Path, drawn: Drawn) -> None:
    save(tmp_path / "0.png", strip([rgba for rgba, _ in drawn["mvdream"]]))
    shows(ViewSet.open(tmp_path, rig="mvdream"), drawn["mvdream"], rig("mvdream"))


# --------------------------------------------------------------------------------------- elevation


def test_the_ring_of_mvdream_stands_where_it_was_asked_for(tmp_path: Path) -> None:
    raised = rig("mvdream").at(28.0)
    pictures = [draw(c) for c in raised.cameras(SIZE)]
    path = save(tmp_path / "sample.png", strip([rgba for rgba, _ in pictures]))
    shows(ViewSet.open(path, rig="mvdream", elevation=28.0), pictures, raised)
    assert digest_of(path, rig="mvdream", elevation=28.0) != digest_of(path, rig="mvdream")


def test_mvdream_s_lens_is_found_where_the_outlines_tell_it(tmp_path: Path) -> None:
    wide = rig("mvdream").through(60.0)
    bench = Scene(shapes.bench().vertices, shapes.bench().faces)
    masks = [bench.look(c).mask for c in wide.cameras(96)]
    sheet = strip([np.dstack([np.full((96, 96, 3), 90, np.uint8), 255 * m]) for m in masks])
    views = ViewSet.open(save(tmp_path / "s.png", sheet.astype(np.uint8)), rig="mvdream")
    assert views.cameras[0].fov_deg >= 50 - 1e-6
    assert any("outlines fit" in note for note in views.provenance.notes)


def test_the_input_of_syncdreamer_leaves_its_views_at_30_degrees() -> None:
    assert rig("syncdreamer").at(-10.0) == rig("syncdreamer")


@pytest.mark.parametrize(
    ("flags", "columns", "rows", "said"),
    [
        (["--rig", "syncdreamer"], 15, 1, "16 square views.*15 views"),
        (["--rig", "mvdream"], 4, 3, "4 square views, 4 wide and 1 high.*12 views"),
        (["--rig", "wonder3d"], 5, 1, "6 square views.*5 views"),
        (["--rig", "syncdreamer", "--elevation", "41"], 16, 1, "between -10 and 40.* is 41"),
        (["--rig", "mvdream", "--elevation", "-5"], 4, 1, "between 0 and 30.* is -5"),
        (["--rig", "wonder3d", "--elevation", "10"], 6, 1, "are fixed.*leave --elevation out"),
        (["--elevation", "10"], 16, 1, "name it with --rig"),
        (["--rig", "zero123plus"], 16, 1, "known rigs: .*era3d"),
    ],
)
def test_what_cannot_be_is_one_sentence_before_any_work(
    tmp_path: Path, in_process: Command, flags: list[str], columns: int, rows: int, said: str
) -> None:
    sheet = np.full((64 * rows, 64 * columns, 3), 255, np.uint8)
    save(tmp_path / "sheet.png", sheet)
    found = in_process("reconstruct", f"{tmp_path}/sheet.png", "-o", f"{tmp_path}/out", *flags)
    told = " ".join(found.stderr.split())
    assert found.returncode == 2 and not (tmp_path / "out").exists()
    assert re.search(said, told), told


def test_folders_that_are_no_rigs(tmp_path: Path, drawn: Drawn) -> None:
    for k in range(5):
        save(tmp_path / f"{k}.png", drawn["mvdream"][0][0])
    with pytest.raises(InputError, match="holds 5 pictures, but rig mvdream has 4 views"):
        ViewSet.open(tmp_path, rig="mvdream")
    with pytest.raises(InputError, match=r"called as rgb_000_front\.png"):
        ViewSet.open(tmp_path, rig="wonder3d")
    (tmp_path / "4.png").unlink()
    save(tmp_path / "2.png", drawn["mvdream"][0][0][:, :-1])
    with pytest.raises(InputError, match=r"2\.png has 39x40 pixels: expected 40x40"):
        ViewSet.open(tmp_path, rig="mvdream")


# ------------------------------------------------------------------------------------------- poses


@pytest.mark.parametrize(
    ("name", "azimuths", "elevation", "fov"),
    [
        ("syncdreamer", [22.5 * k for k in range(16)], 30, 2 * np.rad2deg(np.arctan(16 / 35))),
        ("mvdream", [0, 90, 180, 270], 15, 40),
        ("wonder3d", [0, 45, 90, 180, 270, 315], 0, None),
        ("era3d", [0, 45, 90, 180, 270, 315], 0, None),
    ],
)
def test_poses_as_published(
    name: str, azimuths: list[float], elevation: float, fov: float | None
) -> None:
    cameras = rig(name).cameras(256)
    x, y, z = np.array([c.origin / np.linalg.norm(c.origin) for c in cameras]).T
    assert np.allclose(np.rad2deg(np.arctan2(x, z)) % 360, azimuths)
    assert np.allclose(np.rad2deg(np.arcsin(y)), elevation)
    if fov is not None:
        assert np.allclose([c.fov_deg for c in cameras], fov)


@pytest.mark.parametrize("name", RIGS)
def test_a_sphere_of_1_035_just_fits(name: str) -> None:
    camera = rig(name).cameras(256)[0]
    angle = np.arcsin(1.035 / np.linalg.norm(camera.origin))
    assert np.isclose(np.tan(angle) * camera.fx, 128, rtol=2e-3)


def test_the_far_camera_stands_for_a_parallel_one() -> None:
    """Within a quarter of a pixel of 1000, as docs/conventions.md says."""
    camera = rig("wonder3d").cameras(1000)[1]
    rng = np.random.default_rng(0)
    points = rng.normal(size=(4000, 3))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    seen, _ = camera.project(points)
    across = points @ camera.world_from_camera[:3, :2]
    parallel = 500 + across * [1, -1] * 500 / 1.035
    assert 0.1 < np.abs(seen - parallel).max() < 0.25
