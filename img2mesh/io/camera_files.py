"""Camera files as tools write them: ``transforms.json`` (nerfstudio, Instant-NGP),
``transforms_train.json`` (Blender NeRF), ``cameras.json``, COLMAP's ``cameras`` and ``images``, and
Polycam's ``keyframes``.

All end as :class:`Record`: which picture, its camera, and the depth, normal and mask beside it.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from img2mesh.core.cameras import Camera
from img2mesh.errors import InputError
from img2mesh.io import colmap, polycam
from img2mesh.io.lenses import Lens
from img2mesh.io.moved_files import existing, located, path_of

#: OpenCV lens terms a pinhole camera has not; they are undone (:mod:`img2mesh.io.lenses`).
_DISTORTION = ("k1", "k2", "k3", "k4", "p1", "p2")
#: Terms of richer models (OpenCV's rational and thin prism ones, Metashape's), which are not.
_RICHER = ("k5", "k6", "b1", "b2", "s1", "s2", "s3", "s4")
#: Pixels, degrees, radians and depth scales lie between these; a focal length is at least this
#: share of the side of its picture.
_LEAST, _MOST, _WIDEST = 1e-9, 1e9, 0.02
#: nerfstudio's default for 16-bit depth pictures: millimetres.
_NERFSTUDIO_DEPTH_SCALE = 1000.0


@dataclass(frozen=True)
class Record:
    """One picture of a camera file.

    Attributes:
        name: as the camera file writes it; for messages.
        file: the picture.
        numbers: the record's entries over the file's global ones: intrinsics and matrix.
        mask, depth, normal: pictures beside it, or None.
        depth_scale: stored depth value of one world unit.
    """

    name: str
    file: Path
    numbers: dict[str, Any] = field(repr=False)
    mask: Path | None = None
    depth: Path | None = None
    normal: Path | None = None
    depth_scale: float = _NERFSTUDIO_DEPTH_SCALE

    def camera(self, width: int, height: int) -> Camera:
        """The camera, for the picture's true size in pixels.

        Intrinsics stated for another size of the same shape are scaled. ``fov`` (degrees) and
        ``camera_angle_y`` (radians) are vertical, ``camera_angle_x`` horizontal.

        Raises:
            InputError: no focal length, a stated size of another shape, a fisheye, bad matrix.
        """
        try:
            return self._camera(width, height)
        except InputError as cause:
            raise InputError(f"{self.name}: {cause}") from cause

    def _camera(self, width: int, height: int) -> Camera:
        self._reject_lenses()
        w = self._number("w", "width") or width
        h = self._number("h", "height") or height
        if abs(w * height - h * width) > 0.01 * h * width:
            raise InputError(
                f"the picture has {width}x{height} pixels but its camera is for {w:g}x{h:g}: "
                "give the picture the camera was made for"
            )
        fx, fy = self._number("fl_x"), self._number("fl_y")
        angle_x, angle_y = self._number("camera_angle_x"), self._number("camera_angle_y")
        fov = self._number("fov")
        if fov is not None and angle_y is None:
            angle_y = math.radians(fov)
        fx = fx or (_focal(w, angle_x) if angle_x else None)
        fy = fy or (_focal(h, angle_y) if angle_y else None)
        if fx is None and fy is None:
            raise InputError(
                "no focal length: give fl_x, camera_angle_x (radians) or fov (degrees)"
            )
        focal_x, focal_y = fx or fy or 0.0, fy or fx or 0.0
        if min(focal_x / w, focal_y / h) < _WIDEST:
            raise InputError(
                f"its focal length of {min(focal_x, focal_y):g} pixels sees nearly all around: "
                "expected that of a pinhole camera, about as many pixels as the picture is wide"
            )
        cx, cy = self._number("cx"), self._number("cy")
        sx, sy = width / w, height / h
        return Camera(
            self._matrix(),
            focal_x * sx,
            focal_y * sy,
            (w / 2 if cx is None else cx) * sx,
            (h / 2 if cy is None else cy) * sy,
            width,
            height,
        )

    def _number(self, *names: str) -> float | None:
        for name in names:
            value = self.numbers.get(name)
            if value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise InputError(f"{name} in the camera file must be a number, got {value!r}")
            if not math.isfinite(value):
                raise InputError(f"{name} must be a finite number, got {value}")
            if name not in (*_DISTORTION, *_RICHER) and value and not _LEAST <= abs(value) <= _MOST:
                raise InputError(f"{name} is {value:g}: expected pixels, degrees or radians")
            return float(value)
        return None

    def _matrix(self) -> np.ndarray[Any, np.dtype[np.float64]]:
        stored = self.numbers.get("transform_matrix")
        if stored is None:
            raise InputError("it has no transform_matrix: add its 4x4 camera-to-world matrix")
        try:
            matrix = np.array(stored, dtype=np.float64)
        except (TypeError, ValueError) as cause:
            raise InputError(
                f"its transform_matrix must be a 4x4 matrix of numbers, got {stored!s:.60}"
            ) from cause
        if matrix.shape in ((12,), (16,)):  # row after row
            matrix = matrix.reshape(-1, 4)
        if matrix.shape == (3, 4):
            matrix = np.vstack([matrix, [0, 0, 0, 1]])
        if matrix.shape != (4, 4):
            raise InputError(
                f"its transform_matrix must be 4x4 (camera-to-world, OpenGL axes), "
                f"got {matrix.shape}"
            )
        if not np.isfinite(matrix).all():
            raise InputError(
                "its transform_matrix holds NaN or infinity: give numbers, or leave the view out"
            )
        # The scale of a camera object, in Blender, moves no ray: directions are its unit columns.
        scale = np.linalg.norm(matrix[:3, :3], axis=0)
        if np.ptp(scale) <= 1e-3 * scale.max() and abs(scale[0] - 1) > 1e-3 and scale.min() > 0:
            matrix[:3, :3] /= scale
        return matrix

    def lens(self) -> Lens:
        """What bends its picture.

        Raises:
            InputError: a lens that no pinhole can stand for, or terms that are no numbers.
        """
        try:
            return Lens(**{name: self._number(name) or 0.0 for name in _DISTORTION})
        except InputError as cause:
            raise InputError(f"{self.name}: {cause}") from cause

    def _reject_lenses(self) -> None:
        model = str(self.numbers.get("camera_model", "PINHOLE")).upper()
        fisheye = self.numbers.get("is_fisheye") is True
        if fisheye or any(kind in model for kind in ("FISHEYE", "EQUIRECT", "OMNI")):
            told = "a fisheye" if fisheye else f"camera model {model}"
            raise InputError(
                f"lens {told} is not supported: undistort the pictures first "
                "(colmap image_undistorter)"
            )
        richer = [*_RICHER, *(["k4"] if "FULL_OPENCV" in model else [])]
        if terms := [name for name in richer if self._number(name)]:
            raise InputError(
                f"lens terms {', '.join(terms)} are not supported: undistort the pictures first "
                "(colmap image_undistorter)"
            )


def _whole(digits: str) -> int | float:
    """A whole number of JSON; one of hundreds of digits is infinite, and refused where used."""
    return int(digits) if len(digits) < 300 else math.inf


def read_records(path: Path, group: str | None) -> tuple[tuple[Record, ...], tuple[Path, ...]]:
    """The records of a folder's camera file (or of the file itself), and the files read for them.

    ``cameras.json`` is read where a group is asked for or there is no ``transforms.json``; then
    Blender's ``transforms_train.json``, then COLMAP's two files.

    Raises:
        InputError: no camera file, not JSON, no such group, a record without a picture.
    """
    source = _find(path, group)
    unit: float | None
    if isinstance(source, tuple):
        return _colmap_records(*source), source
    if source.is_dir():
        captured, files = polycam.read(source)
        unit = polycam.DEPTH_SCALE
        return tuple(_record(e, {}, unit, source / "cameras") for e in captured), files
    try:
        content = json.loads(source.read_text("utf-8-sig"), parse_int=_whole)
    except (OSError, UnicodeDecodeError, ValueError, RecursionError) as cause:
        raise InputError(
            f"{source} is not readable JSON ({cause}): "
            "give a camera file in the form of nerfstudio's transforms.json"
        ) from cause
    if isinstance(content, dict) and isinstance(content.get("frames"), list):
        if group is not None:
            raise InputError(
                f"{source.name} has one list of frames and no groups: leave --group {group} out"
            )
        entries, shared, unit = content["frames"], content, _nerfstudio_scale(content)
    else:
        entries, shared, unit = _grouped(content, group, source)
    return tuple(_record(e, shared, unit, source) for e in entries), (source,)


def _colmap_records(cameras: Path, images: Path) -> tuple[Record, ...]:
    records = []
    for entry in colmap.read(cameras, images):
        file, mask = colmap.beside(cameras, entry["file_path"])
        records.append(Record(entry["file_path"], existing(file, images), entry, mask))
    return tuple(records)


def has_cameras(path: Path) -> bool:
    """Whether a folder has a camera file, or is one."""
    return _search(path, None) is not None


def _search(path: Path, group: str | None) -> Path | tuple[Path, Path] | None:
    if path.is_file():
        return path
    order = ["transforms.json", "cameras.json"]
    for name in (*(order if group is None else order[::-1]), "transforms_train.json"):
        if (path / name).is_file():
            return path / name
    return colmap.find(path) or polycam.find(path)


def _find(path: Path, group: str | None) -> Path | tuple[Path, Path]:
    if not path.exists():
        raise InputError(f"{path} does not exist: give a six-view sheet or a folder of views")
    found = _search(path, group)
    if found is not None:
        return found
    raise InputError(
        f"the folder {path} has neither transforms.json nor cameras.json (nor Blender's "
        "transforms_train.json, nor COLMAP's cameras and images, nor Polycam's keyframes), so the "
        "cameras of its pictures are not known: add one, or give a six-view sheet"
    )


def _grouped(
    content: Any, group: str | None, source: Path
) -> tuple[list[Any], dict[str, Any], float | None]:
    """The chosen list of a ``cameras.json``, its global entries and its depth scale."""
    if isinstance(content, list):
        content = {"views": content}
    if not isinstance(content, dict):
        raise InputError(
            f'{source.name} must hold lists of cameras by group, as {{"views": [...]}}, '
            f"got {content!s:.40}"
        )
    groups = {
        name: entries
        for name, entries in content.items()
        if isinstance(entries, list) and entries and all(isinstance(e, dict) for e in entries)
    }
    shared = {k: v for k, v in content.items() if k not in groups}
    scale = shared.get("depth_scale")
    if group is not None:
        if group not in groups:
            raise InputError(
                f"{source.name} has no group {group!r} of views; "
                f"it has: {', '.join(groups) or 'none'}"
            )
        return groups[group], shared, scale
    candidates = [name for name, entries in groups.items() if len(entries) > 2]
    if len(candidates) != 1:
        if not candidates:
            raise InputError(
                f"{source.name} lists no group of at least 3 views: a list of frames, each with "
                "a picture and its transform_matrix, is needed"
            )
        raise InputError(
            f"{source.name} has several groups of views: choose one with "
            f"--group {'|'.join(candidates)}"
        )
    return groups[candidates[0]], shared, scale


def _nerfstudio_scale(content: dict[str, Any]) -> float:
    factor = content.get("depth_unit_scale_factor")
    if isinstance(factor, int | float) and factor > 0:
        return 1.0 / factor
    return _NERFSTUDIO_DEPTH_SCALE


def _record(entry: Any, shared: dict[str, Any], unit: float | None, source: Path) -> Record:
    if not isinstance(entry, dict):
        raise InputError(
            f"{source.name}: every view must be an object with file_path and transform_matrix, "
            f"got {entry!r:.60}"
        )
    name = entry.get("file", entry.get("file_path"))
    if not isinstance(name, str) or not name:
        raise InputError(f"{source.name}: a view names no picture: add its file or file_path")

    def beside(*keys: str) -> Path | None:
        for key in keys:
            if isinstance(entry.get(key), str):
                file = path_of(source.parent, entry[key])
                return located(file, source.parent) or file
        return None

    depth = beside("depth_file", "depth_file_path")
    scale = entry.get("depth_scale", unit)
    if depth is not None and not (isinstance(scale, int | float) and _LEAST < scale < _MOST):
        raise InputError(
            f"{source.name} names {depth.name} but no positive depth_scale "
            "(stored value of one world unit)"
        )
    return Record(
        name=name,
        file=existing(path_of(source.parent, name), source),
        numbers={**shared, **entry},
        mask=beside("mask_file", "mask_path"),
        depth=depth,
        normal=beside("normal_file", "normal_file_path"),
        depth_scale=float(scale or 1.0),
    )


def _focal(extent: float, angle: float) -> float:
    if not 0 < angle < math.pi:
        raise InputError(f"a field of view must lie between 0 and 180 degrees, got {angle:g} rad")
    return 0.5 * extent / math.tan(angle / 2)
