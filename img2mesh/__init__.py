"""img2mesh: one photo in, a clean, textured, engine-ready mesh out.

Public names are resolved when they are first used; importing the package loads neither torch nor
any other heavy library.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from img2mesh.api import load_settings as load_settings
    from img2mesh.api import reconstruct as reconstruct
    from img2mesh.artifacts import Cutout as Cutout
    from img2mesh.artifacts import Mesh as Mesh
    from img2mesh.artifacts import Photo as Photo
    from img2mesh.artifacts import TexturedMesh as TexturedMesh
    from img2mesh.artifacts import ViewSet as ViewSet
    from img2mesh.errors import Img2MeshError as Img2MeshError
    from img2mesh.graph import Runner as Runner

_HOMES = {
    "reconstruct": "api",
    "load_settings": "api",
    "Photo": "artifacts",
    "Cutout": "artifacts",
    "ViewSet": "artifacts",
    "Mesh": "artifacts",
    "TexturedMesh": "artifacts",
    "Img2MeshError": "errors",
    "Runner": "graph",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'img2mesh' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f"img2mesh.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return [*globals(), *_HOMES]
