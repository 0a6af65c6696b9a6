"""img2mesh: one photo in, a clean, textured, engine-ready mesh out.

Public names are resolved when they are first used; importing the package loads neither torch nor
any other heavy library.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from img2mesh.api import Progress as Progress
    from img2mesh.api import Result as Result
    from img2mesh.api import Session as Session
    from img2mesh.api import load_settings as load_settings
    from img2mesh.api import reconstruct as reconstruct
    from img2mesh.api import reconstruct_views as reconstruct_views
    from img2mesh.api import run as run
    from img2mesh.artifacts import Cutout as Cutout
    from img2mesh.artifacts import Mesh as Mesh
    from img2mesh.artifacts import Photo as Photo
    from img2mesh.artifacts import RadianceField as RadianceField
    from img2mesh.artifacts import TexturedMesh as TexturedMesh
    from img2mesh.artifacts import ViewSet as ViewSet
    from img2mesh.core.cameras import Camera as Camera
    from img2mesh.core.rigs import rig as rig
    from img2mesh.errors import Img2MeshError as Img2MeshError
    from img2mesh.errors import InputError as InputError
    from img2mesh.graph import Leaf as Leaf
    from img2mesh.graph import Runner as Runner
    from img2mesh.jobs.request import OutputOptions as OutputOptions

    __version__: str

_HOMES = {
    "Progress": "api",
    "Result": "api",
    "Session": "api",
    "load_settings": "api",
    "reconstruct": "api",
    "reconstruct_views": "api",
    "run": "api",
    "Cutout": "artifacts",
    "Mesh": "artifacts",
    "Photo": "artifacts",
    "RadianceField": "artifacts",
    "TexturedMesh": "artifacts",
    "ViewSet": "artifacts",
    "Camera": "core.cameras",
    "rig": "core.rigs",
    "Img2MeshError": "errors",
    "InputError": "errors",
    "Leaf": "graph",
    "Runner": "graph",
    "OutputOptions": "jobs.request",
}

__all__ = ["__version__", *sorted(_HOMES)]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("img2mesh")
    if name not in _HOMES:
        raise AttributeError(f"module 'img2mesh' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"img2mesh.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
