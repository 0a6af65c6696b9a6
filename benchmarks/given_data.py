"""Does the result hang on how cameras and depth were written down?

The views of development objects, written as other tools write them (nerfstudio with a bent lens,
Blender's z-up world, instant-ngp, COLMAP as text and binary) in worlds of several units, must give
the same mesh; and depth in whatever unit, or of something else, must never make it worse by more
than 5 % than no depth does. Prints both tables: Chamfer distance to the reference in percent of its
diagonal, and what the user is told.

    python benchmarks/given_data.py --objects DIR --only mug [--part formats|depth]
        [--rows WORD ...]
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from img2mesh import Session, ViewSet  # noqa: E402
from img2mesh.core.cameras import Camera  # noqa: E402
from img2mesh.evaluation.shape import distances  # noqa: E402
from img2mesh.io.read_mesh import load_surface  # noqa: E402
from tests import captures  # noqa: E402

SCALES = (0.01, 1.0, 1000.0)
LENS = {"k1": -0.08, "k2": 0.02, "p1": 0.001, "p2": -0.001}
LIMIT = 0.05
Drawn = Sequence[dict[str, Any]]


def bent(rgba: np.ndarray, camera: Camera) -> np.ndarray:
    """A picture as a lens with LENS would have taken it: where each pixel's ray comes from."""
    matrix = np.array([[camera.fx, 0, camera.cx], [0, camera.fy, camera.cy], [0, 0, 1]])
    v, u = np.mgrid[: camera.height, : camera.width] + 0.5
    pixels = np.stack([u, v], axis=-1).reshape(-1, 1, 2)
    straight = cv2.undistortPoints(pixels, matrix, np.array([*LENS.values()]), P=matrix)
    where = straight.reshape(*v.shape, 2).astype(np.float32) - 0.5
    premultiplied = rgba.astype(np.float32)
    premultiplied[..., :3] *= premultiplied[..., 3:] / 255
    moved = cv2.remap(premultiplied, where[..., 0], where[..., 1], cv2.INTER_CUBIC).clip(0, 255)
    moved[..., :3] /= np.maximum(moved[..., 3:], 1) / 255
    return np.rint(moved.clip(0, 255)).astype(np.uint8)


def moved(cameras: Sequence[Camera], world: np.ndarray, scale: float) -> list[Camera]:
    """The cameras in another world and unit."""
    move = world.copy()
    move[:3] *= scale
    return [camera.moved(move, scale=scale) for camera in cameras]


def blender(folder: Path, drawn: Drawn, posed: Sequence[Camera]) -> Path:
    """transforms_train.json with camera_angle_x, z up."""
    captures.nerfstudio(folder, drawn, posed)
    content = json.loads((folder / "transforms.json").read_text())
    angle = 2 * np.arctan(posed[0].width / 2 / posed[0].fx)
    frames = [{**f, "file_path": f["file_path"].removesuffix(".png")} for f in content["frames"]]
    (folder / "transforms.json").unlink()
    text = json.dumps({"camera_angle_x": angle, "frames": frames})
    (folder / "transforms_train.json").write_text(text)
    return folder


def instant_ngp(folder: Path, drawn: Drawn, posed: Sequence[Camera]) -> Path:
    """transforms.json with aabb_scale, a lens of zeros and ./ before its files."""
    captures.nerfstudio(folder, drawn, posed, aabb_scale=4, k1=0.0, k2=0.0, p1=0.0, p2=0.0)
    content = json.loads((folder / "transforms.json").read_text())
    for frame in content["frames"]:
        frame["file_path"] = "./" + frame["file_path"]
    (folder / "transforms.json").write_text(json.dumps(content))
    return folder


#: How each tool writes its folder, and its world from ours.
FORMATS: dict[str, tuple[np.ndarray, Callable[[Path, Drawn, Sequence[Camera]], Path]]] = {
    "nerfstudio, bent lens": (
        np.eye(4),
        lambda folder, drawn, posed: captures.nerfstudio(
            folder, [{"rgba": bent(d["rgba"], posed[0])} for d in drawn], posed, **LENS
        ),
    ),
    "Blender, z up": (captures.Z_UP, blender),
    "instant-ngp": (np.eye(4), instant_ngp),
    "COLMAP text": (np.eye(4), lambda f, d, p: captures.colmap(f, d, p, binary=False)),
    "COLMAP binary": (np.eye(4), lambda f, d, p: captures.colmap(f, d, p, binary=True)),
}


def depths(z: np.ndarray, other: np.ndarray) -> Iterator[tuple[str, np.ndarray, float]]:
    """Ways to write true depth z (v, h, w) as 16-bit numbers: a name, the numbers, their unit."""
    known = np.isfinite(z)
    low, high = np.nanmin(z), np.nanmax(z)

    def stored(values: np.ndarray) -> np.ndarray:
        return np.where(np.isfinite(values), np.nan_to_num(values).round(), 0).astype(np.uint16)

    each = [np.nanquantile(one, [0, 1]) for one in z]
    stretched = np.stack(
        [1 + 254 * (a - lo) / (hi - lo) for a, (lo, hi) in zip(z, each, strict=True)]
    )
    yield "metres", stored(z * 10000), 1e-4
    yield "millimetres taken for metres", stored(z * 1000), 1.0
    yield "ten times too large", stored(z * 10000), 1e-3
    yield "8-bit, one range", stored(1 + 254 * (z - low) / (high - low)), 1.0
    yield "8-bit, each its range", stored(stretched), 1.0
    yield "constant offset", stored((z + 0.3) * 10000), 1e-4
    yield "another object's", stored(other * 10000), 1e-4
    yield "another object's, masked", stored(np.where(known, other, np.nan) * 10000), 1e-4


def measured(
    views: ViewSet, reference: Path, world: np.ndarray, scale: float, session: Session
) -> float:
    """Chamfer of the mesh from views, in percent of the reference's diagonal."""
    asset = session.reconstruct_views(views)
    with tempfile.TemporaryDirectory() as scratch:
        asset.save(Path(scratch) / "mesh.glb")
        found = load_surface(Path(scratch) / "mesh.glb")
    found = replace(found, vertices=found.vertices / scale @ world[:3, :3])
    shape = distances(found, load_surface(reference), samples=60_000, seed=0)
    return float(shape["visible"]["chamfer_pct"])


def main() -> None:
    """Read the command line, run, print both tables; exit 1 where a limit is passed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--objects", type=Path, required=True, help="folder of object folders")
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="objects to run")
    parser.add_argument("--group", default="views_v12")
    parser.add_argument("--part", choices=("formats", "depth"), help="one table alone")
    parser.add_argument("--rows", nargs="+", default=[], metavar="WORD", help="rows with a word")
    options = parser.parse_args()
    folders = sorted(f for f in options.objects.iterdir() if (f / "cameras.json").is_file())
    chosen = [f for f in folders if not options.only or f.name in options.only]
    session = Session(preset="draft", settings={"asset": {"frame": "world"}}, cache=None)
    bad = 0
    for folder in chosen:
        views = ViewSet.open(folder, group=options.group)
        rgba = np.concatenate([views.rgb, views.alpha[..., None]], axis=-1)
        drawn = [{"rgba": np.rint(one * 255).astype(np.uint8)} for one in rgba]
        if options.part != "depth":
            bad += formats(folder, views, drawn, session, options.rows)
        if options.part != "formats":
            other = folders[(folders.index(folder) + 1) % len(folders)]
            bad += depth_table(folder, options.group, other, session, options.rows)
    sys.exit(bad > 0)


def wanted(name: str, rows: Sequence[str]) -> bool:
    """Whether a row was asked for."""
    return not rows or any(word in name for word in rows)


def fingerprint(views: ViewSet) -> str:
    """Equal for views that are equal to the bit: the same mesh comes of them."""
    usual, digest = views.in_usual_unit(), hashlib.sha256()
    for array in (usual.rgb, usual.alpha, *(c.world_from_camera for c in usual.cameras)):
        digest.update(np.ascontiguousarray(array).tobytes())
    lenses = [(c.fx, c.fy, c.cx, c.cy) for c in usual.cameras]
    digest.update(repr((lenses, usual.unit)).encode())
    return digest.hexdigest()


def formats(
    folder: Path, views: ViewSet, drawn: Drawn, session: Session, rows: Sequence[str]
) -> int:
    """The table of formats and units; how many lie off the first by more than the limit."""
    first, bad = 0.0, 0
    known: dict[str, float] = {}
    for name, (world, write) in FORMATS.items():
        for scale in SCALES if wanted(name, rows) else ():
            with tempfile.TemporaryDirectory() as scratch:
                posed = moved(views.cameras, world, scale)
                given = ViewSet.open(write(Path(scratch), drawn, posed))
                mark = fingerprint(given)
                if mark not in known:
                    known[mark] = measured(given, folder / "mesh.glb", world, scale, session)
                chamfer = known[mark]
            first = first or chamfer
            off = chamfer / first - 1
            bad += abs(off) > LIMIT
            print(
                f"{folder.name:<10} {name:<22} x{scale:<6g} {chamfer:6.3f} % {off:+7.1%}",
                flush=True,
            )
    return bad


def depth_table(
    folder: Path, group: str, other_folder: Path, session: Session, rows: Sequence[str]
) -> int:
    """The table of depths; how many make it worse than none by more than the limit."""
    views, other = (ViewSet.open(f, group=group) for f in (folder, other_folder))
    assert views.depth is not None and other.depth is not None
    without = measured(replace(views, depth=None), folder / "mesh.glb", np.eye(4), 1.0, session)
    print(f"{folder.name:<10} {'no depth':<30} {without:6.3f} %", flush=True)
    bad = 0
    content = json.loads((folder / "cameras.json").read_text(encoding="utf-8"))
    for name, stored, unit in depths(views.depth, other.depth):
        if not wanted(name, rows):
            continue
        with tempfile.TemporaryDirectory() as scratch:
            place = Path(scratch)
            (place / "views").mkdir()
            records = []
            for k, (record, numbers) in enumerate(zip(content[group], stored, strict=True)):
                Image.open(folder / record["file"]).save(place / "views" / f"{k}.png")
                Image.fromarray(numbers).save(place / "views" / f"{k}_depth.png")
                names = {"file": f"views/{k}.png", "depth_file": f"views/{k}_depth.png"}
                records.append({**record, **names})
            text = json.dumps({"views": records, "depth_scale": 1 / unit})
            (place / "cameras.json").write_text(text, encoding="utf-8")
            given = ViewSet.open(place, group="views")
            chamfer = measured(given, folder / "mesh.glb", np.eye(4), 1.0, session)
        told = next((n for n in given.provenance.notes if "depth" in n), "")
        bad += chamfer > (1 + LIMIT) * without
        print(
            f"{folder.name:<10} {name:<30} {chamfer:6.3f} % {chamfer / without - 1:+7.1%}  {told}",
            flush=True,
        )
    return bad


if __name__ == "__main__":
    main()
