"""Draw docs/images/gallery.jpg: what goes in, and four views of what comes out, good and bad alike.

    python scripts/gallery.py --meshes DIR [--out docs/images/gallery.jpg]

Seven pictures of `data/` and five held-out CC0 meshes of `--meshes` (its `val` split: the shipped
network has not seen them), photographed as `benchmarks/single_view.py` does it. Every picture goes
through the whole pipeline with its defaults.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from img2mesh import reconstruct
from img2mesh.report.preview_scene import PreviewScene
from img2mesh.report.rendering import CLAY, SHADED

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

PICTURES = (
    "vase.png",
    "crate.png",
    "robot.png",
    "dahlia.jpg",
    "coffee.jpg",
    "cat.jpg",
    "rocket.jpg",
)
#: Chosen to show a range before the results were seen, one of a kind.
MESHES = (
    "cc0/quaternius_glb/animals__horse.glb",
    "cc0/quaternius_fbx/furniture_pack__bookcase_books.glb",
    "cc0/kaykit_restaurant/pot_large.glb",
    "cc0/quaternius_glb/survival__revolver_1.glb",
    "cc0/quaternius_glb/platformer_game__character.glb",
)
SIDE = 176
#: Degrees: the photo's side, front right, right, back.
AZIMUTHS = (0.0, 50.0, 90.0, 180.0)


def main() -> None:
    """See the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--meshes", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "images" / "gallery.jpg")
    options = parser.parse_args()
    pictures = [Image.open(ROOT / "data" / name) for name in PICTURES]
    pictures += [photograph(options.meshes, path) for path in MESHES]
    rows = [row(picture) for picture in pictures]
    half = len(rows) // 2
    gap = np.full((half * SIDE, 16, 3), 255, np.uint8)
    sheet = np.concatenate([np.concatenate(rows[:half]), gap, np.concatenate(rows[half:])], 1)
    Image.fromarray(sheet).save(options.out, quality=88)


def row(picture: Image.Image) -> np.ndarray:
    """The picture, the textured views and the one at 50 degrees without colour."""
    asset = reconstruct(picture)
    scene = PreviewScene(asset)
    cells = [fitted(picture)]
    for azimuth, camera in zip(AZIMUTHS, scene.cameras(AZIMUTHS, SIDE), strict=True):
        styles = (SHADED, CLAY) if azimuth == 50.0 else (SHADED,)
        cells += scene.render_on_ground(camera, styles)
    return np.concatenate([np.uint8(np.clip(c, 0, 1) * 255) for c in cells], 1)


def fitted(picture: Image.Image) -> np.ndarray:
    """(SIDE, SIDE, 3) the picture on white, whole."""
    canvas = Image.new("RGBA", (SIDE, SIDE), "white")
    small = picture.convert("RGBA")
    small.thumbnail((SIDE - 8, SIDE - 8))
    canvas.alpha_composite(small, ((SIDE - small.width) // 2, (SIDE - small.height) // 2))
    return np.asarray(canvas.convert("RGB"), np.float32) / 255


def photograph(meshes: Path, path: str) -> Image.Image:
    """A held-out mesh as the benchmark photographs it, with transparency."""
    from benchmarks.single_view import Photographed
    from img2mesh.training.catalog import read_catalog

    entry = next(e for e in read_catalog(meshes) if e.path == path)
    if entry.split != "val":
        raise SystemExit(f"{path} is not of the val split")
    cutout = Photographed(entry, "val").cutout
    layers = np.dstack([cutout.rgb, cutout.alpha])
    return Image.fromarray(np.uint8(np.round(layers * 255)), "RGBA")


if __name__ == "__main__":
    main()
