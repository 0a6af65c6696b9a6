"""What a suite measures on: objects of a folder, each photographed once, with its true views.

Three layouts are told apart by their files: Google Scanned Objects (``NAME/meshes/model.obj``),
renders of ``img2mesh render --layout zero123plus`` (``NAME/000.png`` to ``006.png`` with
``cameras.json``), and plain folders of meshes with or without a ``manifest.csv``.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from img2mesh.artifacts import Cutout, ViewSet
from img2mesh.core.cameras import Camera
from img2mesh.core.rigs import RIGS
from img2mesh.errors import InputError
from img2mesh.io.read_mesh import Surface
from img2mesh.training.catalog import Entry, read_catalog
from img2mesh.training.photograph import photograph, soft_light
from img2mesh.training.prepare import read_surface
from img2mesh.training.renders import OBJECT_RADIUS, closer, turned
from img2mesh.training.views import Subject, cropped_camera

#: Side of the photograph in pixels, its field of view, and how far above it is taken.
PHOTO, PHOTO_FOV_DEG, ELEVATIONS_DEG = 384, 30.0, (0.0, 30.0)


@dataclass(frozen=True)
class Example:
    """One object to measure on.

    Attributes:
        name: as a file name.
        kind: its class.
        cutout: the photograph with its true alpha.
        truth: true views at given cameras.
        surface: the true mesh in the unit sphere, turned so that the photograph was taken from
            azimuth 0; None for renders.
        elevation_deg: of the photograph.
    """

    name: str
    kind: str
    cutout: Cutout
    truth: Callable[[tuple[Camera, ...]], ViewSet]
    surface: Surface | None
    elevation_deg: float


@dataclass(frozen=True)
class Source:
    """An example that is not loaded yet."""

    name: str
    kind: str
    open: Callable[[], Example]


def find_examples(
    folder: Path, *, split: str = "auto", limit: int | None = None, seed: int = 1
) -> list[Source]:
    """The examples of a folder, in an order that only depends on the seed.

    Args:
        folder: in one of the layouts of the module's docstring.
        split: ``train``, ``val`` or ``all``; ``auto`` = val where there is a manifest, else all.
        limit: examples at most, the first of the order.
        seed: of the order.

    Raises:
        InputError: nothing to measure on, or renders without the six views.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder: give one that holds meshes or renders")
    sources = _renders(folder) or _scanned(folder) or _meshes(folder, split)
    order = np.random.default_rng(seed).permutation(len(sources))
    return [sources[k] for k in order[:limit]]


def _meshes(folder: Path, split: str) -> list[Source]:
    entries = read_catalog(folder)
    if split == "auto":
        split = "val" if (folder / "manifest.csv").is_file() else "all"
    chosen = [e for e in entries if split in ("all", e.split)]
    if not chosen:
        raise InputError(f"{folder} holds no meshes of the split {split!r}")
    return [Source(e.name, e.kind, lambda e=e: photographed(e)) for e in chosen]  # type: ignore[misc]


def _scanned(folder: Path) -> list[Source]:
    files = sorted(folder.glob("*/meshes/model.obj"))
    entries = [Entry(f, f.relative_to(folder).as_posix(), kind="scanned") for f in files]
    return [
        Source(f.parts[-3], "scanned", lambda e=e, n=f.parts[-3]: photographed(e, name=n))  # type: ignore[misc]
        for e, f in zip(entries, files, strict=True)
    ]


def _renders(folder: Path) -> list[Source]:
    found = sorted(f.parent for f in folder.glob("*/000.png"))
    if not found:
        return []
    if not (found[0] / "cameras.json").is_file():
        raise InputError(
            f"{folder} holds renders from random sides; six views are needed to measure: "
            "img2mesh render --layout zero123plus makes them"
        )
    return [Source(f.name, "render", lambda f=f: rendered(f)) for f in found]  # type: ignore[misc]


def pose_of(entry: Entry) -> tuple[float, float]:
    """Azimuth and elevation in degrees from which a mesh is photographed; depends on its path."""
    rng = np.random.default_rng([7, entry.number])
    return float(rng.uniform(0, 360)), float(rng.uniform(*ELEVATIONS_DEG))


def photographed(
    entry: Entry, *, name: str | None = None, pose: tuple[float, float] | None = None
) -> Example:
    """Photograph a mesh from a side that depends on its path alone, or from a given one."""
    azimuth, elevation = pose_of(entry) if pose is None else pose
    subject = turned(read_surface(entry), azimuth)
    used = subject.surface.vertices[np.unique(subject.surface.faces)]
    camera = cropped_camera(used, 0.0, elevation, PHOTO_FOV_DEG, PHOTO)
    shot = photograph(subject, camera, soft_light)
    return Example(
        name or entry.name,
        entry.kind,
        Cutout(shot.rgb, shot.alpha),
        lambda cameras: true_views(subject, cameras),
        subject.surface,
        elevation,
    )


def true_views(subject: Subject, cameras: tuple[Camera, ...]) -> ViewSet:
    """The object as a rig's cameras see it in the light of its photograph."""
    radius = object_radius(cameras)
    shots = [photograph(subject, closer(camera, radius), soft_light) for camera in cameras]
    return ViewSet(
        np.stack([s.rgb for s in shots]),
        np.stack([s.alpha for s in shots]),
        cameras,
        depth=np.stack([s.depth for s in shots]) * np.float32(radius),
    )


def object_radius(cameras: tuple[Camera, ...]) -> float:
    """:data:`OBJECT_RADIUS` of the rig whose field of view these cameras have; else 1."""
    fov = float(np.rad2deg(2 * np.arctan(cameras[0].height / 2 / cameras[0].fy)))
    return next((r for n, r in OBJECT_RADIUS.items() if abs(RIGS[n].fov_deg - fov) < 0.1), 1.0)


def rendered(folder: Path) -> Example:
    """A render's photograph and six views; only generators of its own rig can be measured."""
    facts: dict[str, Any] = json.loads((folder / "cameras.json").read_text(encoding="utf-8"))
    pictures = [_rgba(folder / f"{k:03d}.png") for k in range(7)]
    own = RIGS[facts["rig"]]

    def truth(cameras: tuple[Camera, ...]) -> ViewSet:
        if not np.allclose(
            [c.world_from_camera for c in cameras],
            [c.world_from_camera for c in own.cameras(cameras[0].height)],
            atol=1e-3,
        ):
            raise InputError(f"{folder} was rendered for {own.name}, the generator draws another")
        stack = np.stack([_resized(p, cameras[0].height) for p in pictures[1:]])
        return ViewSet(stack[..., :3], stack[..., 3], cameras)

    first = pictures[0]
    return Example(
        folder.name,
        "render",
        Cutout(first[..., :3], first[..., 3]),
        truth,
        None,
        float(facts["input_elevation_deg"]),
    )


def _rgba(file: Path) -> NDArray[np.float32]:
    return np.asarray(Image.open(file).convert("RGBA"), np.float32) / np.float32(255)


def _resized(rgba: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    if rgba.shape[0] == size:
        return rgba
    import cv2

    solid = np.dstack([rgba[..., :3] * rgba[..., 3:], rgba[..., 3]])
    small = cv2.resize(solid, (size, size), interpolation=cv2.INTER_AREA)
    colour = small[..., :3] / np.maximum(small[..., 3:], 1e-6)
    return np.clip(np.dstack([colour, small[..., 3]]), 0, 1).astype(np.float32)
