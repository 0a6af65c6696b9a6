"""Pictures of SyncDreamer (16) or MVDream (4) to a mesh, from memory, with their own cameras.

`python other_generators.py syncdreamer 0.png vase.glb`; the strip has alpha (of a remover).
"""

import sys

import numpy as np
from numpy.typing import NDArray
from PIL import Image

import img2mesh


def views_of(name: str, pictures: NDArray[np.uint8]) -> img2mesh.ViewSet:
    """What the program `name` drew, (v, s, s, 4) RGBA in the order it draws them."""
    cameras = img2mesh.rig(name).cameras(pictures.shape[1])
    return img2mesh.ViewSet.from_arrays(pictures[..., :3], pictures[..., 3], cameras)


def main(name: str, strip: str, mesh: str) -> None:
    whole = np.asarray(Image.open(strip))
    pictures = np.stack(np.split(whole, whole.shape[1] // whole.shape[0], axis=1))
    # Coarse, so that this example takes seconds: leave `settings` out for a real asset.
    small = {"radiance": {"grid": 32, "density_steps": 0}, "asset": {"texture_resolution": 256}}
    views = views_of(name, pictures)
    img2mesh.reconstruct_views(views, preset="draft", settings=small).save(mesh)


if __name__ == "__main__":
    main(*sys.argv[1:])
