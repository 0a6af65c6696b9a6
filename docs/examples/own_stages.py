"""Stages are functions: take one over, look into the rest. `python own_stages.py chair.png`."""

import sys

import numpy as np
from PIL import Image

import img2mesh
from img2mesh import pipeline

# Coarse, so that this example takes seconds.
SETTINGS = {"views": {"tile": 128}, "radiance": {"grid": 32}, "asset": {"texture_resolution": 256}}


def segment(picture: Image.Image) -> np.ndarray:
    """A segmentation of your own: here, whatever is not nearly white or transparent."""
    rgba = np.asarray(picture.convert("RGBA"))
    object_mask: np.ndarray = (rgba[..., :3].min(axis=2) < 240) & (rgba[..., 3] > 127)
    return object_mask


def main(path: str) -> None:
    picture = Image.open(path)
    photo = img2mesh.Photo.from_image(picture, mask=segment(picture), name="mine")
    cutout = pipeline.cutout(photo)  # a plain call: no cache, no runner
    print(cutout)

    session = img2mesh.Session(preset="draft", settings=SETTINGS)
    made = session.artifacts(photo, until="asset")  # cached, every stage by its name
    print(made["views"], made["radiance"], made["surface"], made["asset"], sep="\n")
    for step in session.runner().plan("asset", session.inputs(photo)):
        print(step.stage, "cached" if step.cached else step.reason)
    print(made["asset"].to_open3d())


if __name__ == "__main__":
    main(*sys.argv[1:])
