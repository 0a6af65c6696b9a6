"""A small folder of meshes to train on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import trimesh

SHAPES = {
    "ball": lambda: trimesh.creation.icosphere(subdivisions=2),
    "brick": lambda: trimesh.creation.box((1.0, 0.6, 1.4)),
    "post": lambda: trimesh.creation.cylinder(radius=0.4, height=1.6, sections=24),
    "slab": lambda: trimesh.creation.box((1.2, 0.5, 1.0)),
}


def write_meshes(folder: Path, *, held_out: tuple[str, ...] = ()) -> Path:
    """Coloured shapes and a manifest."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = ["path,licence,author,class,split,colour"]
    for number, (name, make) in enumerate(SHAPES.items()):
        mesh = make()
        colours = np.tile([200 - 40 * number, 60 + 40 * number, 90, 255], (len(mesh.vertices), 1))
        mesh.visual.vertex_colors = colours.astype(np.uint8)
        mesh.export(folder / f"{name}.glb")
        split = "val" if name in held_out else "train"
        rows.append(f"{name}.glb,CC0-1.0,somebody,toy,{split},vertex")
    (folder / "manifest.csv").write_text("\n".join(rows) + "\n")
    return folder
