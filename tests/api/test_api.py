"""What a researcher types: photos in every form, settings as a dict, values that print well."""

from __future__ import annotations

import io
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import img2mesh
from img2mesh.artifacts import DepthSet, GameParts, Lod, Mesh, Photo, Quality, RadianceField, View
from img2mesh.errors import InputError
from tests.conftest import ROOT, toy_picture
from tests.shapes import box_asset, grid_asset

TINY = {"cutout": {"max_size": 256}}


def test_every_public_name_is_there_and_importing_them_all_is_light() -> None:
    names = img2mesh.__all__
    for name in names:
        assert getattr(img2mesh, name) is not None and name in dir(img2mesh)
    code = f"from img2mesh import {', '.join(names)}; import sys; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT,
                          check=True)  # fmt: skip
    assert done.stdout.strip() == "False"
    assert (Path(img2mesh.__file__).parent / "py.typed").exists()


def test_the_same_pixels_are_the_same_photo_in_whatever_form(toy: Path, tmp_path: Path) -> None:
    session = img2mesh.Session(settings=TINY, cache=tmp_path / "cache")
    pixels = np.asarray(toy_picture())
    forms = {
        "file": toy,
        "text": str(toy),
        "pillow": toy_picture(),
        "bytes": pixels,
        "floats": pixels / 255,
        "photo": Photo.open(toy),
    }
    made = {name: session.artifacts(form, until="cutout")["cutout"] for name, form in forms.items()}
    for name, cutout in made.items():
        assert np.array_equal(cutout.rgb, made["file"].rgb), name
        assert np.array_equal(cutout.alpha, made["file"].alpha), name
    # One key for what lies in memory, however it came; another for a file's bytes.
    assert len(list((tmp_path / "cache" / "v1" / "cutout").glob("*/*"))) == 2
    steps = session.runner().plan("cutout", session.inputs(pixels))
    assert [(step.stage, step.cached) for step in steps] == [("cutout", True)]
    other = replace(Photo.open(toy), mask=pixels[..., 3] // 2)
    assert not session.runner().plan("cutout", session.inputs(other))[0].cached


def test_a_picture_in_memory_is_opened_as_a_file_is(tmp_path: Path) -> None:
    path = tmp_path / "turned.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6
    wide = Image.fromarray(np.random.default_rng(1).integers(0, 255, (40, 2300, 3), np.uint8))
    wide.resize((2300, 230)).save(path, exif=exif, quality=95)
    of_file = Photo.open(path)
    with Image.open(path) as picture:
        # Not lazily: a decoder that shrinks while it decodes gives other pixels.
        picture.load()
        in_memory = Photo.from_image(picture)
    assert in_memory.rgb.shape == of_file.rgb.shape == (2048, 205, 3)
    assert in_memory.notes == of_file.notes


def test_masks_come_in_the_same_forms(toy: Path, tmp_path: Path) -> None:
    alpha = toy_picture().getchannel("A")
    alpha.save(tmp_path / "mask.png")
    rgb = toy_picture(background=True)
    for mask in (tmp_path / "mask.png", alpha, np.asarray(alpha), np.asarray(alpha) > 127):
        assert np.array_equal(Photo.from_image(rgb, mask=mask).mask, np.asarray(alpha))
    with pytest.raises(InputError, match="a Photo brings its own mask"):
        img2mesh.reconstruct(Photo.open(toy), mask=alpha)
    with pytest.raises(InputError, match="the mask is 40x20 but the upright photo is 256x256"):
        Photo.from_image(rgb, mask=np.zeros((20, 40)))


@pytest.mark.parametrize(
    ("picture", "words"),
    [
        (np.zeros((9, 9, 3, 1)), r"must be an array \(h, w\)"),
        (np.zeros((64, 64, 3), np.int64), "must be uint8"),
        (np.full((64, 64, 3), 200.0), "divide 8-bit colours by 255"),
        (np.full((64, 64, 3), np.nan), "finite"),
        (np.zeros((8, 64, 3)), "too small"),
        (np.zeros((64, 64, 4)), "fully transparent"),
    ],
)
def test_arrays_that_are_no_photo_are_refused(picture: np.ndarray, words: str) -> None:
    with pytest.raises(InputError, match=words):
        img2mesh.reconstruct(picture, cache=None)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"settings": {"surface": {"target_face": 5}}}, "did you mean 'target_faces'"),
        ({"settings": {"surfaces": {}}}, None),
        ({"settings": {"surface": {"target_faces": "many"}}}, "target_faces"),
        ({"preset": "drafty"}, "did you mean 'draft'"),
        ({"device": "tpu"}, "unknown device 'tpu'"),
        ({"cache": "folder"}, 'cache takes a Path, None or "user"'),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_opened(
    options: dict[str, object], words: str | None
) -> None:
    with pytest.raises(InputError, match=words or "no file"):
        img2mesh.reconstruct("no such file.png", **options)  # type: ignore[arg-type]


def test_settings_of_a_preset_and_a_file_are_what_settings_takes(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text("[surface]\ntarget_faces = 123\n")
    settings = img2mesh.load_settings("draft", config=tmp_path / "mine.toml")
    assert settings["surface"]["target_faces"] == 123
    runner = img2mesh.Session(settings=settings).runner()
    assert runner.settings["surface"]["target_faces"] == 123
    assert runner.settings["radiance"] == img2mesh.Session(preset="draft").runner().settings[
        "radiance"
    ]  # fmt: skip


def test_progress_says_what_it_does_and_what_was_there(toy: Path, tmp_path: Path) -> None:
    heard: list[img2mesh.Progress] = []
    session = img2mesh.Session(settings=TINY, cache=tmp_path, on_progress=heard.append)
    session.artifacts(toy, until="cutout")
    assert (heard[0].stage, heard[0].fraction, heard[-1].fraction) == ("cutout", 0.0, 1.0)
    assert not heard[-1].cached and str(heard[-1]) == "cutout    100%"
    session.artifacts(toy, until="cutout")
    assert str(heard[-1]) == "cutout    cached"


# ------------------------------------------------------------------------------------------ values


def cameras(count: int = 6, size: int = 32) -> list[img2mesh.Camera]:
    return [
        img2mesh.Camera.orbit(60.0 * k, 10.0, distance=3, fov_deg=30, width=size, height=size)
        for k in range(count)
    ]


def disc(size: int = 32) -> np.ndarray:
    v, u = (np.mgrid[0:size, 0:size] + 0.5) / size * 2 - 1
    return np.hypot(u, v) < 0.5


def ball_depth(camera: img2mesh.Camera) -> np.ndarray:
    """z-depth of the ball in the middle that looks like :func:`disc`; NaN beside it."""
    rays, start = camera.directions(), camera.origin
    radius = 3 * np.sin(np.arctan(0.5 * 16 / camera.fx))
    half, square = rays @ start, (rays**2).sum(-1)
    inside = half**2 - square * (start @ start - radius**2)
    return np.where(inside > 0, (-half - np.sqrt(np.maximum(inside, 0))) / square, np.nan)


def test_views_from_arrays_are_views_from_files(tmp_path: Path) -> None:
    alpha = np.stack([disc()] * 6)
    rgb = np.where(alpha[..., None], 200, 7) * np.ones(3)
    views = img2mesh.ViewSet.from_arrays(rgb.astype(np.uint8), alpha, cameras())
    assert repr(views) == "ViewSet(6 views, 32x32, given)"
    # The colour goes on past the outline, so that no blur mixes what lies behind into it.
    assert np.allclose(views.rgb, 200 / 255) and set(np.unique(views.alpha)) == {0, 1}
    floats = img2mesh.ViewSet.from_arrays(rgb / 255, alpha.astype(np.float64), cameras())
    assert np.array_equal(floats.rgb, views.rgb)
    depth = np.stack([ball_depth(camera) for camera in cameras()])
    assert img2mesh.ViewSet.from_arrays(rgb / 255, alpha, cameras(), depth=depth).depth is not None


@pytest.mark.parametrize(
    ("count", "size", "shape", "words"),
    [
        (6, 32, (6, 32, 32), r"need rgb \(v, h, w, 3\)"),
        (5, 32, (6, 32, 32, 3), "cameras for"),
        (6, 16, (6, 32, 32, 3), "cameras for"),
        (2, 32, (2, 32, 32, 3), "at least 3"),
    ],
)
def test_arrays_that_are_no_views_are_refused(
    count: int, size: int, shape: tuple[int, ...], words: str
) -> None:
    with pytest.raises(InputError, match=words):
        img2mesh.ViewSet.from_arrays(
            np.zeros(shape), np.stack([disc()] * shape[0]), cameras(count, size)
        )


def test_an_empty_view_and_cameras_that_look_away_are_refused() -> None:
    alpha = np.stack([disc()] * 6)
    alpha[2] = False
    with pytest.raises(InputError, match="view 3 shows no object"):
        img2mesh.ViewSet.from_arrays(np.zeros((6, 32, 32, 3)), alpha, cameras())


VALUES = [
    (lambda: Photo(np.zeros((4, 6, 3)), name="cup"), "Photo('cup', 6x4)"),
    (lambda: img2mesh.Cutout(np.ones((4, 4, 3)), np.ones((4, 4))),
     "Cutout(4x4, by alpha, confidence 1.00)"),
    (lambda: View(np.ones((4, 6, 3)), np.ones((4, 6)), None), "View(6x4, no camera)"),
    (lambda: DepthSet(np.ones((6, 32, 32)), tuple(cameras())), "DepthSet(6 maps, 32x32)"),
    (lambda: RadianceField(np.ones((2, 3, 4)), np.zeros(3), 0.1, 0.2),
     "RadianceField(2x3x4, voxel 0.1)"),
    (lambda: Mesh(np.eye(3), np.array([[0, 1, 2]])), "Mesh(3 vertices, 1 faces)"),
    (lambda: Quality({"faces": 3}, np.zeros((2, 2, 3))), "Quality(1 measures)"),
    (lambda: Lod(np.array([[0, 1, 2]]), 5, 0.1, 0.25), "Lod(1 faces, error at most 0.25 %)"),
    (lambda: GameParts(normal_map=np.zeros((2, 2, 3))), "GameParts(normal_map, 0 hulls)"),
    (lambda: grid_asset(8), None),
    (lambda: cameras()[0], "Camera(32x32, focal 59.7 px, at (0, 0.521, 2.95))"),
]  # fmt: skip


@pytest.mark.parametrize(("make", "text"), VALUES)
def test_values_print_in_one_line_and_can_be_compared_and_kept(make: object, text: str) -> None:
    one, same = make(), make()  # type: ignore[operator]
    assert one == one and one != same and len({one, same}) == 2  # by identity, as arrays are large
    assert "\n" not in repr(one)
    if text is not None:
        assert repr(one) == text


def test_a_textured_mesh_says_how_much_was_seen() -> None:
    asset = replace(grid_asset(8), name="chair")
    faces, side = len(asset.faces), len(asset.texture)
    assert repr(asset).startswith(f"TexturedMesh('chair', {faces} faces, {side} px, ")


def test_trimesh_gets_what_it_would_read_from_the_file(tmp_path: Path) -> None:
    import trimesh

    flat = np.full((64, 64, 3), (128, 128, 255), np.uint8)
    asset = replace(grid_asset(8), normal_map=flat)
    given = asset.to_trimesh()
    read = trimesh.load(asset.save(tmp_path / "a.glb"), force="mesh", process=False)
    assert np.array_equal(given.faces, read.faces)
    assert np.allclose(given.vertices, read.vertices, atol=1e-6)
    assert np.allclose(given.vertex_normals, asset.normals, atol=1e-6)
    assert np.allclose(given.visual.uv, read.visual.uv, atol=1e-6)
    for texture in ("baseColorTexture", "normalTexture"):
        mine, theirs = (getattr(m.visual.material, texture) for m in (given, read))
        assert np.array_equal(np.asarray(mine.convert("RGB")), np.asarray(theirs.convert("RGB")))
    assert asset.joined.to_trimesh().faces.shape == asset.faces.shape


def test_open3d_gets_what_it_would_read_from_the_file(tmp_path: Path) -> None:
    import open3d as o3d

    asset = box_asset()
    given = asset.to_open3d()
    read = o3d.io.read_triangle_mesh(str(asset.save(tmp_path / "a.obj")))
    corners, uvs = [], []
    for mesh in (given, read):
        corners.append(np.asarray(mesh.vertices)[np.asarray(mesh.triangles)])
        uvs.append(np.asarray(mesh.triangle_uvs))
    assert np.allclose(corners[0], corners[1], atol=1e-5)
    # Two ways to keep a picture, upside down or not, that show the same texel in every triangle.
    picture, stored = np.asarray(given.textures[0]), np.asarray(read.textures[-1])[..., :3]
    assert picture.shape == stored.shape
    assert np.array_equal(texels(picture, uvs[0]), texels(stored, uvs[1]))


def texels(picture: np.ndarray, uv: np.ndarray) -> np.ndarray:
    h, w = picture.shape[:2]
    u, v = np.floor(uv.reshape(-1, 3, 2).mean(axis=1) * (w, h)).astype(int).T
    found: np.ndarray = picture[v, u]
    return found


def test_a_run_without_a_cache_still_returns_its_asset(
    toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everything but the stages, which a stand-in replaces: files, notes, report and the asset."""
    from img2mesh import api

    kept: list[Path] = []
    execute = api.execute

    def stop_early(job: object, request: object, *rest: object) -> object:
        request = replace(request, until="cutout")  # type: ignore[type-var]
        kept.append(request.cache_dir)  # type: ignore[attr-defined]
        done = execute(job, request, *rest)  # type: ignore[arg-type]
        return replace(done, outcomes={"asset": Kept()})

    class Kept:
        def load(self) -> object:
            assert kept[-1].exists(), "the asset is read while its cache is still there"
            return grid_asset(8)

    monkeypatch.setattr(api, "execute", stop_early)
    result = img2mesh.run(toy, output_dir=tmp_path / "out", cache=None)
    assert not kept[0].exists() and result.asset.name == "toy"
    assert set(result.files) == {"cutout", "report", "run"} and result.report["name"] == "toy"
    again = img2mesh.run(
        io_picture(toy), output_dir=tmp_path / "out", cache=None
    )  # another input of another name
    assert again.files["report"].parent.name == "photo"


def io_picture(path: Path) -> Image.Image:
    return Image.open(io.BytesIO(path.read_bytes()))
