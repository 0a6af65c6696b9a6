"""Shape metrics on bodies whose distances are known in closed form."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import trimesh

from img2mesh.errors import InputError
from img2mesh.evaluation import compare_meshes
from img2mesh.evaluation.shape import describe, sphere_directions, summarise
from img2mesh.io.read_mesh import load_surface


def _save(mesh: trimesh.Trimesh, path: Path) -> Path:
    mesh.export(path)
    return path


def _sphere(radius: float = 1.0) -> trimesh.Trimesh:
    return trimesh.creation.icosphere(subdivisions=5, radius=radius)


def test_a_mesh_against_itself_is_perfect(tmp_path: Path) -> None:
    path = _save(_sphere(), tmp_path / "a.ply")
    result = compare_meshes(path, path, samples=5000)
    for kind in ("surface", "visible"):
        assert result[kind]["chamfer"] < 1e-6
        assert result[kind]["f_1"] == 1 and result[kind]["normal_consistency"] > 0.9999
    assert result["visible_share_pred"] == 1


def test_concentric_spheres_are_the_difference_of_radii_apart(tmp_path: Path) -> None:
    pred = _save(_sphere(1.05), tmp_path / "p.stl")
    reference = _save(_sphere(), tmp_path / "r.stl")
    result = compare_meshes(pred, reference, samples=5000)
    assert np.isclose(result["diagonal"], np.sqrt(12), rtol=1e-3)
    assert np.isclose(result["surface"]["chamfer"], 0.05, rtol=0.02)
    assert np.isclose(result["surface"]["chamfer_pct"], 100 * 0.05 / np.sqrt(12), rtol=0.02)
    # 0.05 is 1.44 % of the diagonal: beyond 1 %, within 2 %.
    assert result["surface"]["f_1"] == 0 and result["surface"]["f_2"] == 1


def test_shifted_sphere_has_its_known_chamfer_distance(tmp_path: Path) -> None:
    """A point at angle t from the shift s is | |x + s| - 1 | away from the unit sphere."""
    shift = 0.2
    moved = _sphere()
    moved.apply_translation([0, shift, 0])
    pred = _save(moved, tmp_path / "p.ply")
    reference = _save(_sphere(), tmp_path / "r.ply")
    result = compare_meshes(pred, reference, samples=60000)
    cosine = np.linspace(-1, 1, 20001)  # areas on a sphere are even in the cosine
    expected = np.abs(np.sqrt(1 + 2 * shift * cosine + shift**2) - 1)
    assert np.isclose(result["surface"]["chamfer"], expected.mean(), rtol=0.01)
    limit = 0.02 * result["diagonal"]
    assert np.isclose(result["surface"]["precision_2"], (expected < limit).mean(), atol=0.01)
    assert np.isclose(result["surface"]["hausdorff_99"], np.quantile(expected, 0.99), rtol=0.01)


def test_thresholds_scale_with_the_reference_alone(tmp_path: Path) -> None:
    far = trimesh.util.concatenate(
        [_sphere(), trimesh.creation.icosphere(radius=0.01).apply_translation([50, 0, 0])]
    )
    pred = _save(far, tmp_path / "p.ply")
    result = compare_meshes(pred, _save(_sphere(), tmp_path / "r.ply"), samples=2000)
    assert np.isclose(result["diagonal"], np.sqrt(12), rtol=1e-3)
    assert result["pred"]["components"] == 2


def test_visible_ignores_inner_walls(tmp_path: Path) -> None:
    walls = trimesh.util.concatenate([_sphere(), _sphere(0.5)])
    pred = _save(_sphere(), tmp_path / "p.ply")
    reference = _save(walls, tmp_path / "r.ply")
    result = compare_meshes(pred, reference, samples=8000)
    # A fifth of the reference's area is inside and half a unit away from the prediction.
    assert np.isclose(result["visible_share_reference"], 0.8, atol=0.02)
    assert np.isclose(result["surface"]["reference_to_pred"], 0.2 * 0.5, rtol=0.1)
    assert result["visible"]["chamfer"] < 1e-3 and result["visible"]["f_1"] == 1


def test_inverted_faces_count_as_visible_all_the_same(tmp_path: Path) -> None:
    inverted = _sphere()
    inverted.invert()
    path = _save(inverted, tmp_path / "i.ply")
    result = compare_meshes(path, _save(_sphere(), tmp_path / "r.ply"), samples=2000)
    assert result["visible_share_pred"] == 1
    assert result["surface"]["normal_consistency"] > 0.999


def test_missing_half_costs_recall_not_precision(tmp_path: Path) -> None:
    half = _sphere()
    half.update_faces(half.triangles_center[:, 1] > 0)
    result = compare_meshes(
        _save(half, tmp_path / "p.ply"), _save(_sphere(), tmp_path / "r.ply"), samples=8000
    )
    assert result["surface"]["precision_1"] > 0.99
    # The half that is there, and the band below it that lies within 1 % of the diagonal.
    assert np.isclose(result["surface"]["recall_1"], 0.5 + 0.01 * np.sqrt(12) / 2, atol=0.02)
    assert not result["pred"]["watertight"] and result["pred"]["volume"] is None


@pytest.mark.parametrize(
    ("mesh", "euler", "components"),
    [
        (trimesh.creation.box(), 2, 1),
        (trimesh.creation.torus(1.0, 0.3), 0, 1),
        (trimesh.util.concatenate([_sphere(), _sphere(0.5)]), 4, 2),
    ],
)
def test_topology(tmp_path: Path, mesh: trimesh.Trimesh, euler: int, components: int) -> None:
    facts = describe(load_surface(_save(mesh, tmp_path / "m.ply")))
    assert facts["euler_number"] == euler and facts["components"] == components
    assert facts["watertight"] and facts["faces"] == len(mesh.faces)


def test_texture_seams_do_not_break_watertightness(tmp_path: Path) -> None:
    split = trimesh.creation.box()
    split.unmerge_vertices()
    facts = describe(load_surface(_save(split, tmp_path / "m.glb")))
    assert facts["vertices"] == 36 and facts["watertight"]


def test_parts_are_read_in_place(tmp_path: Path) -> None:
    scene = trimesh.Scene()
    pose = trimesh.transformations.compose_matrix(translate=[3, 0, 0], scale=[2, 2, 2])
    scene.add_geometry(trimesh.creation.box())
    scene.add_geometry(trimesh.creation.box(), transform=pose)
    path = tmp_path / "s.glb"
    scene.export(path)
    surface = load_surface(path)
    assert np.allclose(surface.vertices.min(axis=0), [-0.5, -1, -1])
    assert np.allclose(surface.vertices.max(axis=0), [4, 1, 1])


def test_f_score_is_the_harmonic_mean() -> None:
    out = summarise(np.array([0.0, 0.0, 0.0, 9.0]), np.array([0.0, 9.0]), diagonal=1.0)
    assert out["precision_1"] == 0.75 and out["recall_1"] == 0.5 and np.isclose(out["f_1"], 0.6)
    assert summarise(np.ones(3), np.ones(3), diagonal=1.0)["f_5"] == 0.0


def test_directions_are_spread_over_the_whole_sphere() -> None:
    d = sphere_directions(48)
    assert np.allclose(np.linalg.norm(d, axis=1), 1)
    assert np.abs(d.mean(axis=0)).max() < 0.02 and np.allclose(
        d.T @ d / 48, np.eye(3) / 3, atol=0.02
    )


def test_bad_files_are_named(tmp_path: Path) -> None:
    good = _save(trimesh.creation.box(), tmp_path / "good.ply")
    with pytest.raises(InputError, match=r"gone\.ply"):
        compare_meshes(tmp_path / "gone.ply", good)
    (tmp_path / "bad.glb").write_text("no mesh")
    with pytest.raises(InputError, match=r"bad\.glb"):
        compare_meshes(tmp_path / "bad.glb", good)
    cloud = tmp_path / "cloud.ply"
    trimesh.PointCloud(np.eye(3)).export(cloud)
    with pytest.raises(InputError, match="no triangles"):
        compare_meshes(good, cloud)
