"""From mesh files to training items."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh

from img2mesh.errors import InputError
from img2mesh.multiview.learned.frustum import COLUMNS, FRONT, SLICES, slice_depths
from img2mesh.training.catalog import balance, read_catalog
from img2mesh.training.prepare import item_file, prepare, read_subject, read_surface
from img2mesh.training.procedural import procedural_entries
from img2mesh.training.solid import EXTENT, GRID, centres, solid
from img2mesh.training.views import crease_normals, draw_item
from tests.training.meshes import write_meshes

VOXEL = (2 * EXTENT / GRID) ** 3


def occupied(item):
    return np.unpackbits(item["occupied"], axis=-1).astype(bool)


@pytest.fixture(scope="module")
def catalog(tmp_path_factory):
    folder = write_meshes(tmp_path_factory.mktemp("meshes"), held_out=("slab",))
    return {e.name: e for e in read_catalog(folder)}


def test_a_closed_body_has_its_volume():
    ball = trimesh.creation.icosphere(subdivisions=3, radius=0.8)
    volume = solid(ball.vertices, ball.faces).sum() * VOXEL
    assert volume == pytest.approx(ball.volume, rel=0.05)


def test_a_body_without_a_floor_is_solid():
    box = trimesh.creation.box((1.0, 1.0, 1.0))
    inside = solid(box.vertices, box.faces[box.face_normals[:, 1] > -0.5]).ravel()
    deep = np.abs(centres()).max(1) < 0.45
    assert inside[deep].mean() > 0.98
    assert inside.sum() * VOXEL == pytest.approx(1.0, rel=0.15)


def test_a_sheet_gets_a_voxel():
    sheet = np.array([[-0.7, -0.7, 0.01], [0.7, -0.7, 0.01], [0.7, 0.7, 0.01], [-0.7, 0.7, 0.01]])
    inside = solid(sheet, np.array([[0, 1, 2], [0, 2, 3]], np.int32))
    assert inside.any(2).mean() == pytest.approx((1.4 / 2 / EXTENT) ** 2, rel=0.1)
    assert inside.sum(2).max() <= 3


def test_edges_stay_sharp_and_curves_smooth():
    box = trimesh.creation.box((1, 1, 1))
    flat = crease_normals(box.vertices, box.faces)
    np.testing.assert_allclose(flat, np.repeat(box.face_normals[:, None], 3, 1), atol=1e-5)
    ball = trimesh.creation.icosphere(subdivisions=3)
    smooth = crease_normals(ball.vertices, ball.faces)
    cosine = (smooth * ball.vertices[ball.faces]).sum(-1)
    assert cosine.min() > 0.995


def test_a_ball_fills_its_columns(catalog):
    item = draw_item(read_subject(catalog["ball"]), 20.0, 15.0, 30.0)
    rows = np.nonzero(item["alpha"].max(1) > 127)[0]
    assert np.ptp(rows) + 1 == pytest.approx(0.85 * 128, abs=2)
    columns = occupied(item)
    middle = slice_depths()[columns[COLUMNS // 2, COLUMNS // 2]]
    # The ball's diameter is that of its outline, a little more in perspective.
    assert middle.max() - middle.min() == pytest.approx(1.7, abs=0.15)
    first = slice_depths()[columns.argmax(-1)[columns.any(-1)]]
    assert first.mean() == pytest.approx(FRONT, abs=0.04)
    normal = item["normal"].astype(float)[64, 64] / 127
    np.testing.assert_allclose(normal, [0, 0, 1], atol=0.12)
    assert columns.any(-1).mean() == pytest.approx((item["alpha"] > 127).mean(), abs=0.02)
    assert columns.shape[-1] == SLICES


def test_the_picture_looks_down_when_the_camera_is_above(catalog):
    item = draw_item(read_subject(catalog["slab"]), 0.0, 40.0, 30.0)
    columns = occupied(item)
    first = np.where(columns.any(-1), slice_depths()[columns.argmax(-1)], np.nan)
    rows = np.nanmean(first[columns.any((1, 2))], axis=1)
    assert rows[-5:].mean() > rows[:5].mean() + 0.2  # the lower edge is nearer


def test_a_stretched_subject_keeps_its_solid(catalog):
    subject = read_subject(catalog["ball"]).stretched(np.array([1.3, 1.0, 0.8]))
    subject = subject.stretched(np.array([1.0, 1.0, 1.2]))
    item = draw_item(subject, 90.0, 0.0, 30.0)  # the long axis is that of depth
    columns = occupied(item)
    middle = slice_depths()[columns[COLUMNS // 2, COLUMNS // 2]]
    assert middle.max() - middle.min() == pytest.approx(1.7 * 1.3, abs=0.2)
    assert columns.any(-1).mean() == pytest.approx((item["alpha"] > 127).mean(), abs=0.02)


def test_the_last_surface_gives_the_back(catalog):
    item = draw_item(read_subject(catalog["brick"]), 30.0, 10.0, 30.0)
    middle = item["back"][28:36, 28:36].reshape(-1, 3)
    front = item["albedo"][60:68, 60:68].reshape(-1, 3)
    np.testing.assert_allclose(middle.mean(0), front.mean(0), atol=3)


def test_preparing_goes_on_and_skips_what_cannot_be_read(tmp_path):
    folder = write_meshes(tmp_path / "meshes")
    (folder / "brick.glb").write_bytes(b"not a mesh")
    entries = read_catalog(folder)
    out = tmp_path / "out"
    options = {"views": 2, "passes": 1, "processes": 1, "seed": 3}
    assert prepare(entries[:2], out, **options) == 1
    assert prepare(entries, out, **options) == 1
    made = sorted(f.stem for f in (out / "items" / "0").glob("*.npy"))
    assert made == ["ball", "post", "slab"]
    items = np.load(item_file(out, 0, entries[0]), mmap_mode="r")
    before = bytes(items.tobytes())
    item_file(out, 0, entries[0]).unlink()
    prepare(entries, out, **options)
    assert np.load(item_file(out, 0, entries[0])).tobytes() == before


def test_folders_without_manifest_and_without_meshes(tmp_path):
    with pytest.raises(InputError, match="no meshes"):
        read_catalog(tmp_path)
    trimesh.creation.box().export(tmp_path / "a.ply")
    (entry,) = read_catalog(tmp_path)
    assert (entry.name, entry.licence, entry.coloured) == ("a", "unknown", True)


def test_rare_classes_are_drawn_more_often(catalog):
    from dataclasses import replace

    entries = [replace(e, kind="toy", source="a") for e in catalog.values()]
    entries[0] = replace(entries[0], kind="rare")
    chances = balance(tuple(entries))
    assert sum(chances) == pytest.approx(1)
    assert chances[0] > 1.5 * chances[1]


def test_procedural_shapes_are_many_and_reproducible():
    entries = procedural_entries(12)
    kinds = {e.kind for e in entries}
    assert len({e.name for e in entries}) == 12 and len(kinds) == 6
    assert all(e.split == "train" and e.procedural for e in entries)
    volumes = []
    for entry in entries:
        one, again = read_surface(entry), read_surface(entry)
        assert np.array_equal(one.vertices, again.vertices)
        assert np.linalg.norm(one.vertices, axis=1).max() == pytest.approx(1)
        volumes.append(solid(one.vertices, one.faces).sum() * VOXEL)
    assert min(volumes) > 0.004 and len(set(volumes)) == 12
