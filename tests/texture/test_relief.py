"""Normal maps against bodies whose true normals are a formula, read as a glTF client reads them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import trimesh

from img2mesh.artifacts import RadianceField, TexturedMesh
from img2mesh.core.cameras import Camera
from img2mesh.report.rendering import CLAY, Renderer
from img2mesh.texture.relief import bake_normals
from tests.rooms import extract
from tests.shapes import (
    SIZE,
    baked,
    faceted_ball,
    field_of,
    mirrored,
    plain,
    psnr,
    round_ball,
    sphere_sdf,
    turned_over,
)


def bumpy(p):
    """A sphere with bumps of 2.5 % of its radius, eleven to a round."""
    radius = np.linalg.norm(p, axis=-1)
    x, y, z = np.moveaxis(p / np.maximum(radius, 1e-6)[..., None], -1, 0)
    return (radius - 0.7 - 0.018 * np.sin(14 * x) * np.sin(14 * y) * np.sin(14 * z + 1)) / 1.05


def normals_of(body, points):
    step = 1e-4 * np.eye(3)
    slope = np.stack([body(points + s) - body(points - s) for s in step], axis=1)
    return slope / np.linalg.norm(slope, axis=1, keepdims=True)


def read(asset: TexturedMesh, count=4000):
    """Random surface points (n, 3) and the normals (n, 3) a client makes of the map there."""
    rng = np.random.default_rng(3)
    face = rng.integers(0, len(asset.faces), count)
    weights = rng.dirichlet((1, 1, 1), count)

    def at(values):
        return np.einsum("nk,nkc->nc", weights, values[asset.faces[face]].astype(float))

    uv = at(asset.uv) * SIZE - 0.5
    x, y = uv.clip(0, SIZE - 1.001).T
    i, j = x.astype(int), y.astype(int)
    fx, fy = (x - i)[:, None], (y - j)[:, None]
    m = asset.normal_map / 255.0 * 2 - 1
    local = (m[j, i] * (1 - fx) + m[j, i + 1] * fx) * (1 - fy)
    local += (m[j + 1, i] * (1 - fx) + m[j + 1, i + 1] * fx) * fy
    normal, tangent = at(asset.normals), at(asset.tangents)
    bitangent = np.sign(tangent[:, 3:]) * np.cross(normal, tangent[:, :3])
    found = local[:, :1] * tangent[:, :3] + local[:, 1:2] * bitangent + local[:, 2:] * normal
    return at(asset.vertices), found / np.linalg.norm(found, axis=1, keepdims=True)


def angles(one, other):
    return np.degrees(np.arccos(np.clip((one * other).sum(axis=1), -1, 1)))


@pytest.fixture(scope="module")
def fields():
    return {"sphere": field_of(sphere_sdf), "bumpy": field_of(bumpy)}


@pytest.fixture(scope="module")
def coarse(fields):
    return {name: plain(extract(field, target_faces=700)) for name, field in fields.items()}


@pytest.mark.parametrize("name", ["sphere", "bumpy"])
@pytest.mark.parametrize("flip", [False, True], ids=["as packed", "mirrored"])
def test_the_map_holds_the_true_normals(fields, coarse, name, flip):
    asset = baked(mirrored(coarse[name]) if flip else coarse[name], fields[name])
    points, found = read(asset)
    body = {"sphere": sphere_sdf, "bumpy": bumpy}[name]
    # The points lie on flat triangles; the true normal is that of the surface above them.
    lifted = points - body(points)[:, None] * normals_of(body, points)
    off = angles(found, normals_of(body, lifted))
    assert np.median(off) < 2
    assert np.quantile(off, 0.99) < 8
    if name == "bumpy":
        flat = angles(normals_of(sphere_sdf, points), normals_of(body, lifted))
        assert np.median(flat) > 5, "the test body has no detail to lose"


def test_mirrored_charts_shade_alike(fields, coarse):
    signs = set()
    found = []
    for asset in (coarse["bumpy"], mirrored(coarse["bumpy"])):
        mapped = baked(asset, fields["bumpy"])
        signs |= set(mapped.tangents[:, 3])
        found.append(read(mapped)[1])
    assert signs == {1.0, -1.0}
    assert np.median(angles(*found)) < 0.5


@pytest.mark.parametrize("name", ["sphere", "bumpy"])
def test_the_coarse_body_shades_like_the_fine_one(fields, coarse, name):
    body = {"sphere": sphere_sdf, "bumpy": bumpy}[name]
    mesh = extract(field_of(body, 96), target_faces=10**7, smoothing_steps=0)
    count = len(mesh.vertices)
    fine = TexturedMesh(
        mesh.vertices,
        mesh.faces,
        np.zeros((count, 2)),
        normals_of(body, mesh.vertices.astype(float)),
        np.full((8, 8, 3), 190, np.uint8),
        np.ones((8, 8), np.uint8),
        np.arange(count),
    )
    camera = Camera.orbit(30, 20, distance=4, fov_deg=26, width=128, height=128)
    shots = [
        Renderer(asset).render(camera, CLAY)
        for asset in (fine, coarse[name], baked(coarse[name], fields[name]))
    ]
    both = np.logical_and.reduce([alpha > 0.99 for _, alpha in shots])
    without, with_map = (
        -10 * np.log10(((shots[0][0] - rgb)[both] ** 2).mean()) for rgb, _ in shots[1:]
    )
    assert with_map > 40
    if name == "bumpy":
        assert with_map > without + 8


def test_the_map_follows_the_asset_into_its_own_frame(fields, coarse):
    """Scaled and moved as export does: the map stays the same but for rounding."""
    move = np.diag([2.0, 2.0, 2.0, 1.0])
    move[:3, 3] = (5, -3, 1)
    asset = coarse["bumpy"]
    placed = replace(
        asset, vertices=2 * asset.vertices + np.float32([5, -3, 1]), asset_from_world=move
    )
    first, _, found = bake_normals(asset, fields["bumpy"], resolution=SIZE)
    second, _, _ = bake_normals(placed, fields["bumpy"], resolution=SIZE)
    assert found > 0.999
    assert np.abs(first.astype(int) - second).max() <= 2


def test_where_the_field_has_no_surface_the_map_is_flat(coarse):
    away = RadianceField(np.ones((8, 8, 8)), np.full(3, -1.0), 2 / 7, 0.01)
    picture, _, found = bake_normals(coarse["sphere"], away, resolution=SIZE)
    assert found == 0
    assert np.abs(picture.astype(int) - (128, 128, 255)).max() <= 1


@pytest.mark.parametrize("flip", [False, True], ids=["as packed", "mirrored"])
def test_a_sphere_of_eighty_faces_shades_like_the_sphere(fields, flip):
    """Under plain lights, the map read as a client does; right only as it is."""
    low = faceted_ball(trimesh.creation.icosphere(1, 0.7))
    low = baked(mirrored(low) if flip else low, fields["sphere"])
    bare = replace(low, normal_map=np.full_like(low.normal_map, (128, 128, 255)))
    found = {}
    for name, asset in {"mapped": low, "bare": bare, "green down": turned_over(low)}.items():
        points, normals = read(asset, 20_000)
        truth = points / np.linalg.norm(points, axis=1, keepdims=True)
        lights = np.array([[0.6, 0.5, 0.62], [-0.7, 0.1, 0.7], [0, 1, 0], [0.3, -0.4, -0.87]])
        shades = [np.maximum(n @ lights.T, 0) for n in (normals, truth)]
        found[name] = psnr(*shades)
    assert found["mapped"] >= 30
    assert found["bare"] < 25 and found["green down"] < 25


def test_its_pictures_are_those_of_the_sphere(fields):
    fine = round_ball()
    low = baked(faceted_ball(trimesh.creation.icosphere(1, 0.7)), fields["sphere"])
    shown = {"mapped": low, "bare": replace(low, normal_map=None), "green down": turned_over(low)}
    worst = dict.fromkeys(shown, np.inf)
    for azimuth in (30, 120, 210, 300):
        camera = Camera.orbit(azimuth, 20, distance=4, fov_deg=26, width=128, height=128)
        truth, alpha = Renderer(fine).render(camera, CLAY)
        for name, asset in shown.items():
            rgb, covered = Renderer(asset).render(camera, CLAY)
            both = (alpha > 0.99) & (covered > 0.99)
            worst[name] = min(worst[name], psnr(truth[both], rgb[both]))
    assert worst["mapped"] >= 38
    assert worst["bare"] < worst["mapped"] - 6 and worst["green down"] < 30
