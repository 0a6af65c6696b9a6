"""A generator of your own: photo to views to mesh. `python own_generator.py toy.png vase.glb`."""

import sys

import numpy as np

import img2mesh
from img2mesh import pipeline
from img2mesh.artifacts import Cutout, Provenance, View

LENS = {"distance": 4.0, "fov_deg": 30.0}


def generate(cutout: Cutout) -> img2mesh.ViewSet:
    """As if the object were turned on a lathe: it looks the same from all around."""
    size = cutout.size
    around = range(0, 360, 60)
    cameras = [img2mesh.Camera.orbit(a, 0, **LENS, width=size, height=size) for a in around]
    return img2mesh.ViewSet(
        rgb=np.stack([cutout.rgb] * 6),
        alpha=np.stack([(cutout.alpha + cutout.alpha[:, ::-1]) / 2] * 6),
        cameras=tuple(cameras),
        photo=View(cutout.rgb, cutout.alpha, cameras[0]),
        provenance=Provenance(generator="lathe of my own"),
    )


def main(photo: str, mesh: str) -> None:
    views = generate(pipeline.cutout(img2mesh.Photo.open(photo)))
    # Coarse, so that this example takes seconds: leave `settings` out for a real asset.
    small = {"radiance": {"grid": 32, "density_steps": 0}, "asset": {"texture_resolution": 256}}
    img2mesh.reconstruct_views(views, preset="draft", settings=small).save(mesh)


if __name__ == "__main__":
    main(*sys.argv[1:])
