"""Light told from paint, on balls whose paint and light are formulas."""

from __future__ import annotations

import numpy as np
import pytest

from img2mesh.texture.delighting import light, without_light
from tests.rooms import texture_mesh
from tests.texture.test_texture import around, ball, sampled


def lit(p, paint, strength=0.6):
    """Paint (linear) under a light from above and the side; sRGB."""
    normal = p / np.maximum(np.linalg.norm(p, axis=-1, keepdims=True), 1e-9)
    towards = np.array([0.5, 0.8, 0.33])
    shade = 1 + strength * (normal @ (towards / np.linalg.norm(towards)))[..., None]
    return np.clip(0.5 * paint(p) * shade, 0, 1) ** (1 / 2.2)


def patches(p):
    """Abrupt paint: a quarter of the squares of a grid are three times darker."""
    dark = (np.floor(5 * p).astype(int).sum(axis=-1) % 4 == 0)[..., None]
    return np.where(dark, [0.3, 0.2, 0.25], [0.8, 0.7, 0.6])


def plain(p):
    return np.full(p.shape, 0.7)


def ratio(colour, points, paint):
    """How unevenly (standard deviation of the logarithm) the colours follow the paint."""
    true = 0.5 * paint(points)
    value = np.log(np.maximum(colour, 0.01) ** 2.2 / true)
    return float(np.std(value - np.median(value, axis=0)))


@pytest.mark.parametrize("paint", [plain, patches])
def test_light_goes_and_paint_stays(paint):
    mesh = ball()
    views = around(mesh, colour=lambda p: lit(p, paint))
    before = texture_mesh(mesh, views, resolution=256)
    after = texture_mesh(mesh, views, resolution=256, delight=True)
    assert any("light" in note for note in after.notes)
    points, colour, coverage = sampled(before)
    seen = coverage == 2
    was = ratio(colour[seen], points[seen], paint)
    points, colour, coverage = sampled(after)
    seen = coverage == 2
    now = ratio(colour[seen], points[seen], paint)
    assert now < 0.55 * was


def test_painted_things_are_not_taken_for_light():
    """Unlit paint, black on one side and white on the other: nothing to take out."""
    mesh = ball()
    colours = np.where(mesh.vertices[:, :1] > 0, 0.9, 0.2).repeat(3, axis=1).astype(np.float32)
    normals = (mesh.vertices / 0.8).astype(np.float32)
    found = light(mesh.faces, normals, colours, np.ones(len(normals), bool))
    same = without_light(colours, normals, found)
    assert np.abs(same - colours).max() < 0.02


def test_too_little_to_go_by_changes_nothing():
    mesh = ball(subdivisions=1)
    normals = (mesh.vertices / 0.8).astype(np.float32)
    colours = np.abs(normals)
    found = light(mesh.faces, normals, colours, np.zeros(len(normals), bool))
    assert not found.any()


def test_off_by_default_and_said_when_on():
    mesh = ball(subdivisions=2)
    views = around(mesh, colour=lambda p: lit(p, plain))
    default, off, on = (
        texture_mesh(mesh, views, resolution=64, **setting)
        for setting in ({}, {"delight": False}, {"delight": True})
    )
    assert default.texture.tobytes() == off.texture.tobytes() != on.texture.tobytes()
    assert not any("light" in note for note in off.notes)
    assert any("light was divided out" in note for note in on.notes)
