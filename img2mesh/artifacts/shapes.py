"""Shapes between the stages: the fitted field, the mesh, the textured mesh, its measures."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from img2mesh.core.arrays import F32, F64, I32, OUTSIDE, U8, UNSEEN, frozen_array
from img2mesh.errors import InputError

if TYPE_CHECKING:
    from os import PathLike

    import open3d as o3d
    import trimesh


@dataclass(frozen=True, eq=False)
class RadianceField:
    """A fitted signed-distance radiance field on a regular grid.

    Attributes:
        sdf: (nx, ny, nz) float32 signed distance in world units, negative inside, at grid points.
        origin: (3,) float64 world position of ``sdf[0, 0, 0]``.
        voxel: edge length in world units; point (i, j, k) is ``origin + voxel * (i, j, k)``.
        sharpness: logistic scale b of the last fitting step, in world units.
        notes: what the fit wants the user to know.
        parts: how many separate pieces the views' outlines show; a body in one piece has outlines
            in one piece.
    """

    sdf: F32
    origin: F64
    voxel: float
    sharpness: float
    notes: tuple[str, ...] = ()
    parts: int = 1

    def __post_init__(self) -> None:
        sdf = frozen_array(self, "sdf", np.float32, None, None, None)
        frozen_array(self, "origin", np.float64, 3)
        if not np.isfinite(sdf).all():
            raise InputError("the radiance field holds values that are not finite")
        if self.voxel <= 0 or self.sharpness <= 0:
            raise InputError("a radiance field needs a positive voxel size and sharpness")

    def __repr__(self) -> str:
        return f"RadianceField({'x'.join(map(str, self.sdf.shape))}, voxel {self.voxel:.4g})"


@dataclass(frozen=True, eq=False)
class Mesh:
    """Triangles in world coordinates, counter-clockwise seen from outside.

    Attributes:
        vertices: (n, 3) float32.
        faces: (m, 3) int32.
        notes: what extraction and cleaning want the user to know.
    """

    vertices: F32
    faces: I32
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        vertices = frozen_array(self, "vertices", np.float32, None, 3)
        faces = frozen_array(self, "faces", np.int32, None, 3)
        if not len(faces):
            raise InputError("the mesh is empty: no surface was found")
        if not np.isfinite(vertices).all():
            raise InputError("the mesh has vertices that are not finite")
        if faces.min() < 0 or faces.max() >= len(vertices):
            raise InputError("the mesh has faces that name vertices it does not have")

    def __repr__(self) -> str:
        return f"Mesh({len(self.vertices)} vertices, {len(self.faces)} faces)"

    def to_trimesh(self) -> trimesh.Trimesh:
        """A copy for trimesh, vertices and faces in the same order."""
        import trimesh

        return trimesh.Trimesh(self.vertices, self.faces, process=False)


@dataclass(frozen=True, eq=False)
class TexturedMesh:
    """A mesh with a texture atlas: the deliverable.

    Vertices are split at chart borders; ``source_vertex`` joins them again.

    Attributes:
        vertices: (n, 3) float32 in the asset's own frame.
        faces: (m, 3) int32.
        uv: (n, 2) float32 in [0, 1], glTF convention: (0, 0) is the *top left* of the picture.
        normals: (n, 3) float32 unit vertex normals.
        texture: (t, t, 3) uint8 base colour, sRGB.
        coverage: (t, t) uint8: 0 outside every chart, 1 unseen and filled, 2 seen in the views,
            3 seen in the photo.
        source_vertex: (n,) int32 index of the unsplit vertex.
        asset_from_world: (4, 4) float64 similarity that took world to asset coordinates.
        name: what the object is called in the files.
        notes: sentences for the user.
        normal_map: (t', t', 3) uint8 tangent-space normals, +y (green) up as in glTF; or None.
        orm_map: (t", t", 3) uint8 occlusion, roughness and metalness as R, G and B; or None.
        tangents: (n, 4) float32 unit tangents and the bitangent's sign, which the normal map was
            baked for (MikkTSpace); or None.
    """

    vertices: F32
    faces: I32
    uv: F32
    normals: F32
    texture: U8
    coverage: U8
    source_vertex: I32
    asset_from_world: F64 = field(default_factory=lambda: np.eye(4))
    name: str = "object"
    notes: tuple[str, ...] = ()
    normal_map: U8 | None = None
    orm_map: U8 | None = None
    tangents: F32 | None = None

    def __post_init__(self) -> None:
        n = len(frozen_array(self, "vertices", np.float32, None, 3))
        faces = frozen_array(self, "faces", np.int32, None, 3)
        frozen_array(self, "uv", np.float32, n, 2)
        frozen_array(self, "normals", np.float32, n, 3)
        texture = frozen_array(self, "texture", np.uint8, None, None, 3)
        frozen_array(self, "coverage", np.uint8, *texture.shape[:2])
        frozen_array(self, "source_vertex", np.int32, n)
        frozen_array(self, "asset_from_world", np.float64, 4, 4)
        for name in ("normal_map", "orm_map"):
            if getattr(self, name) is not None:
                frozen_array(self, name, np.uint8, None, None, 3)
        if self.tangents is not None:
            frozen_array(self, "tangents", np.float32, n, 4)
        if not len(faces):
            raise InputError("the textured mesh is empty")

    @property
    def joined(self) -> Mesh:
        """The surface with chart borders sewn together: what watertightness is judged on."""
        count = int(self.source_vertex.max()) + 1
        vertices = np.zeros((count, 3), np.float32)
        vertices[self.source_vertex] = self.vertices
        return Mesh(vertices, self.source_vertex[self.faces])

    def __repr__(self) -> str:
        inside = self.coverage != OUTSIDE
        seen = (self.coverage > UNSEEN).sum() / max(inside.sum(), 1)
        size = f"{len(self.faces)} faces, {len(self.texture)} px"
        return f"TexturedMesh({self.name!r}, {size}, {seen:.0%} seen)"

    def to_trimesh(self) -> trimesh.Trimesh:
        """A copy for trimesh, with texture and maps, vertices and faces in the same order."""
        import trimesh
        from PIL import Image

        maps = {"normalTexture": "normal_map", "metallicRoughnessTexture": "orm_map"}
        material = trimesh.visual.material.PBRMaterial(
            name=self.name,
            baseColorTexture=Image.fromarray(self.texture),
            **{
                texture: Image.fromarray(getattr(self, name))
                for texture, name in maps.items()
                if getattr(self, name) is not None
            },
        )
        uv = np.stack([self.uv[:, 0], 1 - self.uv[:, 1]], axis=1)  # trimesh counts from below
        visual = trimesh.visual.TextureVisuals(uv=uv, material=material)
        return trimesh.Trimesh(
            self.vertices, self.faces, vertex_normals=self.normals, visual=visual, process=False
        )

    def to_open3d(self) -> o3d.geometry.TriangleMesh:
        """A copy for Open3D with its texture, vertices and faces in the same order."""
        import open3d as o3d

        vector = o3d.utility
        texture: Any = self.texture.copy()  # its stubs know no arrays
        mesh = o3d.geometry.TriangleMesh(
            vector.Vector3dVector(self.vertices.astype(np.float64)),
            vector.Vector3iVector(self.faces.copy()),
        )
        mesh.vertex_normals = vector.Vector3dVector(self.normals.astype(np.float64))
        # As it keeps them itself: v = 0 is the first row of the stored picture.
        mesh.triangle_uvs = vector.Vector2dVector(self.uv[self.faces].reshape(-1, 2))
        mesh.triangle_material_ids = vector.IntVector(np.zeros(len(self.faces), np.int32))
        mesh.textures = [o3d.geometry.Image(texture)]
        return mesh

    def save(self, path: str | PathLike[str]) -> Path:
        """Write .glb, .gltf, .obj, .ply, .stl, .3mf or .usdz, by the suffix.

        Raises:
            InputError: unknown suffix.
            MissingExtraError: .usdz without its extra.
        """
        from img2mesh.io.meshes import save_mesh

        return save_mesh(self, Path(path))


@dataclass(frozen=True, eq=False)
class Quality:
    """What was measured on the finished asset, and pictures of it.

    Attributes:
        measures: JSON values by name; the measured part of ``report.json``.
        preview: (h, w, 3) uint8 sRGB contact picture: the input beside four shaded views.
    """

    measures: dict[str, Any]
    preview: U8

    def __post_init__(self) -> None:
        frozen_array(self, "preview", np.uint8, None, None, 3)

    def __repr__(self) -> str:
        return f"Quality({len(self.measures)} measures)"
