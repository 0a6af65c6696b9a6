"""COLMAP's reconstructions: ``cameras`` and ``images``, as text or binary.

Formats: https://colmap.github.io/format.html. COLMAP's poses are camera-from-world with OpenCV axes
(y down, looking along +z); its pixels are counted as ours.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np

from img2mesh.errors import InputError

#: Camera models by number: name, and the parameters in the words of ``transforms.json``.
_MODELS: dict[int, tuple[str, tuple[str, ...]]] = {
    0: ("SIMPLE_PINHOLE", ("f", "cx", "cy")),
    1: ("PINHOLE", ("fl_x", "fl_y", "cx", "cy")),
    2: ("SIMPLE_RADIAL", ("f", "cx", "cy", "k1")),
    3: ("RADIAL", ("f", "cx", "cy", "k1", "k2")),
    4: ("OPENCV", ("fl_x", "fl_y", "cx", "cy", "k1", "k2", "p1", "p2")),
    6: (
        "FULL_OPENCV",
        ("fl_x", "fl_y", "cx", "cy", "k1", "k2", "p1", "p2", "k3", "k4", "k5", "k6"),
    ),
}
_PARAMETERS = dict(_MODELS.values())
#: Those that no pinhole can stand for, by number, for messages.
_OTHERS = {5: "OPENCV_FISHEYE", 7: "FOV", 8: "SIMPLE_RADIAL_FISHEYE", 9: "RADIAL_FISHEYE"}
#: Where tools leave the two files, below the folder that the user names.
_PLACES = (
    "", "sparse/0", "sparse", "colmap/sparse/0", "colmap/sparse", "distorted/sparse/0",
    "dense/sparse", "dense/0/sparse", "undistorted/sparse",
)  # fmt: skip
_IMAGES = ("images", "image", "input", "imgs", "")
_MASKS = ("masks", "mask")


def find(folder: Path) -> tuple[Path, Path] | None:
    """The files ``cameras`` and ``images`` of a capture, or None."""
    for place in _PLACES:
        for suffix in (".bin", ".txt"):
            found = tuple(folder / place / f"{name}{suffix}" for name in ("cameras", "images"))
            if all(file.is_file() for file in found):
                return found[0], found[1]
    return None


def read(cameras: Path, images: Path) -> list[dict[str, Any]]:
    """One entry an image, in order of the names, in the words of ``transforms.json``.

    Raises:
        InputError: a damaged file, or a camera model that is no pinhole with k1, k2, p1, p2.
    """
    try:
        if images.suffix == ".bin":
            known, poses = _binary_cameras(cameras), _binary_images(images)
        else:
            known, poses = _text_cameras(cameras), _text_images(images)
        found = [
            {**known[camera], "transform_matrix": _matrix(turn, shift), "file_path": name}
            for name, camera, turn, shift in poses
        ]
    except (OSError, struct.error, ValueError, IndexError, KeyError, UnicodeDecodeError) as cause:
        raise InputError(
            f"{images} and {cameras.name} are no reconstruction of COLMAP, or damaged "
            f"({type(cause).__name__}: {cause}): export them again with colmap model_converter"
        ) from cause
    return sorted(found, key=lambda entry: str(entry["file_path"]))


def beside(cameras: Path, name: str) -> tuple[Path, Path | None]:
    """The picture of that name, and its mask if there is one.

    COLMAP calls the mask of ``a.jpg`` ``masks/a.jpg.png``; ``masks/a.png`` is as common.
    """
    name = name.replace("\\", "/")
    roots = [cameras.parent, *list(cameras.parent.parents)[:3]]
    here = [root / sub / name for root in roots for sub in _IMAGES]
    meant = (root / sub / name for root in roots for sub in _IMAGES[:-1] if (root / sub).is_dir())
    picture = next((file for file in here if file.is_file()), None) or next(meant, here[0])
    stem = Path(name).with_suffix(".png")
    masks = [
        root / sub / n for root in roots for sub in _MASKS for n in (f"{name}.png", stem, name)
    ]
    return picture, next((file for file in masks if file.is_file()), None)


def _camera(model: str, width: float, height: float, values: list[float]) -> dict[str, Any]:
    names = _PARAMETERS.get(model)
    if names is None:
        raise InputError(
            f"COLMAP's camera model {model} is not supported: undistort the pictures first with "
            "colmap image_undistorter"
        )
    numbers: dict[str, Any] = dict(zip(names, values, strict=True))
    if "f" in numbers:
        numbers["fl_x"] = numbers["fl_y"] = numbers.pop("f")
    return {**numbers, "camera_model": model, "w": float(width), "h": float(height)}


def _matrix(quaternion: list[float], translation: list[float]) -> list[list[float]]:
    """World-from-camera with OpenGL axes of a camera-from-world (w, x, y, z) and t."""
    q = np.array(quaternion, np.float64)
    w, x, y, z = q / np.linalg.norm(q)
    rotation = np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )
    matrix = np.eye(4)
    matrix[:3, :3] = rotation.T * [1, -1, -1]
    matrix[:3, 3] = -rotation.T @ np.array(translation, np.float64)
    return [[float(v) for v in row] for row in matrix]


_Pose = tuple[str, int, list[float], list[float]]


def _lines(path: Path) -> list[str]:
    return [
        line for line in path.read_text("utf-8").splitlines() if not line.lstrip().startswith("#")
    ]


def _text_cameras(path: Path) -> dict[int, dict[str, Any]]:
    rows = [line.split() for line in _lines(path) if line.strip()]
    return {
        int(row[0]): _camera(row[1], float(row[2]), float(row[3]), [float(v) for v in row[4:]])
        for row in rows
    }


def _text_images(path: Path) -> list[_Pose]:
    lines = _lines(path)
    while lines and not lines[0].strip():
        del lines[0]
    poses: list[_Pose] = []
    for line in lines[::2]:  # every second line lists the image's points, and may be empty
        if line.strip():
            row = line.split(maxsplit=9)
            numbers = [float(v) for v in row[1:8]]
            poses.append((row[9].strip(), int(row[8]), numbers[:4], numbers[4:]))
    return poses


def _binary_cameras(path: Path) -> dict[int, dict[str, Any]]:
    data = path.read_bytes()
    (count,) = struct.unpack_from("<Q", data)
    at, found = 8, {}
    for _ in range(count):
        number, model, width, height = struct.unpack_from("<iiQQ", data, at)
        name, parameters = _MODELS.get(model, (_OTHERS.get(model, f"number {model}"), ()))
        values = list(struct.unpack_from(f"<{len(parameters)}d", data, at + 24))
        found[number] = _camera(name, width, height, values)
        at += 24 + 8 * len(parameters)
    return found


def _binary_images(path: Path) -> list[_Pose]:
    data = path.read_bytes()
    (count,) = struct.unpack_from("<Q", data)
    at, poses = 8, []
    for _ in range(count):
        _, *numbers, camera = struct.unpack_from("<i7di", data, at)
        end = data.index(b"\0", at + 64)
        (points,) = struct.unpack_from("<Q", data, end + 1)
        poses.append((data[at + 64 : end].decode("utf-8"), camera, numbers[:4], numbers[4:]))
        at = end + 9 + 24 * points
    return poses
