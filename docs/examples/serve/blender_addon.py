"""An add-on for Blender 4.2 and later: File > Import > Photo to mesh. Needs ``img2mesh serve``.

It sends a picture to the server and imports the mesh that comes back. Blender stays usable
meanwhile. Nothing but Python's own library is used.
"""

import tempfile
import threading
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

import bpy
from bpy.props import StringProperty
from bpy_extras.io_utils import ImportHelper

bl_info = {"name": "Photo to mesh (img2mesh)", "blender": (4, 2, 0), "category": "Import-Export"}


def mesh_of(photo: str, server: str, token: str = "", timeout: float = 600) -> bytes:
    """The GLB that a server makes of a photo; RuntimeError with its sentence if it cannot."""
    asked = urllib.parse.urlencode({"name": Path(photo).name, "timeout": timeout})
    address = f"{server.rstrip('/')}/api/v1/mesh?{asked}"
    request = urllib.request.Request(address, Path(photo).read_bytes())
    request.add_header("Content-Type", "application/octet-stream")
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    try:
        with urllib.request.urlopen(request, timeout=timeout + 30) as answer:
            return answer.read()
    except urllib.error.HTTPError as error:
        raise RuntimeError(error.read().decode("utf-8", "replace")[:500]) from error


class IMPORT_OT_photo_to_mesh(bpy.types.Operator, ImportHelper):
    """Make a mesh of a photo and import it."""

    bl_idname, bl_label = "import_scene.photo_to_mesh", "Photo to mesh"
    filter_glob: StringProperty(default="*.png;*.jpg;*.jpeg;*.webp", options={"HIDDEN"})
    server: StringProperty(name="Server", default="http://127.0.0.1:7860")
    token: StringProperty(name="Token", subtype="PASSWORD")

    def execute(self, context):
        self.made, self.error = None, ""
        given = (self.filepath, self.server, self.token)
        self.thread = threading.Thread(target=self.ask, args=given, daemon=True)
        self.thread.start()
        if bpy.app.background:  # nobody waits at a window
            self.thread.join()
            return self.finish()
        self.timer = context.window_manager.event_timer_add(0.5, window=context.window)
        context.window_manager.modal_handler_add(self)
        return {"RUNNING_MODAL"}

    def ask(self, *given):
        try:
            self.made = mesh_of(*given)
        except (OSError, RuntimeError) as error:
            self.error = str(error)

    def modal(self, context, event):
        if event.type != "TIMER" or self.thread.is_alive():
            return {"PASS_THROUGH"}
        context.window_manager.event_timer_remove(self.timer)
        return self.finish()

    def finish(self):
        if self.made is None:
            self.report({"ERROR"}, self.error)
            return {"CANCELLED"}
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "mesh.glb")
            path.write_bytes(self.made)
            return bpy.ops.import_scene.gltf(filepath=str(path))


def entry(menu, context):
    menu.layout.operator(IMPORT_OT_photo_to_mesh.bl_idname)


def register():
    bpy.utils.register_class(IMPORT_OT_photo_to_mesh)
    bpy.types.TOPBAR_MT_file_import.append(entry)


def unregister():
    bpy.types.TOPBAR_MT_file_import.remove(entry)
    bpy.utils.unregister_class(IMPORT_OT_photo_to_mesh)
