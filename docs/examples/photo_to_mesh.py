"""One photo to a textured mesh: `python photo_to_mesh.py chair.png chair.glb`."""

import sys

import img2mesh

# Coarse, so that this example takes seconds: leave `settings` out for a real asset.
SETTINGS = {"views": {"tile": 128}, "radiance": {"grid": 32}, "asset": {"texture_resolution": 256}}


def main(photo: str, mesh: str) -> None:
    asset = img2mesh.reconstruct(photo, preset="draft", settings=SETTINGS, on_progress=print)
    print(asset)
    asset.save(mesh)


if __name__ == "__main__":
    main(*sys.argv[1:])
