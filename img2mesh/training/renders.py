"""Training renders in the field's own layouts: one mesh -> a folder of pictures and cameras.

``zero123`` (Zero-1-to-3, arXiv 2303.11328, its public renders): views from random directions at a
random distance, 49.13 degrees, one area light an object. ``NNN.png`` is RGBA, ``NNN.npy`` the
(3, 4) world-to-camera matrix, z up, the longest side of the object's box 1.

``zero123plus`` (Zero123++, arXiv 2310.15110): ``000.png`` is the condition from a random side,
``001`` to ``006`` are the rig's views with azimuths relative to it; a random environment an object.
``NNN_depth.png`` is 16-bit linear depth, 0 at the nearest and 65535 at the farthest visible point
of the view; ``NNN_normal.png`` are camera-space normals ``n / 2 + 1 / 2`` (x right, y up, z towards
the viewer) over grey. ``cameras.json`` has poses (this program's world, +y up) and depth ranges.

A folder that is there is whole: it is written aside and renamed.
"""

from __future__ import annotations

import json
import shutil
import zlib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from img2mesh.core.arrays import F64
from img2mesh.core.cameras import Camera, look_at
from img2mesh.core.rigs import rig
from img2mesh.errors import InputError
from img2mesh.io.read_mesh import Surface
from img2mesh.multiview.learned.frustum import FILL
from img2mesh.training.catalog import Entry
from img2mesh.training.environments import procedural_probe
from img2mesh.training.light import read_probes
from img2mesh.training.photograph import Light, Shot, area_light, environment_light, photograph
from img2mesh.training.prepare import read_surface
from img2mesh.training.views import Subject, cropped_camera

LAYOUTS = ("zero123", "zero123plus")
#: Zero-1-to-3's camera: 35 mm lens on a 32 mm sensor, distances, and its lamp's ranges.
FOV_DEG, DISTANCES, ENERGIES = float(np.rad2deg(2 * np.arctan(16 / 35))), (1.5, 2.2), (300, 600)
#: Zero123++'s condition: elevation, field of view, and the object's longest side in the frame.
INPUT_ELEVATIONS, INPUT_FOVS, INPUT_FILLS = (-20.0, 45.0), (20.0, 50.0), (0.7, 0.95)
#: Rows: this program's +y-up axes in the z-up world of the field (front +z -> +x).
Z_UP = np.array([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
#: Radius of the sphere around the object in the world of a rig's cameras. v1.2: the published
#: training put a sphere of radius .5 at distance .5 / tan 15 (zero123plus issue 73); here the
#: cameras stand at 4.
OBJECT_RADIUS = {"zero123plus-v1.1": 1.0, "zero123plus-v1.2": 4.0 * float(np.tan(np.deg2rad(15)))}
CAMERAS = "cameras.json"


@dataclass(frozen=True)
class Recipe:
    """What every object of a data set has in common.

    Attributes:
        layout: ``zero123`` or ``zero123plus``.
        size: side of a picture in pixels.
        views: random views an object (``zero123``).
        rig: cameras (``zero123plus``).
        hdri: folder of light probes (``.hdr``); None draws environments at random.
        samples: rays along the side of a pixel.
        seed: decides every chance, with the mesh's path.

    Raises:
        InputError: an unknown layout or rig, or a number out of range.
    """

    layout: str
    size: int
    views: int = 12
    rig: str = "zero123plus-v1.1"
    hdri: str | None = None
    samples: int = 2
    seed: int = 0

    def __post_init__(self) -> None:
        if self.layout not in LAYOUTS:
            raise InputError(f"unknown layout {self.layout!r}; choose from {', '.join(LAYOUTS)}")
        if self.rig not in OBJECT_RADIUS:
            raise InputError(f"unknown rig {self.rig!r}; choose from {', '.join(OBJECT_RADIUS)}")
        if not (16 <= self.size <= 4096 and 1 <= self.views <= 999 and 1 <= self.samples <= 8):
            raise InputError(
                f"renders need 16 to 4096 pixels, 1 to 999 views and 1 to 8 samples, got "
                f"{self.size}, {self.views} and {self.samples}"
            )


def render(entry: Entry, folder: Path, recipe: Recipe) -> dict[str, Any]:
    """Draw one mesh into ``folder``, unless it is there.

    Returns:
        How many pictures were drawn.

    Raises:
        InputError: the mesh cannot be read, or nothing of it can be seen.
    """
    if folder.is_dir():
        return {"pictures": 0}
    surface = read_surface(entry, seed=recipe.seed)
    rng = np.random.default_rng([recipe.seed, entry.number])
    aside = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    draw = _zero123 if recipe.layout == "zero123" else _zero123plus
    count = draw(surface, aside, recipe, rng)
    aside.rename(folder)
    return {"pictures": count}


def work(payload: Mapping[str, Any], report: Callable[[str, float], None]) -> dict[str, Any]:
    """A worker's task: ``entry``, ``folder`` and ``recipe`` as JSON; see :func:`render`."""
    known = {**payload["entry"], "file": Path(payload["entry"]["file"])}
    return render(Entry(**known), Path(payload["folder"]), Recipe(**payload["recipe"]))


def payload(entry: Entry, folder: Path, recipe: Recipe) -> dict[str, Any]:
    """The task of :func:`work`."""
    known = {f.name: getattr(entry, f.name) for f in fields(entry)}
    return {
        "entry": {**known, "file": str(entry.file.absolute())},
        "folder": str(folder.absolute()),
        "recipe": asdict(recipe),
    }


def _zero123(surface: Surface, out: Path, recipe: Recipe, rng: np.random.Generator) -> int:
    subject = turned(surface, 0.0)
    used = subject.surface.vertices[np.unique(subject.surface.faces)]
    unit = 1 / float(np.ptp(used, axis=0).max())  # the longest side becomes 1
    # The lamp is given in the field's z-up world, where the object's box has side 1.
    lamp = np.array([*rng.uniform(-1, 1, 2), rng.uniform(0.5, 1.5)]) @ Z_UP
    light = area_light(lamp / unit, float(rng.uniform(*ENERGIES)), unit=unit)
    for k in range(recipe.views):
        away = rng.uniform(-1, 1, 3)
        distance = float(rng.uniform(*DISTANCES))
        position = away / np.linalg.norm(away) * distance / unit
        camera = Camera.from_fov(
            look_at(position, np.zeros(3)), fov_deg=FOV_DEG, width=recipe.size, height=recipe.size
        )
        shot = photograph(subject, camera, light, samples=recipe.samples)
        _save_rgba(out / f"{k:03d}.png", shot)
        np.save(out / f"{k:03d}.npy", z_up_matrix(camera, unit), allow_pickle=False)
    return recipe.views


def z_up_matrix(camera: Camera, unit: float) -> F64:
    """(3, 4) world-to-camera [R | t] of the field: z up, lengths times ``unit``."""
    pose = camera.world_from_camera
    rotation, centre = Z_UP @ pose[:3, :3], Z_UP @ pose[:3, 3] * unit
    return np.concatenate([rotation.T, (-rotation.T @ centre)[:, None]], axis=1)


def _zero123plus(surface: Surface, out: Path, recipe: Recipe, rng: np.random.Generator) -> int:
    azimuth = float(rng.uniform(0, 360))
    elevation, fov = float(rng.uniform(*INPUT_ELEVATIONS)), float(rng.uniform(*INPUT_FOVS))
    subject = turned(surface, azimuth)
    used = subject.surface.vertices[np.unique(subject.surface.faces)]
    first = cropped_camera(used, 0.0, elevation, fov, recipe.size)
    first = _zoomed(first, float(rng.uniform(*INPUT_FILLS)) / FILL)
    light = _environment(recipe, rng)
    radius = OBJECT_RADIUS[recipe.rig]
    cameras = (first, *(closer(c, radius) for c in rig(recipe.rig).cameras(recipe.size)))
    facts = []
    for k, camera in enumerate(cameras):
        shot = photograph(subject, camera, light, samples=recipe.samples)
        seen = shot.alpha > 0
        if not seen.any():
            raise InputError("nothing of the mesh can be seen")
        scale = radius if k else 1.0
        near, far = (float(f(shot.depth[seen])) * scale for f in (np.min, np.max))
        _save_rgba(out / f"{k:03d}.png", shot)
        _save_depth(out / f"{k:03d}_depth.png", shot)
        _save_normal(out / f"{k:03d}_normal.png", shot)
        pose = camera.world_from_camera.copy()
        pose[:3, 3] *= scale
        facts.append({"file": f"{k:03d}.png", "near": near, "far": far,
                      "fov": float(np.rad2deg(2 * np.arctan(camera.height / 2 / camera.fy))),
                      "transform_matrix": pose.tolist()})  # fmt: skip
    content = {
        "rig": recipe.rig,
        "object_radius": radius,
        "input_azimuth_deg": azimuth,
        "input_elevation_deg": elevation,
        "input": facts[:1],
        "views": facts[1:],
    }
    (out / CAMERAS).write_text(json.dumps(content, indent=1), encoding="utf-8")
    return len(cameras)


def turned(surface: Surface, azimuth_deg: float) -> Subject:
    """A mesh of the unit sphere, turned so that a photograph from that azimuth is one from 0."""
    a = np.deg2rad(azimuth_deg)
    turn = np.array([[np.cos(a), 0, -np.sin(a)], [0, 1, 0], [np.sin(a), 0, np.cos(a)]])
    surface = replace(surface, vertices=surface.vertices @ turn.T)
    return Subject.of(surface, np.zeros((1, 1, 1), bool))  # nobody asks what is inside


def closer(camera: Camera, radius: float) -> Camera:
    """A camera that sees the unit sphere as the given one sees a sphere of that radius."""
    pose = camera.world_from_camera.copy()
    pose[:3, 3] /= radius
    return replace(camera, world_from_camera=pose)


def _zoomed(camera: Camera, factor: float) -> Camera:
    half = camera.width / 2
    return replace(
        camera,
        fx=camera.fx * factor,
        fy=camera.fy * factor,
        cx=half + (camera.cx - half) * factor,
        cy=half + (camera.cy - half) * factor,
    )


def _environment(recipe: Recipe, rng: np.random.Generator) -> Light:
    probes = _probes(recipe.hdri)
    chosen = probes[rng.integers(len(probes))] if len(probes) else procedural_probe(rng)
    return environment_light(
        chosen, gain=float(rng.uniform(0.7, 1.1)), turn_deg=float(rng.uniform(0, 360))
    )


@lru_cache(maxsize=4)
def _probes(folder: str | None) -> NDArray[np.float32]:
    if folder is None:
        return np.zeros((0, 9, 3), np.float32)
    found = read_probes(Path(folder)).numpy()
    if not len(found):
        raise InputError(f"{folder} holds no light probes (.hdr)")
    return found


def _save_rgba(file: Path, shot: Shot) -> None:
    rgba = np.dstack([shot.rgb, shot.alpha])
    _save(file, np.rint(np.clip(rgba, 0, 1) * 255).astype(np.uint8))


def _save_depth(file: Path, shot: Shot) -> None:
    seen = shot.alpha > 0
    near, far = shot.depth[seen].min(), shot.depth[seen].max()
    value = np.where(seen, (shot.depth - near) / (far - near + 1e-9), 0)
    _save(file, np.rint(value * 65535).astype(np.uint16))


def _save_normal(file: Path, shot: Shot) -> None:
    value = np.where(shot.alpha[..., None] > 0, shot.normal / 2 + 0.5, 127 / 255)
    _save(file, np.rint(np.clip(value, 0, 1) * 255).astype(np.uint8))


def _save(file: Path, pixels: NDArray[Any]) -> None:
    # Runs of equal bytes alone: smaller and faster here than looking for longer matches.
    Image.fromarray(pixels).save(file, compress_level=1, compress_type=zlib.Z_RLE)
