"""Random solids beside the meshes: plain shapes and mirrored assemblies that no file holds.

Every shape follows from its number alone. Parts may overlap: :func:`img2mesh.training.solid.solid`
does not mind. They teach what meshes alone are too few for: legs in pairs, boards, turned and
extruded things, at any proportion.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from img2mesh.core.arrays import F64
from img2mesh.io.read_mesh import Paint, Surface
from img2mesh.training.catalog import Entry

#: Corners around a round part.
_SECTIONS = 24


def procedural_entries(count: int) -> tuple[Entry, ...]:
    """Entries of the first ``count`` shapes, all of the split ``train``."""
    return tuple(
        Entry(
            Path(),
            f"procedural/{kind}/{number:06d}",
            kind=f"procedural {kind}",
            source="procedural",
            licence="CC0-1.0",
            author="img2mesh",
            procedural=True,
        )
        for number in range(count)
        for kind in (tuple(_KINDS)[number % len(_KINDS)],)
    )


def procedural_surface(entry: Entry) -> Surface:
    """The triangles of an entry of :func:`procedural_entries`, y up, parts in random colours."""
    rng = np.random.default_rng(entry.number)
    parts = _KINDS[entry.path.split("/")[1]](rng)
    few = rng.uniform(0.02, 0.9, (int(rng.integers(1, 5)), 3))
    vertices, faces, colour, start = [], [], [], 0
    for part in parts:
        vertices.append(np.asarray(part.vertices, np.float64))
        faces.append(np.asarray(part.faces, np.int32) + start)
        shade = few[int(rng.integers(len(few)))] * rng.uniform(0.8, 1.1)
        colour.append(np.broadcast_to(np.clip(shade, 0, 1), part.vertices.shape))
        start += len(part.vertices)
    points, triangles = np.concatenate(vertices), np.concatenate(faces)
    return Surface(
        points,
        triangles.astype(np.int32),
        np.zeros((len(points), 2), np.float32),
        np.concatenate(colour).astype(np.float32),
        np.zeros(len(triangles), np.int32),
        (Paint(np.ones(3, np.float32)),),
    )


def _at(x: float, y: float, z: float) -> F64:
    return np.array([x, y, z], np.float64)


def _placed(mesh: Any, scale: object, at: object) -> Any:
    mesh.apply_scale(scale)
    mesh.apply_translation(at)
    return mesh


def _box(size: object, at: object) -> Any:
    from trimesh.creation import box

    return _placed(box(), size, at)


def _ball(size: object, at: object) -> Any:
    from trimesh.creation import icosphere

    return _placed(icosphere(subdivisions=2, radius=0.5), size, at)


def _rod(start: F64, end: F64, radius: float) -> Any:
    from trimesh.creation import cylinder

    return cylinder(radius, segment=[start, end], sections=_SECTIONS // 2)


def _turned(rng: np.random.Generator, height: float, radius: float) -> Any:
    """A random profile turned about y, closed at both ends, foot at y = 0."""
    from trimesh.creation import revolve

    knots = int(rng.integers(3, 8))
    at = np.sort(rng.uniform(0, 1, knots))
    at[0], at[-1] = 0, 1
    width = rng.uniform(0.25, 1, knots)
    if rng.random() < 0.5:  # soft
        fine = np.linspace(0, 1, 24)
        width, at = np.interp(fine, at, width), fine
        width = np.convolve(np.pad(width, 3, mode="edge"), np.ones(7) / 7, "valid")
    width = width / width.max() * radius
    line = np.column_stack([np.r_[0, width, 0], np.r_[0, at, 1] * height])
    turned = revolve(line, sections=_SECTIONS)
    turned.vertices = turned.vertices[:, [0, 2, 1]]  # z up to y up
    turned.invert()
    return turned


def _plate(rng: np.random.Generator) -> Any:
    """A random star-shaped outline in the plane z = 0, extruded."""
    import trimesh

    corners = int(rng.integers(3, 17))
    radius = rng.uniform(0.3, 1, corners) if rng.random() < 0.7 else np.ones(corners)
    if rng.random() < 0.6:  # mirrored
        radius = (radius + radius[::-1]) / 2
    if rng.random() < 0.4:  # round
        angle = np.linspace(0, 2 * np.pi, 49)[:-1]
        radius = np.interp(angle, np.linspace(0, 2 * np.pi, corners + 1), np.r_[radius, radius[0]])
    n = len(radius)
    angle = (np.arange(n) + 0.5) * 2 * np.pi / n
    outline = np.column_stack([np.cos(angle), np.sin(angle) * rng.uniform(0.4, 1.2)])
    outline *= radius[:, None]
    half = float(np.exp(rng.uniform(np.log(0.025), np.log(0.75))))
    rings = [np.column_stack([outline, np.full(n, z)]) for z in (-half, half)]
    points = np.concatenate([*rings, [[0, 0, -half], [0, 0, half]]])
    here, after = np.arange(n), (np.arange(n) + 1) % n
    faces = np.concatenate(
        [
            np.column_stack([here, after, after + n]),
            np.column_stack([here, after + n, here + n]),
            np.column_stack([after, here, np.full(n, 2 * n)]),
            np.column_stack([here + n, after + n, np.full(n, 2 * n + 1)]),
        ]
    )
    return trimesh.Trimesh(points, faces, process=False)


def _mirrored(parts: list[Any]) -> list[Any]:
    """The parts and their mirror images in x = 0."""
    images = []
    for part in parts:
        image = part.copy()
        image.vertices = image.vertices * [-1, 1, 1]
        image.invert()
        images.append(image)
    return parts + images


def _creature(rng: np.random.Generator) -> list[Any]:
    """A body on pairs of legs, with a head and perhaps ears, tail, wings, arms."""
    long, tall, wide = rng.uniform(0.5, 1.4), rng.uniform(0.25, 0.6), rng.uniform(0.2, 0.5)
    legs = int(rng.choice([1, 2, 2, 3]))
    reach, thick = rng.uniform(0.25, 1.0), rng.uniform(0.03, 0.12)
    shape = _ball if rng.random() < 0.75 else _box
    middle = np.array([0.0, reach + tall / 2, 0.0])
    if legs == 1:
        long, tall = wide * rng.uniform(0.6, 1.2), rng.uniform(0.5, 0.9)
        middle[1] = reach + tall / 2
    parts = [shape((wide, tall, long), middle)]
    pairs = []
    for z in np.linspace(-0.38, 0.38, legs) * long if legs > 1 else [0.0]:
        foot = np.array([wide * rng.uniform(0.25, 0.6), 0, z + rng.uniform(-0.1, 0.1)])
        pairs.append(_rod(np.array([wide * 0.28, middle[1], z]), foot, thick))
        if rng.random() < 0.4:
            pairs.append(_ball((2.4 * thick, 1.6 * thick, 3.5 * thick), foot))
    head = np.array([0, middle[1] + tall * rng.uniform(0.2, 1.1), long * rng.uniform(0.4, 0.7)])
    if legs == 1:
        head = np.array([0, middle[1] + tall * rng.uniform(0.55, 0.75), 0])
        spread = np.array([wide * rng.uniform(0.6, 1.6), middle[1] + rng.uniform(-0.3, 0.4), 0])
        spread[2] = rng.uniform(-0.1, 0.4)
        pairs.append(_rod(np.array([wide * 0.3, middle[1] + tall * 0.3, 0]), spread, thick * 0.8))
    size = rng.uniform(0.2, 0.5)
    parts.append(_rod(middle + _at(0, 0, long * 0.35 * (legs > 1)), head, thick * 1.5))
    parts.append(_ball((size, size, size * rng.uniform(0.8, 1.7)), head))
    if rng.random() < 0.6:
        pairs.append(
            _ball((0.08, size * rng.uniform(0.4, 1), 0.06), head + _at(size / 3, size / 2, 0))
        )
    if legs > 1 and rng.random() < 0.6:
        start = middle - _at(0, 0, long * 0.4)
        parts.append(_rod(start, start + rng.uniform([0, -0.4, -0.6], [0, 0.5, -0.1]), thick * 0.7))
    if rng.random() < 0.15:
        wing = (rng.uniform(0.4, 1.2), 0.04, long * 0.5)
        pairs.append(_box(wing, middle + _at(wide * 0.8, 0.1, 0)))
    return parts + _mirrored(pairs)


def _furniture(rng: np.random.Generator) -> list[Any]:
    """A board on legs or sides, perhaps with a back, arms and shelves."""
    wide, deep, tall = rng.uniform(0.5, 1.8), rng.uniform(0.4, 1.2), rng.uniform(0.3, 1.2)
    board, leg = rng.uniform(0.03, 0.2), rng.uniform(0.03, 0.12)
    parts = [_box((wide, board, deep), (0, tall, 0))]
    pairs = []
    style = rng.random()
    if style < 0.65:
        for z in (-0.5, 0.5):
            x, at = wide / 2 - leg, z * (deep - 2 * leg)
            pairs.append(_box((leg, tall, leg), (x, tall / 2, at)))
    elif style < 0.85:
        pairs.append(_box((leg, tall, deep), (wide / 2 - leg / 2, tall / 2, 0)))
        heights = np.linspace(0.1, 0.9, int(rng.integers(0, 4))) * tall
        parts += [_box((wide, 0.04, deep), (0, y, 0)) for y in heights]
        if rng.random() < 0.6:
            parts.append(_box((wide, tall, 0.04), (0, tall / 2, -deep / 2)))
    else:
        parts.append(_turned(rng, tall, min(wide, deep) * rng.uniform(0.1, 0.4)))
    if rng.random() < 0.45:
        back = rng.uniform(0.3, 1.0)
        parts.append(_box((wide, back, board), (0, tall + back / 2, -deep / 2 + board / 2)))
    if rng.random() < 0.2:
        pairs.append(_box((leg * 1.5, 0.25, deep), (wide / 2, tall + 0.125, 0)))
    return parts + _mirrored(pairs)


def _vehicle(rng: np.random.Generator) -> list[Any]:
    """A long body with a smaller one on it and wheels or wings in pairs."""
    from trimesh.creation import cylinder

    wide, tall, long = rng.uniform(0.4, 0.8), rng.uniform(0.2, 0.6), rng.uniform(0.9, 2.2)
    wheel = rng.uniform(0.1, 0.25)
    parts = [(_box if rng.random() < 0.7 else _ball)((wide, tall, long), (0, wheel + tall / 2, 0))]
    size = (wide * rng.uniform(0.6, 1), rng.uniform(0.15, 0.5), long * rng.uniform(0.2, 0.7))
    at = (0, wheel + tall + size[1] / 2 - 0.03, long * rng.uniform(-0.25, 0.25))
    parts.append((_box if rng.random() < 0.6 else _ball)(size, at))
    pairs = []
    if rng.random() < 0.75:
        for z in np.linspace(-0.35, 0.35, int(rng.integers(2, 4))) * long:
            turn = cylinder(wheel, rng.uniform(0.06, 0.2), sections=_SECTIONS)
            turn.vertices = turn.vertices[:, [2, 0, 1]]
            pairs.append(_placed(turn, 1.0, (wide / 2, wheel, z)))
    else:
        span = rng.uniform(0.4, 1.4)
        pairs.append(
            _box((span, 0.05, long * rng.uniform(0.15, 0.4)), (span / 2, wheel + tall / 2, 0))
        )
        parts.append(_box((0.05, 0.4, 0.25), (0, wheel + tall + 0.15, -long * 0.42)))
    return parts + _mirrored(pairs)


def _pile(rng: np.random.Generator) -> list[Any]:
    """A few plain bodies that touch, stacked or side by side, often mirrored."""
    parts: list[Any] = []
    at = np.zeros(3)
    for _ in range(int(rng.integers(1, 6))):
        size = np.exp(rng.uniform(np.log(0.12), np.log(1.0), 3))
        kind = rng.random()
        if kind < 0.45:
            part = _box(size, at)
        elif kind < 0.7:
            part = _ball(size, at)
        else:
            part = _placed(_turned(rng, size[1], size[0] / 2), 1.0, at - _at(0, size[1] / 2, 0))
        if rng.random() < 0.2:
            from trimesh.transformations import random_rotation_matrix

            turn = random_rotation_matrix(rng.random(3))
            part.vertices = (part.vertices - at) @ turn[:3, :3].T + at
        parts.append(part)
        axis = int(rng.choice([0, 1, 1, 1, 2]))
        at = at.copy()
        at[axis] += size[axis] * rng.uniform(0.4, 0.7) * (1 if axis == 1 else rng.choice([-1, 1]))
    return _mirrored(parts) if rng.random() < 0.5 else parts


def _vessel(rng: np.random.Generator) -> list[Any]:
    """A turned body, perhaps with a handle, a spout or a lid's knob."""
    tall, radius = rng.uniform(0.4, 2.0), rng.uniform(0.25, 0.7)
    parts = [_turned(rng, tall, radius)]
    if rng.random() < 0.4:
        ring = np.linspace(-0.5, 0.5, 8) * np.pi
        side = radius * 0.75 + np.cos(ring) * rng.uniform(0.15, 0.45)
        up = tall * (0.5 + 0.3 * np.sin(ring))
        points = np.column_stack([side, up, np.zeros(8)])
        thick = rng.uniform(0.03, 0.08)
        parts += [_rod(a, b, thick) for a, b in pairwise(points)]
    if rng.random() < 0.3:
        start = np.array([-radius * 0.5, tall * 0.4, 0])
        parts.append(_rod(start, start + _at(-radius, tall * 0.35, 0), rng.uniform(0.04, 0.09)))
    return parts


def _board(rng: np.random.Generator) -> list[Any]:
    """An extruded outline, standing or lying."""
    plate = _plate(rng)
    if rng.random() < 0.5:
        plate.vertices = plate.vertices[:, [0, 2, 1]]
        plate.invert()
    return [plate]


_KINDS: dict[str, Callable[[np.random.Generator], list[Any]]] = {
    "creature": _creature,
    "furniture": _furniture,
    "vehicle": _vehicle,
    "pile": _pile,
    "vessel": _vessel,
    "board": _board,
}
