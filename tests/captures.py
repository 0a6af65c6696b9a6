"""Captures as other tools write them: one box before known cameras, in any layout and world."""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from img2mesh.artifacts import ViewSet
from img2mesh.core.cameras import Camera
from img2mesh.core.rigs import rig
from img2mesh.geometry.raycast import Scene

SIZE = 64
#: World turns: what takes our +y up to another world's up; one exact permutation each.
Z_UP = np.array([[1, 0, 0, 0], [0, 0, -1, 0], [0, 1, 0, 0], [0, 0, 0, 1.0]])
Y_DOWN = np.diag([1.0, -1, -1, 1])
X_UP = np.array([[0, 1, 0, 0], [-1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])


def box() -> tuple[np.ndarray, np.ndarray]:
    """A tall box of 0.5 x 1.1 x 0.7 turned about y, off the origin: vertices and faces."""
    corners = np.array(
        [[x, y, z] for x in (-0.25, 0.25) for y in (-0.5, 0.6) for z in (-0.35, 0.35)]
    )
    c, s = np.cos(0.5), np.sin(0.5)
    turned = corners @ np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]]).T + [0.05, 0.0, -0.05]
    quads = [[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4], [1, 5, 7, 3]]
    return turned, np.array([t for a, b, c, d in quads for t in ([a, b, c], [a, c, d])])


def cameras(world: np.ndarray | None = None, scale: float = 1.0) -> tuple[Camera, ...]:
    """The six cameras of a known rig, in another world and unit."""
    move = np.eye(4) if world is None else world.copy()
    move[:3] *= scale
    return tuple(c.moved(move, scale=scale) for c in rig("zero123plus-v1.2").cameras(SIZE))


@cache
def _straight() -> tuple[dict[str, Any], ...]:
    """The box itself by straight lenses, drawn once; nobody may write on it."""
    drawn = _drawn({}, box()[0])
    for one in drawn:
        for values in one.values():
            values.setflags(write=False)
    return tuple(drawn)


def pixels(terms: dict[str, float] | None = None, vertices: Any = None) -> list[dict[str, Any]]:
    """RGBA and z-depth of the box by a rig's cameras, perhaps through a bent lens.

    The bent picture is drawn by casting each pixel's own ray: found by fixed-point iteration, which
    is independent of how the package goes the other way.
    """
    if not terms and vertices is None:
        return list(_straight())
    return _drawn(terms or {}, box()[0] if vertices is None else vertices)


def _drawn(terms: dict[str, float], vertices: Any) -> list[dict[str, Any]]:
    scene = Scene(vertices, box()[1])
    drawn = []
    for camera in cameras():
        v, u = np.mgrid[: camera.height, : camera.width] + 0.5
        x1, y1 = (u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy
        x, y = x1.copy(), y1.copy()
        t = {"k1": 0.0, "k2": 0.0, "p1": 0.0, "p2": 0.0, **terms}
        for _ in range(50):
            r2 = x * x + y * y
            radial = 1 + t["k1"] * r2 + t["k2"] * r2**2
            x, y = (
                (x1 - 2 * t["p1"] * x * y - t["p2"] * (r2 + 2 * x * x)) / radial,
                (y1 - t["p1"] * (r2 + 2 * y * y) - 2 * t["p2"] * x * y) / radial,
            )
        local = np.stack([x, -y, -np.ones_like(x)], axis=-1)
        rays = local @ camera.world_from_camera[:3, :3].T
        length = np.linalg.norm(rays, axis=-1)
        origins = np.broadcast_to(camera.origin, rays.shape)
        reach, face = scene.cast(origins.reshape(-1, 3), (rays / length[..., None]).reshape(-1, 3))
        hit = np.isfinite(reach).reshape(x.shape) & (face.reshape(x.shape) >= 0)
        rgba = np.zeros((*x.shape, 4), np.uint8)
        rgba[hit, :3] = 60 + 15 * face.reshape(x.shape)[hit][:, None] % 190
        rgba[hit, 3] = 255
        depth = np.where(hit, reach.reshape(x.shape) / length, np.nan)
        drawn.append({"rgba": rgba, "depth": depth})
    return drawn


def numbers(camera: Camera) -> dict[str, float]:
    """Intrinsics in the words of transforms.json."""
    return {
        "fl_x": camera.fx, "fl_y": camera.fy, "cx": camera.cx, "cy": camera.cy,
        "w": camera.width, "h": camera.height,
    }  # fmt: skip


def write_pictures(folder: Path, drawn: Sequence[dict[str, Any]], sub: str = "images") -> list[str]:
    (folder / sub).mkdir(parents=True, exist_ok=True)
    names = [f"frame_{k:03}.png" for k in range(len(drawn))]
    for name, one in zip(names, drawn, strict=True):
        Image.fromarray(one["rgba"]).save(folder / sub / name)
    return names


def nerfstudio(
    folder: Path,
    drawn: Sequence[dict[str, Any]] | None = None,
    posed: Sequence[Camera] | None = None,
    *,
    depth: Sequence[np.ndarray] | None = None,
    **more: Any,
) -> Path:
    """A nerfstudio folder; ``depth`` are arrays of stored 16-bit numbers."""
    drawn, posed = drawn or pixels(), posed or cameras()
    frames = [
        {"file_path": f"images/{name}", "transform_matrix": camera.world_from_camera.tolist()}
        for name, camera in zip(write_pictures(folder, drawn), posed, strict=True)
    ]
    for k, stored in enumerate(() if depth is None else depth):
        Image.fromarray(stored).save(folder / f"depth_{k}.png")
        frames[k]["depth_file_path"] = f"depth_{k}.png"
    content = {**numbers(posed[0]), **more, "frames": frames}
    (folder / "transforms.json").write_text(json.dumps(content))
    return folder


def colmap(
    folder: Path,
    drawn: Any = None,
    posed: Sequence[Camera] | None = None,
    *,
    binary: bool,
    terms: dict[str, float] | None = None,
) -> Path:
    """A COLMAP capture: images/ and sparse/0, PINHOLE or OPENCV."""
    drawn, posed = drawn or pixels(terms), posed or cameras()
    names = write_pictures(folder, drawn)
    home = folder / "sparse" / "0"
    home.mkdir(parents=True)
    c = posed[0]
    values = [c.fx, c.fy, c.cx, c.cy]
    model = "PINHOLE"
    if terms is not None:
        values += [terms.get(k, 0.0) for k in ("k1", "k2", "p1", "p2")]
        model = "OPENCV"
    poses = []
    for k, (name, camera) in enumerate(zip(names, posed, strict=True), 1):
        rotation = (camera.world_from_camera[:3, :3] * [1, -1, -1]).T
        x, y, z, w = _quaternion(rotation)
        poses.append((k, [w, x, y, z, *(-rotation @ camera.origin)], name))
    if not binary:
        text = " ".join(repr(float(v)) for v in values)
        (home / "cameras.txt").write_text(f"# a comment\n7 {model} {c.width} {c.height} {text}\n")
        lines = ["# IMAGE_ID QW QX QY QZ TX TY TZ CAMERA_ID NAME"]
        for k, pose, name in poses:
            lines += [
                f"{k} {' '.join(repr(float(v)) for v in pose)} 7 {name}",
                "1.0 2.0 -1" * (k % 2),
            ]
        (home / "images.txt").write_text("\n".join(lines) + "\n")
        return folder
    record = struct.pack("<QiiQQ", 1, 7, 1 if terms is None else 4, c.width, c.height)
    (home / "cameras.bin").write_bytes(record + struct.pack(f"<{len(values)}d", *values))
    blob = struct.pack("<Q", len(poses))
    for k, pose, name in poses:
        blob += struct.pack("<i7di", k, *pose, 7) + name.encode() + b"\0"
        blob += struct.pack("<Q", k) + b"\1" * 24 * k
    (home / "images.bin").write_bytes(blob)
    return folder


def _quaternion(rotation: np.ndarray) -> np.ndarray:
    from scipy.spatial.transform import Rotation

    return Rotation.from_matrix(rotation).as_quat()


def same_views(one: ViewSet, other: ViewSet, *, least: float = 1.0) -> None:
    """The same cameras, and outlines of at least this intersection over union."""
    for a, b in zip(one.cameras, other.cameras, strict=True):
        assert np.allclose(a.world_from_camera, b.world_from_camera, atol=1e-9)
        assert np.allclose([a.fx, a.fy, a.cx, a.cy], [b.fx, b.fy, b.cx, b.cy])
    first, second = one.alpha > 0.5, other.alpha > 0.5
    iou = (first & second).sum((1, 2)) / (first | second).sum((1, 2))
    assert iou.min() >= least, iou
