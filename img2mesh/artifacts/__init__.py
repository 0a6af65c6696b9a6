"""The values stages hand to each other: frozen, typed, validated when made. numpy only.

How they lie on disk is in :mod:`img2mesh.artifacts.codecs`.
"""

from img2mesh.artifacts.game import GameParts, Lod
from img2mesh.artifacts.pictures import (
    Cutout,
    DepthSet,
    Photo,
    PhotoPose,
    Provenance,
    View,
    ViewSet,
)
from img2mesh.artifacts.shapes import Mesh, Quality, RadianceField, TexturedMesh

__all__ = [
    "Cutout",
    "DepthSet",
    "GameParts",
    "Lod",
    "Mesh",
    "Photo",
    "PhotoPose",
    "Provenance",
    "Quality",
    "RadianceField",
    "TexturedMesh",
    "View",
    "ViewSet",
]
