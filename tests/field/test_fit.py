"""The fit as a whole: it comes closer to the truth than the hull, and always to the same bytes."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from img2mesh.artifacts import Mesh, Provenance, RadianceField, View, ViewSet
from img2mesh.core.cameras import Camera
from img2mesh.errors import InputError
from img2mesh.field import fit
from img2mesh.field.pictures import match_footprint
from img2mesh.geometry.raycast import Scene
from tests.field import scenes

ROOT = Path(__file__).parents[2]


def small_fit(views: ViewSet, **settings: Any) -> RadianceField:
    return fit(views, grid=40, **settings)


def mask_overlap(mesh: Mesh, view: View) -> float:
    assert view.camera is not None
    seen, wanted = Scene(mesh.vertices, mesh.faces).look(view.camera).mask, view.alpha > 0.5
    return float((seen & wanted).sum() / (seen | wanted).sum())


@pytest.fixture(scope="module")
def turned_box() -> ViewSet:
    return scenes.views_of(scenes.box())


def test_textured_box_comes_much_closer_than_its_hull(turned_box: ViewSet) -> None:
    truth = scenes.box()
    hull = scenes.surface_of(scenes.hull_of(turned_box.views, grid=96))
    # The smallest grid that looks at every pixel: outlines of 96 pixels need them.
    fitted = scenes.surface_of(fit(turned_box, grid=96))
    assert scenes.chamfer(fitted, truth) < 0.25 * scenes.chamfer(hull, truth)
    assert scenes.chamfer(fitted, truth) < 0.01
    assert min(mask_overlap(fitted, v) for v in turned_box.views) > 0.96


def test_torus_keeps_its_hole_and_its_masks() -> None:
    views = scenes.views_of(scenes.torus(), rig="zero123plus-v1.1")
    field = small_fit(views)
    fitted = scenes.surface_of(field)
    assert scenes.chamfer(fitted, scenes.torus()) < 0.012
    assert min(mask_overlap(fitted, v) for v in views.views) > 0.93
    middle = tuple(np.round(-field.origin / field.voxel).astype(int))
    assert field.sdf[middle] > 0.1  # empty, and far from everything


@pytest.mark.slow
def test_known_depths_and_normals_open_a_hollow_no_outline_shows() -> None:
    truth = scenes.bowl()
    # In much smaller pictures the hollow is too few pixels wide for normals to be integrated.
    known = scenes.views_of(truth, size=128, known=True, plain=True)
    blind = replace(known, depth=None, normals=None)
    error = {
        name: scenes.chamfer(scenes.surface_of(fit(views, grid=48)), truth)
        for name, views in {
            "nothing": blind,
            "normals": replace(blind, normals=known.normals),
            "both": known,
        }.items()
    }
    assert error["both"] < 0.6 * error["nothing"]
    assert error["normals"] < 0.8 * error["nothing"]


def test_thin_legs_survive_with_known_depth() -> None:
    import trimesh

    parts = [trimesh.creation.box((1.0, 0.12, 1.0))]
    parts[0].apply_translation([0, 0.4, 0])
    for x in (-0.42, 0.42):
        for z in (-0.42, 0.42):
            leg = trimesh.creation.box((0.08, 0.9, 0.08))
            leg.apply_translation([x, -0.05, z])
            parts.append(leg)
    shape = trimesh.boolean.union(parts, engine="manifold")
    table = Mesh(shape.vertices, shape.faces)
    views = scenes.views_of(table, size=128, known=True)
    fitted = scenes.surface_of(fit(views, grid=64))
    assert min(mask_overlap(fitted, v) for v in views.views) > 0.9


def test_photo_is_a_seventh_view_only_where_its_camera_is_known() -> None:
    truth = scenes.torus()
    views = scenes.views_of(truth, size=64)
    above = Camera.orbit(0, 60.0, distance=4.0, fov_deg=30.0, width=192, height=192)
    photo, _, _ = scenes.look(truth, above)
    with_photo = scenes.surface_of(brief_fit(replace(views, photo=photo)))
    without = brief_fit(replace(views, photo=photo), use_photo=False)
    unknown = brief_fit(replace(views, photo=replace(photo, camera=None)))
    assert np.array_equal(without.sdf, unknown.sdf)
    assert mask_overlap(with_photo, photo) > mask_overlap(scenes.surface_of(without), photo) + 0.02


def test_photo_is_brought_down_to_the_views_pixel_size() -> None:
    views = scenes.views_of(scenes.sphere(), size=64)
    camera = Camera.orbit(0, 10.0, distance=8.0, fov_deg=15.0, width=320, height=320)
    photo, _, _ = scenes.look(scenes.sphere(), camera)
    small = match_footprint(photo, views.cameras)
    assert abs(small.alpha.shape[0] - 64) <= 1
    assert small.camera is not None and small.camera.fov_deg == pytest.approx(15.0)
    assert small.alpha.mean() == pytest.approx(photo.alpha.mean(), abs=5e-3)
    assert match_footprint(small, views.cameras) is small


class Interrupted(Exception):
    pass


def brief_fit(views: ViewSet, **settings: Any) -> RadianceField:
    """Every stage, matching and leap, but few steps: enough to compare bytes."""
    from img2mesh.field.loop import fit_field
    from img2mesh.field.losses import Weights
    from img2mesh.field.pictures import gather
    from img2mesh.field.schedule import stages
    from img2mesh.geometry.silhouettes import make_silhouettes, relaxed

    plan = stages("exact", grid=24, fine_grid=0, photometric_weight=50.0, known_depth=False)
    given: dict[str, Any] = {
        "plan": [replace(s, iterations=8, refresh=3, rematch=6, rays=1500) for s in plan],
        "weights": Weights(50.0, 0.1, 20.0, 1.0, 100.0),
        "fog_steps": 20,
        "use_photo": True,
        "relax_px": 0.0,
        "seed": 42,
        "device": torch.device("cpu"),
    }
    given |= settings
    pictures = gather(views, use_photo=given["use_photo"])
    outlines = relaxed(make_silhouettes([p.view for p in pictures]), given["relax_px"])
    return fit_field(views, pictures=pictures, outlines=outlines, **given)


@pytest.mark.parametrize("moment", [0.05, 0.3, 0.55, 0.95])
def test_killed_fit_resumes_to_the_same_bytes(
    turned_box: ViewSet, tmp_path: Path, moment: float
) -> None:
    whole = brief_fit(turned_box)
    later: list[float] = []

    def interrupt(done: float) -> None:
        if done > moment:
            raise Interrupted

    with pytest.raises(Interrupted):
        brief_fit(turned_box, scratch=tmp_path, progress=interrupt)
    resumed = brief_fit(turned_box, scratch=tmp_path, progress=later.append)
    assert later[0] > moment - 0.2  # it did not start again
    assert resumed.sdf.tobytes() == whole.sdf.tobytes()
    assert resumed.voxel == whole.voxel and np.array_equal(resumed.origin, whole.origin)


def test_another_fits_or_damaged_checkpoint_is_ignored(turned_box: ViewSet, tmp_path: Path) -> None:
    whole = brief_fit(turned_box)
    brief_fit(turned_box, seed=1, scratch=tmp_path)
    assert brief_fit(turned_box, scratch=tmp_path).sdf.tobytes() == whole.sdf.tobytes()
    (tmp_path / "fit.safetensors").write_bytes(b"\x10\0\0\0\0\0\0\0not a checkpoint")
    assert brief_fit(turned_box, scratch=tmp_path).sdf.tobytes() == whole.sdf.tobytes()


def test_bytes_do_not_depend_on_the_number_of_threads() -> None:
    script = (
        "import hashlib\n"
        "from tests.field import scenes\n"
        "from tests.field.test_fit import brief_fit\n"
        "sdf = brief_fit(scenes.views_of(scenes.box(), size=64)).sdf\n"
        "print(hashlib.sha256(sdf.tobytes()).hexdigest())\n"
    )
    answers = set()
    for threads in ("1", "2"):
        environment = {**os.environ, "OMP_NUM_THREADS": threads, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            [sys.executable, "-c", script],
            capture_output=True,
            text=True,
            check=True,
            cwd=ROOT,
            env=environment,
        )
        answers.add(done.stdout.strip())
    assert len(answers) == 1


def test_torch_is_left_as_it_was(turned_box: ViewSet) -> None:
    before = torch.get_num_threads()
    brief_fit(turned_box)
    assert torch.get_num_threads() == before


def test_provenance_chooses_the_smoothness(turned_box: ViewSet, monkeypatch: Any) -> None:
    chosen = []

    def note(smoothness: str, **_: object) -> None:
        chosen.append(smoothness)
        raise Interrupted

    monkeypatch.setattr("img2mesh.field.schedule.stages", note)
    guessed = replace(turned_box, provenance=Provenance(generator="x", exact=False))
    for views, wish in ((turned_box, "auto"), (guessed, "auto"), (guessed, "exact")):
        with pytest.raises(Interrupted):
            fit(views, smoothness=wish)
    assert chosen == ["exact", "generated", "exact"]


def test_senseless_input_gets_one_sentence(turned_box: ViewSet) -> None:
    with pytest.raises(InputError, match="grid 4 and fine_grid 0"):
        fit(turned_box, grid=4)
    with pytest.raises(InputError, match="smoothness 'soft'"):
        fit(turned_box, smoothness="soft")
    with pytest.raises(InputError, match="shows no object"):
        fit(replace(turned_box, alpha=np.zeros_like(turned_box.alpha)))
