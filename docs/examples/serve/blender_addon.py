"""An add-on for Blender 4.2 and later: File > Import > Photo to mesh. Needs ``img2mesh serve``.

It sends a picture to the server and imports the mesh that comes back. Blender stays usable
meanwhile. Nothing but Python's own library is used.
"""

import tempfile
import threading
import urllib.error
import urllib.parse
import urllib.request
from concurrent.futures import Future
from pathlib import Path

import bpy
from bpy_extras.io_utils import ImportHelper

bl_info = {"name": "Photo to mesh (img2mesh)", "blender": (4, 2, 0), "category": "Import-Export"}


def ask(made, photo, server, token):
    """Fulfil ``made`` with the GLB that a server makes of a photo, or with what it says instead."""
    try:
        given = urllib.parse.urlencode({"name": Path(photo).name, "timeout": 1800})
        address = f"{server.rstrip('/')}/api/v1/mesh?{given}"
        headers = {"Content-Type": "image/*", "Authorization": f"Bearer {token}"}
        request = urllib.request.Request(address, Path(photo).read_bytes(), headers)
        with urllib.request.urlopen(request, timeout=1900) as answer:
            made.set_result(answer.read())
    except urllib.error.HTTPError as error:
        made.set_exception(RuntimeError(error.read().decode("utf-8", "replace")[:500]))
    except Exception as error:
        made.set_exception(error)


class IMPORT_OT_photo_to_mesh(bpy.types.Operator, ImportHelper):
    """Make a mesh of a photo and import it."""

    bl_idname, bl_label = "import_scene.photo_to_mesh", "Photo to mesh"
    filter_glob: bpy.props.StringProperty(default="*.png;*.jpg;*.jpeg;*.webp", options={"HIDDEN"})
    server: bpy.props.StringProperty(name="Server", default="http://127.0.0.1:7860")
    token: bpy.props.StringProperty(name="Token", subtype="PASSWORD")

    def execute(self, context):
        self.made = Future()
        given = (self.made, self.filepath, self.server, self.token)
        threading.Thread(target=ask, args=given, daemon=True).start()
        if bpy.app.background:  # nobody waits at a window
            return self.finish()
        self.timer = context.window_manager.event_timer_add(0.5, window=context.window)
        context.window_manager.modal_handler_add(self)
        return {"RUNNING_MODAL"}

    def modal(self, context, event):
        if event.type != "TIMER" or not self.made.done():
            return {"PASS_THROUGH"}
        context.window_manager.event_timer_remove(self.timer)
        return self.finish()

    def finish(self):
        if error := self.made.exception():  # waits
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "mesh.glb").write_bytes(self.made.result())
            return bpy.ops.import_scene.gltf(filepath=str(Path(folder, "mesh.glb")))


def entry(menu, context):
    menu.layout.operator(IMPORT_OT_photo_to_mesh.bl_idname)


def register():
    bpy.utils.register_class(IMPORT_OT_photo_to_mesh)
    bpy.types.TOPBAR_MT_file_import.append(entry)


def unregister():
    bpy.types.TOPBAR_MT_file_import.remove(entry)
    bpy.utils.unregister_class(IMPORT_OT_photo_to_mesh)
