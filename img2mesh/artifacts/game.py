"""What a game engine wants besides a textured mesh: maps, levels of detail, collision hulls."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from img2mesh.artifacts.shapes import Mesh, TexturedMesh
from img2mesh.core.arrays import F32, I32, U8, frozen_array


@dataclass(frozen=True, eq=False)
class Lod:
    """A coarser version of a textured mesh that uses its vertices, uv and textures.

    Attributes:
        faces: (m, 3) int32 into the textured mesh's own vertices.
        target: the face budget.
        error_mean: mean distance between both surfaces, in percent of the bounding box' diagonal.
        error_max: the largest distance, in percent of the diagonal.
    """

    faces: I32
    target: int
    error_mean: float
    error_max: float

    def __post_init__(self) -> None:
        frozen_array(self, "faces", np.int32, None, 3)

    def __repr__(self) -> str:
        return f"Lod({len(self.faces)} faces, error at most {self.error_max:.3g} %)"


@dataclass(frozen=True, eq=False)
class GameParts:
    """What a game engine wants besides a textured mesh; everything may be missing.

    Attributes:
        normal_map: (t, t, 3) uint8 tangent-space normals of the fit, green up.
        orm_map: (t, t, 3) uint8 occlusion, roughness and metalness.
        tangents: (n, 4) float32 tangent and bitangent sign of each vertex, for the normal map.
        lods: coarser and coarser versions.
        hulls: convex bodies that stand in for the mesh in collisions, in the asset's frame.
        enclosed: share of the surface that lies within 2 % of the diagonal of the hulls; None
            without hulls.
        notes: sentences for the user.
    """

    normal_map: U8 | None = None
    orm_map: U8 | None = None
    tangents: F32 | None = None
    lods: tuple[Lod, ...] = ()
    hulls: tuple[Mesh, ...] = ()
    enclosed: float | None = None
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("normal_map", "orm_map"):
            if getattr(self, name) is not None:
                frozen_array(self, name, np.uint8, None, None, 3)
        if self.tangents is not None:
            frozen_array(self, "tangents", np.float32, None, 4)
        object.__setattr__(self, "lods", tuple(self.lods))
        object.__setattr__(self, "hulls", tuple(self.hulls))

    def __repr__(self) -> str:
        maps = [n for n in ("normal_map", "orm_map") if getattr(self, n) is not None]
        return f"GameParts({', '.join([*maps, *map(repr, self.lods), f'{len(self.hulls)} hulls'])})"

    def __bool__(self) -> bool:
        """Whether there is anything to deliver."""
        return bool(self.lods or self.hulls) or any(
            x is not None for x in (self.normal_map, self.orm_map)
        )

    def with_maps(self, asset: TexturedMesh) -> TexturedMesh:
        """The asset with the maps on."""
        return replace(
            asset, normal_map=self.normal_map, orm_map=self.orm_map, tangents=self.tangents
        )

    def lod_meshes(self, asset: TexturedMesh) -> tuple[TexturedMesh, ...]:
        """The levels of detail as meshes of their own, maps on, without vertices they don't use."""
        mapped = self.with_maps(asset)
        return tuple(_restricted(mapped, lod.faces) for lod in self.lods)


def _restricted(asset: TexturedMesh, faces: I32) -> TexturedMesh:
    used, inverse = np.unique(faces, return_inverse=True)
    return replace(
        asset,
        vertices=asset.vertices[used],
        faces=inverse.reshape(-1, 3).astype(np.int32),
        uv=asset.uv[used],
        normals=asset.normals[used],
        # Numbered anew without gaps, so that `joined` holds no stray vertex.
        source_vertex=np.unique(asset.source_vertex[used], return_inverse=True)[1].astype(np.int32),
        tangents=None if asset.tangents is None else asset.tangents[used],
    )
