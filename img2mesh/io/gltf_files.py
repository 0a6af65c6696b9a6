"""glTF as separate files: the document, its numbers, and each picture, for those who edit them."""

from __future__ import annotations

import json

from img2mesh.io.glb_container import unpack
from img2mesh.io.gltf import Textured, glb_bytes


def gltf_files(asset: Textured, stem: str) -> dict[str, bytes]:
    """``stem.gltf``, ``stem.bin`` and the pictures, by file name; the document comes first.

    The same content as the GLB: the document is its own, with names in place of the pictures'
    bytes. Letters beyond ASCII stay as they are, as the specification allows (IRIs): not every
    reader undoes percent signs. ``stem`` has no spaces.
    """
    document, block = unpack(glb_bytes(asset))
    maps = {"normal": asset.normal_map, "orm": asset.orm_map}
    labels = ["color", *(label for label, picture in maps.items() if picture is not None)]
    views = document["bufferViews"]
    pictures: dict[str, bytes] = {}
    first = len(views)
    for image, label in zip(document["images"], labels, strict=True):
        view = image.pop("bufferView")
        start, first = views[view]["byteOffset"], min(first, view)
        file = f"{stem}_{label}.png"
        pictures[file] = block[start : start + views[view]["byteLength"]]
        image["uri"] = file
        del image["mimeType"]  # goes with bytes inside alone
    # glb_bytes puts the pictures last: what comes before them is the binary file.
    numbers = block[: views[first]["byteOffset"]]
    document["bufferViews"] = views[:first]
    document["buffers"] = [{"uri": f"{stem}.bin", "byteLength": len(numbers)}]
    text = json.dumps(document, ensure_ascii=False, indent=1) + "\n"
    return {f"{stem}.gltf": text.encode(), f"{stem}.bin": numbers, **pictures}
