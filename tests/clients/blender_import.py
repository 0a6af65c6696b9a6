"""Import one file into Blender and write down what arrived. Runs in the clients' own environment.

``python blender_import.py FILE OUT.npz``: arrays in OUT.npz, everything else as one line of JSON,
the last on stdout. Coordinates are Blender's world (right-handed, +z up, front towards -y).
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import bpy
import numpy as np

#: The operator of each format, with Blender's own defaults: what a user gets who drags the file in.
IMPORTERS = {
    ".glb": lambda path: bpy.ops.import_scene.gltf(filepath=path),
    ".obj": lambda path: bpy.ops.wm.obj_import(filepath=path),
    ".usdz": lambda path: bpy.ops.wm.usd_import(filepath=path),
}


def images_behind(socket: bpy.types.NodeSocket) -> list[bpy.types.Image]:
    """Every picture that feeds a socket, through whatever nodes lie between."""
    found: list[bpy.types.Image] = []
    for link in socket.links:
        node = link.from_node
        if node.type == "TEX_IMAGE" and node.image is not None:
            found.append(node.image)
        for upstream in node.inputs:
            found += images_behind(upstream)
    return found


def about_material(material: bpy.types.Material) -> dict[str, object]:
    """Pictures and constants of the Principled BSDF."""
    nodes = [n for n in material.node_tree.nodes if n.type == "BSDF_PRINCIPLED"]
    if len(nodes) != 1:
        return {"name": material.name, "error": f"{len(nodes)} Principled BSDFs"}
    inputs = {}
    for name in ("Base Color", "Normal", "Roughness", "Metallic", "Alpha"):
        socket = nodes[0].inputs[name]
        inputs[name] = {
            "images": [
                {
                    "name": image.name,
                    "size": list(image.size),
                    "colour_space": image.colorspace_settings.name,
                }
                for image in images_behind(socket)
            ],
            "value": socket.default_value if socket.type == "VALUE" else None,
        }
    return {"name": material.name, "inputs": inputs}


def base_picture(material: bpy.types.Material) -> np.ndarray | None:
    """(h, w, 4) uint8 as stored in the file, first row at the top."""
    for node in material.node_tree.nodes:
        if node.type != "BSDF_PRINCIPLED":
            continue
        for image in images_behind(node.inputs["Base Color"]):
            width, height = image.size
            pixels = np.empty(width * height * 4, np.float32)
            image.pixels.foreach_get(pixels)
            return np.rint(pixels.reshape(height, width, 4)[::-1] * 255).astype(np.uint8)
    return None


def arrays_of(item: bpy.types.Object) -> dict[str, np.ndarray]:
    """Corners of the triangles in world space, with their normals and texture coordinates."""
    mesh = item.data
    vertices = np.empty(len(mesh.vertices) * 3, np.float32)
    mesh.vertices.foreach_get("co", vertices)
    vertices = vertices.reshape(-1, 3)
    index = np.empty(len(mesh.loops), np.int32)
    mesh.loops.foreach_get("vertex_index", index)
    normals = np.empty(len(mesh.loops) * 3, np.float32)
    mesh.corner_normals.foreach_get("vector", normals)
    matrix = np.array(item.matrix_world, np.float64)
    turn = matrix[:3, :3] / np.cbrt(np.linalg.det(matrix[:3, :3]))
    out = {
        "positions": vertices @ matrix[:3, :3].T + matrix[:3, 3],
        "corners": vertices[index] @ matrix[:3, :3].T + matrix[:3, 3],
        "normals": normals.reshape(-1, 3) @ turn.T,
        "unique": np.array([len(np.unique(vertices, axis=0))]),
    }
    if mesh.uv_layers:
        uv = np.empty(len(mesh.loops) * 2, np.float32)
        mesh.uv_layers.active.uv.foreach_get("vector", uv)
        out["uv"] = uv.reshape(-1, 2)
    return out


def main(source: Path, out: Path) -> None:
    bpy.ops.wm.read_factory_settings(use_empty=True)
    IMPORTERS[source.suffix](str(source))
    bpy.context.view_layer.update()
    items = [o for o in bpy.context.scene.objects if o.type == "MESH"]
    materials = list({m.name: m for o in items for m in o.data.materials if m}.values())
    parts = [arrays_of(o) for o in items]
    arrays = {k: np.concatenate([p[k] for p in parts]) for k in parts[0]} if parts else {}
    pictures = [p for m in materials if (p := base_picture(m)) is not None]
    if pictures:
        arrays["picture"] = pictures[0]
    np.savez(out, **arrays)
    answer = {
        "version": bpy.app.version_string,
        "objects": [o.name for o in items],
        "polygon_sizes": sorted({len(f.vertices) for o in items for f in o.data.polygons}),
        "materials": [about_material(m) for m in materials],
        "uv_layers": [len(o.data.uv_layers) for o in items],
    }
    sys.stdout.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
