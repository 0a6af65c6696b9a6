"""How well objects are cut out of photographs: border alone, network alone, and both fused.

    python benchmarks/segmentation.py --meshes DIR --objects DIR [--count 88] [--out FILE.json]

Composites of rendered objects over real photographs (those in data/ and scikit-image's own), whose
true masks are known, and the objects' own photo.jpg. The fusion's constants were chosen on the
``tune`` half alone (even numbers); the tables are of the ``report`` half (--half for the other).
Scenes are ``photo.jpg``, ``calm`` (textures and stars) and ``busy`` (photographs of something else,
parts of which stay beside or behind the object: which one is meant no method can know, but a box
says it). Prints, for each method, the IoU of the full-size matte with the true mask, how confidence
and truth go together, and processor seconds. The network must have been fetched.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

from img2mesh import segmentation
from img2mesh.artifacts import Photo
from img2mesh.core.arrays import U8, Mask
from img2mesh.core.cameras import Camera
from img2mesh.geometry.raycast import Scene
from img2mesh.imaging.colour import linear_to_srgb
from img2mesh.imaging.metrics import iou
from img2mesh.io.read_mesh import load_surface

ROOT = Path(__file__).resolve().parent.parent
SKIMAGE = ("astronaut.png", "brick.png", "grass.png", "gravel.png", "hubble_deep_field.jpg",
           "motorcycle_left.png")  # fmt: skip
OWN = ("dahlia.jpg", "rocket.jpg", "coffee.jpg", "cat.jpg")
#: Longest side of a composite; a phone's picture would only cost time.
SIDE = 640


@dataclass(frozen=True)
class Composite:
    """A photograph with a known object: rgb (h, w, 3) uint8, truth (h, w) bool."""

    rgb: U8
    truth: Mask
    name: str
    scene: str
    half: str


def backgrounds() -> dict[str, Image.Image]:
    """Real photographs by name."""
    import skimage

    paths = [ROOT / "data" / name for name in OWN]
    paths += [Path(skimage.__file__).parent / "data" / name for name in SKIMAGE]
    return {path.stem: Image.open(path).convert("RGB") for path in paths if path.is_file()}


def render(path: Path, rng: np.random.Generator, size: int) -> Image.Image:
    """RGBA of a mesh, elevation 0 to 30 degrees, any azimuth, one soft light."""
    surface = load_surface(path)
    low, high = surface.vertices.min(0), surface.vertices.max(0)
    vertices = surface.vertices - (low + high) / 2
    vertices /= np.linalg.norm(vertices, axis=1).max()
    azimuth, elevation = rng.uniform(0, 360), rng.uniform(0, 30)
    camera = Camera.orbit(
        azimuth, elevation, distance=4.0, fov_deg=30, width=2 * size, height=2 * size
    )
    hits = Scene(vertices, surface.faces).look(camera)
    seen = hits.mask
    rgb = np.zeros((*seen.shape, 3), np.float32)
    towards = camera.origin / np.linalg.norm(camera.origin)
    light = towards + rng.normal(0, 0.6, 3) + np.array([0, 0.6, 0])
    shade = np.abs(hits.normal[seen] @ (light / np.linalg.norm(light)))
    base = surface.base_colour(hits.face[seen], hits.barycentric[seen])
    rgb[seen] = linear_to_srgb(base * (0.35 + 0.75 * shade)[:, None])
    rgba = np.dstack([rgb * seen[..., None], seen])
    small = rgba.reshape(size, 2, size, 2, 4).mean((1, 3))
    small[..., :3] /= np.maximum(small[..., 3:], 1e-6)
    return Image.fromarray((np.clip(small, 0, 1) * 255 + 0.5).astype(np.uint8), "RGBA")


def compose(thing: Image.Image, photo: Image.Image, rng: np.random.Generator) -> tuple[U8, Mask]:
    """Put an object before a part of a photograph, with a shadow, noise and JPEG's traces."""
    aspect = rng.choice([4 / 3, 1.0, 3 / 4])
    width, height = (SIDE, round(SIDE / aspect)) if aspect >= 1 else (round(SIDE * aspect), SIDE)
    share = rng.uniform(0.4, 1.0)
    scale = share * min(photo.width / width, photo.height / height)
    w, h = width * scale, height * scale
    x, y = rng.uniform(0, photo.width - w), rng.uniform(0, photo.height - h)
    scene = photo.resize((width, height), Image.Resampling.BICUBIC, box=(x, y, x + w, y + h))
    scene = scene.filter(ImageFilter.GaussianBlur(float(rng.choice([0.5, 1.5, 4.0]))))
    thing = thing.crop(thing.getbbox())
    fit = rng.uniform(0.45, 0.8) * min(width / thing.width, height / thing.height)
    size = max(8, round(thing.width * fit)), max(8, round(thing.height * fit))
    thing = thing.resize(size, Image.Resampling.BICUBIC)
    left = round((width - size[0]) / 2 + rng.uniform(-0.08, 0.08) * width)
    top = round((height - size[1]) / 2 + rng.uniform(-0.08, 0.08) * height)
    left, top = np.clip(left, 2, width - size[0] - 2), np.clip(top, 2, height - size[1] - 2)
    whole = Image.new("RGBA", (width, height))
    whole.paste(thing, (int(left), int(top)))
    alpha = np.asarray(whole, np.float32)[..., 3:] / 255
    shadow = Image.fromarray((alpha[..., 0] * 255).astype(np.uint8))
    shadow = shadow.transform(
        shadow.size, Image.Transform.AFFINE,
        (1, 0.35, -0.35 * (top + size[1]), 0, 4.0, -3.0 * (top + size[1])),
    ).filter(ImageFilter.GaussianBlur(9))  # fmt: skip
    dark = 1 - 0.45 * np.asarray(shadow, np.float32)[..., None] / 255
    behind = np.asarray(scene, np.float32) * dark
    picture = behind * (1 - alpha) + np.asarray(whole, np.float32)[..., :3] * alpha
    picture += rng.normal(0, 2.0, picture.shape)
    file = io.BytesIO()
    Image.fromarray(np.clip(picture + 0.5, 0, 255).astype(np.uint8)).save(file, "JPEG", quality=90)
    return np.asarray(Image.open(file).convert("RGB")), alpha[..., 0] > 0.5


def composites(meshes: Path, objects: Path, *, count: int, seed: int = 0) -> Iterator[Composite]:
    """The objects' photographs, then ``count`` composites; the same ones every time."""
    folders = sorted(p for p in objects.iterdir() if (p / "photo.jpg").is_file())
    for number, folder in enumerate(folders):
        truth = np.asarray(Image.open(folder / "input.png"))[..., 3] > 127
        rgb = np.asarray(Image.open(folder / "photo.jpg").convert("RGB"))
        yield Composite(rgb, truth, folder.name, "photo.jpg", ("tune", "report")[number % 2])
    with (meshes / "manifest.csv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == "val"]
    rng = np.random.default_rng(seed)
    things = [folder / "mesh.glb" for folder in folders]
    things += [meshes / rows[i]["path"] for i in rng.permutation(len(rows))]
    photos = list(backgrounds().items())
    for number in range(count):
        rng = np.random.default_rng([seed, number])
        path = things[number % len(things)]
        scene, photo = photos[int(rng.integers(len(photos)))]
        rgb, truth = compose(render(path, rng, 448), photo, rng)
        name = path.parent.name if path.name == "mesh.glb" else path.stem
        yield Composite(rgb, truth, name, scene, ("tune", "report")[number % 2])


CALM = ("brick", "grass", "gravel", "hubble_deep_field")
METHODS = ("border", "u2netp", "auto", "auto with --box")


def measure(one: Composite, method: str) -> dict[str, float]:
    """IoU, confidence and processor seconds of one method on one picture."""
    box = None
    if method.endswith("--box"):
        rows, columns = np.flatnonzero(one.truth.any(1)), np.flatnonzero(one.truth.any(0))
        x, y = int(columns[0]), int(rows[0])
        box = (x, y, int(columns[-1]) + 1 - x, int(rows[-1]) + 1 - y)
    start = time.process_time()
    _, found = segmentation.find(
        Photo(rgb=one.rgb), box, segmenter=method.split()[0], model=None, device="cpu",
        report=lambda fraction: None,
    )  # fmt: skip
    seconds = time.process_time() - start
    return {
        "iou": round(iou(found.matte > 0.5, one.truth), 4),
        "confidence": found.confidence,
        "seconds": round(seconds, 2),
    }


def report(rows: list[dict[str, object]]) -> None:
    """Tables by scene and by confidence."""
    scenes = ("photo.jpg", "calm", "busy", "all")
    print(f"{'method':<16} {'scene':<10}    n  median    mean   > .9  >= .85  CPU s")
    for method in METHODS:
        for scene in scenes:
            found = [r[method] for r in rows if scene in (r["scene"], "all")]
            v = np.array([f["iou"] for f in found])
            if len(v):
                seconds = np.median([f["seconds"] for f in found])
                print(
                    f"{method:<16} {scene:<10} {len(v):4d} {np.median(v):7.3f} {v.mean():7.3f} "
                    f"{(v > 0.9).mean():6.0%} {(v >= 0.85).mean():7.0%} {seconds:6.1f}"
                )
    print("\nof those reported with a confidence in a range: how many, and how many >= .85 IoU")
    for method in METHODS:
        cells = []
        for low, high in ((0, 0.5), (0.5, 0.7), (0.7, 0.8), (0.8, 0.95), (0.95, 1.01), (0.8, 1.01)):
            found = [r[method]["iou"] for r in rows if low <= r[method]["confidence"] < high]
            right = sum(v >= 0.85 for v in found)
            cells.append(f"{low:g}-{min(high, 1):g}: {right}/{len(found)}")
        print(f"{method:<16} {'  '.join(cells)}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--meshes", type=Path, required=True, help="folder with manifest.csv")
    parser.add_argument("--objects", type=Path, required=True, help="folders with photo.jpg")
    parser.add_argument("--count", type=int, default=88, help="composites")
    parser.add_argument("--half", choices=("report", "tune"), default="report")
    parser.add_argument("--out", type=Path, help="write every number as JSON")
    options = parser.parse_args()
    rows: list[dict[str, object]] = []
    for one in composites(options.meshes, options.objects, count=options.count):
        if one.half != options.half:
            continue
        kind = "calm" if one.scene in CALM else one.scene if one.scene == "photo.jpg" else "busy"
        row = {"name": one.name, "photo": one.scene, "scene": kind}
        row |= {method: measure(one, method) for method in METHODS}
        rows.append(row)
        print(json.dumps(row), flush=True)
    report(rows)
    if options.out:
        options.out.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
