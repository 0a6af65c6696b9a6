"""The add-on for Blender and the node for ComfyUI against a server; what they run in is faked."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.conftest import ROOT
from tests.web.conftest import Server

EXAMPLES = ROOT / "docs" / "examples" / "serve"


def blender(imported: list[bytes]) -> dict[str, ModuleType]:
    """As much of Blender as the add-on touches."""

    class Operator:
        def report(self, kind: set[str], sentence: str) -> None:
            self.said = kind, sentence

    def gltf(filepath: str) -> set[str]:
        imported.append(Path(filepath).read_bytes())
        return {"FINISHED"}

    menu: list[Any] = []
    bpy: Any = ModuleType("bpy")
    bpy.types = SimpleNamespace(Operator=Operator, TOPBAR_MT_file_import=menu)
    bpy.utils = SimpleNamespace(register_class=menu.append, unregister_class=menu.remove)
    bpy.app = SimpleNamespace(background=True)
    bpy.ops = SimpleNamespace(import_scene=SimpleNamespace(gltf=gltf))
    bpy.props = SimpleNamespace(StringProperty=lambda **about: about)
    extras: Any = ModuleType("bpy_extras")
    helper: Any = ModuleType("bpy_extras.io_utils")
    helper.ImportHelper = type("ImportHelper", (), {})
    return {"bpy": bpy, "bpy_extras": extras, "bpy_extras.io_utils": helper}


def test_the_blender_add_on_imports_what_the_server_made(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    imported: list[bytes] = []
    for name, module in blender(imported).items():
        monkeypatch.setitem(sys.modules, name, module)
    addon = runpy.run_path(str(EXAMPLES / "blender_addon.py"))
    addon["register"]()
    photo = tmp_path / "my cup.png"
    photo.write_bytes(b"pixels")
    operator = addon["IMPORT_OT_photo_to_mesh"]()
    operator.filepath, operator.token = str(photo), ""
    operator.server = f"http://127.0.0.1:{server.port}/"
    assert operator.execute(None) == {"FINISHED"} and imported == [b"glTF of pixels"]
    photo.write_bytes(b"bad")
    assert operator.execute(None) == {"CANCELLED"}
    assert "is a poem: expected a picture" in operator.said[1]
    operator.server = "http://127.0.0.1:9"
    assert operator.execute(None) == {"CANCELLED"} and operator.said[1]
    addon["unregister"]()
    assert len(imported) == 1


def test_the_comfyui_node_sends_image_mask_and_settings(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths: Any = ModuleType("folder_paths")
    paths.get_output_directory = lambda: str(tmp_path)
    monkeypatch.setitem(sys.modules, "folder_paths", paths)
    node = runpy.run_path(str(EXAMPLES / "comfyui_node.py"))
    maker = node["NODE_CLASS_MAPPINGS"]["img2mesh PhotoToMesh"]()
    assert set(maker.INPUT_TYPES()["required"]) == {"image", "server", "faces", "seed"}
    image, mask = np.ones((1, 4, 5, 3), np.float32), np.zeros((1, 4, 5), np.float32)
    (name,) = maker.make(image, f"http://127.0.0.1:{server.port}", 700, 3, mask=mask, token="t")
    assert (tmp_path / name).read_bytes().startswith(b"glTF of \x89PNG")
    (card,) = server.jobs().values()
    assert card["versions"][0]["masked"]
    wish = {"surface.target_faces": 700, "views.seed": 3}
    assert card["versions"][0]["wish"]["settings"] == wish
    with pytest.raises(RuntimeError, match="target_faces"):
        maker.make(image, f"http://127.0.0.1:{server.port}", 1, 3)
