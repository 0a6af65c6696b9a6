"""Every photo of a folder, sorted by how well it went: `python folder_of_photos.py photos out`."""

import sys
from pathlib import Path

import img2mesh

# Coarse, so that this example takes seconds: leave `settings` out for a real asset.
SETTINGS = {"views": {"tile": 128}, "radiance": {"grid": 32}, "asset": {"texture_resolution": 256}}


def main(photos: str, output_dir: str) -> None:
    session = img2mesh.Session(preset="draft", settings=SETTINGS)
    results = []
    for photo in sorted(Path(photos).iterdir()):
        try:
            results.append(session.run(photo, output_dir=output_dir))
        except img2mesh.InputError as error:  # no picture, nothing on it, ...
            print(error)
    for result in sorted(results, key=lambda result: result.report["silhouette_iou"]["input"]):
        print(f"{result.report['silhouette_iou']['input']:.3f}", result.files["mesh"], result.asset)
        for note in result.notes:
            print("      ", note)


if __name__ == "__main__":
    main(*sys.argv[1:])
