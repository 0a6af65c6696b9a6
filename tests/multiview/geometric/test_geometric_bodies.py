"""Which body an outline gets, and how near it comes to the true shape."""

from __future__ import annotations

import numpy as np
import pytest

from img2mesh.artifacts import Cutout
from img2mesh.errors import InputError
from img2mesh.multiview import geometric
from img2mesh.multiview.geometric.choose import make_body


def revolution(profile, steps=96):
    """Closed surface of revolution about y from (k, 2) radius, height pairs, bottom to top."""
    profile = np.asarray(profile, float)
    angle = np.linspace(0, 2 * np.pi, steps, endpoint=False)
    ring = np.stack([np.sin(angle), np.zeros(steps), np.cos(angle)], axis=1)
    rows = profile[:, :1, None] * ring + profile[:, 1, None, None] * np.array([0, 1.0, 0])
    vertices = np.concatenate(
        [rows.reshape(-1, 3), [[0, profile[0, 1], 0], [0, profile[-1, 1], 0]]]
    )
    i = np.arange(steps)
    j = (i + 1) % steps
    faces = []
    for k in range(len(profile) - 1):
        a, b = k * steps, (k + 1) * steps
        faces += [np.stack([a + i, a + j, b + j], 1), np.stack([a + i, b + j, b + i], 1)]
    low, high = len(profile) * steps, len(profile) * steps + 1
    last = (len(profile) - 1) * steps
    faces += [np.stack([j, i, 0 * i + low], 1), np.stack([last + i, last + j, 0 * i + high], 1)]
    return vertices, np.concatenate(faces).astype(np.int32)


def box(size, azimuth_deg):
    """Upright box turned about y."""
    import trimesh

    mesh = trimesh.creation.box(extents=size)
    a = np.deg2rad(azimuth_deg)
    turn = np.array([[np.cos(a), 0, np.sin(a)], [0, 1, 0], [-np.sin(a), 0, np.cos(a)]])
    return np.asarray(mesh.vertices) @ turn.T, np.asarray(mesh.faces, np.int32)


def vase():
    heights = np.linspace(-0.78, 0.78, 60)
    radii = 0.4 + 0.12 * np.sin(2.2 * (heights + 0.4))
    return revolution(np.stack([radii, heights], axis=1))


def table():
    """A top on four legs, turned by 30 degrees."""
    import trimesh

    parts = [trimesh.creation.box(extents=(1.1, 0.14, 0.8)).apply_translation((0, 0.5, 0))]
    for x in (-0.46, 0.46):
        for z in (-0.31, 0.31):
            leg = trimesh.creation.box(extents=(0.14, 1.0, 0.14))
            parts.append(leg.apply_translation((x, 0.0, z)))
    mesh = trimesh.util.concatenate(parts)
    mesh.apply_transform(trimesh.transformations.rotation_matrix(np.deg2rad(30), (0, 1, 0)))
    return np.asarray(mesh.vertices), np.asarray(mesh.faces, np.int32)


def overlap(a, b):
    return float((a & b).sum() / (a | b).sum())


def iou_in_rig(cutout, silhouettes):
    views = geometric.generate(cutout, body="auto", parts="join", tile=160)
    return np.mean(
        [overlap(v.alpha > 0.5, s) for v, s in zip(views.views, silhouettes, strict=True)]
    )


@pytest.mark.parametrize("elevation", [4.0, 15.0, 28.0])
def test_a_vase_is_turned_and_its_elevation_found(photograph, six_silhouettes, elevation):
    shape = vase()
    cutout = photograph(*shape, elevation_deg=elevation)
    body = make_body(cutout, body="auto", parts="join")
    assert body.kind == "lathe"
    forward = body.camera.forward
    assert np.rad2deg(np.arcsin(-forward[1])) == pytest.approx(elevation, abs=3)
    assert iou_in_rig(cutout, six_silhouettes(*shape)) > 0.93


def test_a_handle_stands_beside_the_turned_body(photograph):
    import trimesh

    vertices, faces = vase()
    handle = trimesh.creation.torus(0.3, 0.06).apply_translation((0.5, 0, 0))
    both = np.concatenate([vertices, handle.vertices])
    cutout = photograph(
        both * 0.9, np.concatenate([faces, handle.faces + len(vertices)]), elevation_deg=10
    )
    body = make_body(cutout, body="auto", parts="join")
    assert body.kind == "lathe"
    reach = body.solid.vertices[:, 0]
    assert reach.max() > 1.35 * -reach.min()  # the handle sticks out on one side only


def test_a_turned_box_is_recognised_and_measured(photograph, six_silhouettes):
    size = np.array([0.9, 0.7, 0.6])
    shape = box(size, 35)
    cutout = photograph(*shape, elevation_deg=12)
    body = make_body(cutout, body="auto", parts="join")
    assert body.kind == "box"
    a = np.deg2rad(35)
    local = body.solid.vertices @ np.array(
        [[np.cos(a), 0, np.sin(a)], [0, 1, 0], [-np.sin(a), 0, np.cos(a)]]
    )
    assert np.ptp(local, axis=0) == pytest.approx(size, rel=0.15)
    assert iou_in_rig(cutout, six_silhouettes(*shape)) > 0.9


def test_a_table_is_carved_by_its_mirror_images(photograph, six_silhouettes):
    shape = table()
    cutout = photograph(*shape, elevation_deg=12)
    assert make_body(cutout, body="auto", parts="join").kind == "box"
    # Inflation, a flat card of a table, reaches .5.
    assert iou_in_rig(cutout, six_silhouettes(*shape)) > 0.75


def test_a_frontal_rectangle_shows_no_depth_and_is_no_box(photograph):
    cutout = photograph(*box((0.9, 1.2, 0.5), 0), elevation_deg=0)
    assert make_body(cutout, body="auto", parts="join").kind == "inflation"


def test_a_disc_becomes_ball_like(disc):
    body = make_body(disc, body="inflation", parts="join")
    wide, tall, deep = np.ptp(body.solid.vertices, axis=0)
    assert wide == pytest.approx(tall, rel=0.05)
    assert 0.7 < deep / wide < 1.1


def test_insisting_on_a_body_gives_it(disc):
    assert make_body(disc, body="box", parts="join").kind == "box"
    assert make_body(disc, body="lathe", parts="join").kind == "lathe"


def test_an_unknown_body_is_refused(disc):
    with pytest.raises(InputError, match=r"sphere.*auto"):
        make_body(disc, body="sphere", parts="join")


def outline_of_legs(size=256):
    """A slab on two legs one and a half pixels wide."""
    alpha = np.zeros((size, size), np.float32)
    alpha[40:90, 30:226] = 1
    alpha[90:220, 60:62] = alpha[90:220, 190:192] = 1
    return Cutout(np.full((size, size, 3), 0.5, np.float32), alpha)


def test_thin_legs_stay_on_and_get_some_thickness():
    body = make_body(outline_of_legs(), body="inflation", parts="join")
    vertices = body.solid.vertices
    assert np.ptp(vertices[:, 1]) > 0.95 * 180 / 128  # down to the ends of the legs
    shins = vertices[(vertices[:, 1] < -0.2) & (vertices[:, 1] > -0.5)]
    assert np.ptp(shins[:, 2]) > 1.9 / 64 * 196 / 128
    assert body.solid.dropped == 0


def test_two_parts_become_one_body_and_it_says_so():
    size = 256
    alpha = np.zeros((size, size), np.float32)
    alpha[60:180, 20:100] = alpha[80:190, 150:240] = 1
    body = make_body(
        Cutout(np.full((size, size, 3), 0.5, np.float32), alpha), body="auto", parts="join"
    )
    assert np.ptp(body.solid.vertices[:, 0]) > 0.95 * 220 / 128
    assert any("2 separate parts" in note for note in body.notes)


@pytest.mark.parametrize("kind", ["vase", "box", "table", "disc", "legs"])
def test_every_body_is_closed_and_in_one_piece(photograph, disc, kind):
    import trimesh

    cutout = {
        "vase": lambda: photograph(*vase(), elevation_deg=15),
        "box": lambda: photograph(*box((0.9, 0.7, 0.6), 35), elevation_deg=12),
        "table": lambda: photograph(*table(), elevation_deg=12),
        "disc": lambda: disc,
        "legs": outline_of_legs,
    }[kind]()
    solid = make_body(cutout, body="auto", parts="join").solid
    mesh = trimesh.Trimesh(solid.vertices, solid.faces, process=False)
    assert mesh.is_watertight and mesh.is_winding_consistent
    assert mesh.volume > 0
    assert mesh.body_count == 1
