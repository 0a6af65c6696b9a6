"""Runs in Blender: the add-on, registered, used on a photo; what was imported as a line of JSON.

``python blender_addon.py ADDON.py PHOTO SERVER``
"""

from __future__ import annotations

import json
import runpy
import sys

import bpy

addon, photo, server = sys.argv[1:]
bpy.ops.wm.read_factory_settings(use_empty=True)
module = runpy.run_path(addon)
module["register"]()
try:
    said = sorted(bpy.ops.import_scene.photo_to_mesh(filepath=photo, server=server))
except RuntimeError as error:  # what an operator reports as an error
    said = [str(error)]
found = [len(one.data.polygons) for one in bpy.data.objects if one.type == "MESH"]
module["unregister"]()
print("\n" + json.dumps({"said": said, "faces": found}))  # noqa: T201
