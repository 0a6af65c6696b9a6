"""A small data set drawn without a renderer: discs whose colour and place depend on the view."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
from PIL import Image

from img2mesh.core.rigs import rig


def write_sheets(root: Path, *, objects: int = 3, size: int = 32, name: str = "zero123plus-v1.1"):
    """The files of ``img2mesh render --layout zero123plus``."""
    rng = np.random.default_rng(0)
    v, u = np.mgrid[:size, :size] + 0.5
    for number in range(objects):
        folder = root / f"thing{number}"
        folder.mkdir(parents=True)
        radius = size * (0.2 + 0.08 * number)
        for k in range(7):
            inside = np.hypot(u - size / 2, v - size / 2 + (k - 3) * size / 20) < radius
            colour = rng.integers(30, 225, 3)
            rgba = np.dstack([np.broadcast_to(colour, (size, size, 3)), inside * 255])
            Image.fromarray(rgba.astype(np.uint8)).save(folder / f"{k:03d}.png")
            depth = np.where(inside, (u / size) * 65535, 0).astype(np.uint16)
            Image.fromarray(depth).save(folder / f"{k:03d}_depth.png")
            normal = np.where(inside[..., None], [128, 128, 255], 127).astype(np.uint8)
            Image.fromarray(normal).save(folder / f"{k:03d}_normal.png")
        poses = [
            {"transform_matrix": c.world_from_camera.tolist()} for c in rig(name).cameras(size)
        ]
        (folder / "cameras.json").write_text(json.dumps({"rig": name, "views": poses}))
    (root / "render.json").write_text(
        json.dumps({"layout": "zero123plus", "size": size, "rig": name})
    )
    _manifest(root, objects)
    return root


def write_pairs(root: Path, *, objects: int = 2, size: int = 32, views: int = 4):
    """The files of ``img2mesh render --layout zero123``."""
    rng = np.random.default_rng(1)
    for number in range(objects):
        folder = root / f"thing{number}"
        folder.mkdir(parents=True)
        for k in range(views):
            rgba = rng.integers(0, 255, (size, size, 4)).astype(np.uint8)
            Image.fromarray(rgba).save(folder / f"{k:03d}.png")
            rotation, _ = np.linalg.qr(rng.normal(size=(3, 3)))
            matrix = np.concatenate([rotation, rng.normal(size=(3, 1))], axis=1)
            np.save(folder / f"{k:03d}.npy", matrix, allow_pickle=False)
    _manifest(root, objects)
    return root


def _manifest(root: Path, objects: int) -> None:
    with (root / "manifest.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["name", "licence", "split", "status"])
        writer.writerows([f"thing{k}", "CC0-1.0", "train", "done"] for k in range(objects))
