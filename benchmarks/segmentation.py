"""How well objects are cut out of photographs: border alone, network alone, and both fused.

    python benchmarks/segmentation.py --meshes DIR --objects DIR [--count 96] [--out FILE.json]

Composites of rendered objects over real photographs (those in data/ and scikit-image's own), whose
true masks are known, and the objects' own photo.jpg. The fusion's constants were chosen on the
``tune`` half alone (even numbers); the tables are of the ``report`` half. Prints, for each method,
the IoU of the full-size matte with the true mask, what was refused, how confidence and truth go
together, and the time on this machine.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

from img2mesh.core.arrays import U8, Mask
from img2mesh.core.cameras import Camera
from img2mesh.geometry.raycast import Scene
from img2mesh.imaging.colour import linear_to_srgb
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
    import io

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
