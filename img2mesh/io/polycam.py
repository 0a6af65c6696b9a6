"""Polycam's raw captures: ``keyframes`` with a JSON file, a picture and a depth map a moment.

The world is ARKit's, in metres with +y up, and cameras look along -z as ours do. Corrected cameras
(after Polycam's own bundle adjustment) go before those of the telephone.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from img2mesh.errors import InputError

#: Stored depth of one metre: 16-bit pictures in millimetres, smaller than the photos.
DEPTH_SCALE = 1000.0
_KINDS = (("corrected_cameras", "corrected_images"), ("cameras", "images"))
_NUMBERS = {"fx": "fl_x", "fy": "fl_y", "cx": "cx", "cy": "cy", "width": "w", "height": "h"}


def find(folder: Path) -> Path | None:
    """The folder of a capture's camera files, or None."""
    for home in (folder / "keyframes", folder):
        for cameras, images in _KINDS:
            if (home / images).is_dir() and any((home / cameras).glob("*.json")):
                return home / cameras
    return None


def read(cameras: Path) -> tuple[list[dict[str, Any]], tuple[Path, ...]]:
    """One entry a camera file in the words of ``transforms.json``, and the files.

    Raises:
        InputError: a damaged file.
    """
    images = dict(_KINDS)[cameras.name]
    entries, files = [], tuple(sorted(f for f in cameras.glob("*.json") if f.is_file()))
    for file in files:
        try:
            stored = json.loads(file.read_text("utf-8-sig"))
            matrix = [[float(stored[f"t_{i}{j}"]) for j in range(4)] for i in range(3)]
            numbers = {ours: stored[theirs] for theirs, ours in _NUMBERS.items()}
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as cause:
            raise InputError(
                f"{file} is no camera of Polycam, or damaged ({type(cause).__name__}: {cause}): "
                "export the raw data again, or leave it out"
            ) from cause
        entry = {"file_path": f"../{images}/{file.stem}", "transform_matrix": matrix, **numbers}
        for key, place in (("depth_file", "depth"), ("mask_file", "masks")):
            if (cameras.parent / place / f"{file.stem}.png").is_file():
                entry[key] = f"../{place}/{file.stem}.png"
        entries.append(entry)
    return entries, files
