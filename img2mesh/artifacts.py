"""The values stages hand to each other: frozen, typed, validated when made. numpy only.

Colours are sRGB-encoded float32 in [0, 1] with straight alpha unless a field says otherwise;
see :mod:`img2mesh.cameras` for axes, depth and pixel conventions.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from img2mesh.cameras import Camera
from img2mesh.errors import InputError
from img2mesh.frozen import frozen_array, require_unit

if TYPE_CHECKING:
    from os import PathLike

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
I32 = NDArray[np.int32]
U8 = NDArray[np.uint8]


@dataclass(frozen=True)
class Photo:
    """A picture as the user gave it, upright and in sRGB.

    Attributes:
        rgb: (h, w, 3) uint8.
        alpha: (h, w) uint8, or None where the file has no transparency at all.
        mask: (h, w) uint8 object mask given beside the picture (``--mask``), or None.
        name: the file's stem.
        notes: what was done or ignored while opening it, in sentences for the user.
    """

    rgb: U8
    alpha: U8 | None = None
    mask: U8 | None = None
    name: str = "photo"
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        rgb = frozen_array(self, "rgb", np.uint8, None, None, 3)
        for name in ("alpha", "mask"):
            if getattr(self, name) is not None:
                frozen_array(self, name, np.uint8, *rgb.shape[:2])

    @classmethod
    def open(cls, path: str | PathLike[str], *, mask: str | PathLike[str] | None = None) -> Photo:
        """Open a picture file (and a mask of the same size beside it).

        Raises:
            InputError: unreadable, too large, or no picture at all; says which and what to do.
        """
        from img2mesh.images import open_photo

        return open_photo(Path(path), mask=None if mask is None else Path(mask))


@dataclass(frozen=True)
class Cutout:
    """The object alone: square, centred, its longest side ``foreground_ratio`` of the frame.

    Attributes:
        rgb: (s, s, 3) float32; outside the object the nearest object colour, never the background.
        alpha: (s, s) float32 straight alpha.
        photo_from_cutout: (3, 3) float64 homogeneous pixel map, cutout pixel (u, v, 1) -> photo.
        confidence: how sure the segmentation is, in [0, 1]; 1 for a given alpha or mask.
        method: what made the mask: ``alpha``, ``mask``, ``border``, ``sam``, ``onnx``, ``none``.
        notes: warnings in sentences for the user.
    """

    rgb: F32
    alpha: F32
    photo_from_cutout: F64 = field(default_factory=lambda: np.eye(3))
    confidence: float = 1.0
    method: str = "alpha"
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        rgb = frozen_array(self, "rgb", np.float32, None, None, 3)
        frozen_array(self, "alpha", np.float32, *rgb.shape[:2])
        frozen_array(self, "photo_from_cutout", np.float64, 3, 3)
        require_unit(self, "rgb", "alpha")
        if rgb.shape[0] != rgb.shape[1]:
            raise InputError(f"a cutout must be square, got {rgb.shape[1]}x{rgb.shape[0]}")
        if not (self.alpha > 0.5).any():
            raise InputError("the cutout is empty: no pixel belongs to the object")

    @property
    def size(self) -> int:
        """Side length in pixels."""
        return int(self.alpha.shape[0])


@dataclass(frozen=True)
class View:
    """One posed picture.

    Attributes:
        rgb: (h, w, 3) float32.
        alpha: (h, w) float32.
        camera: its pose, or None where it is not known.
    """

    rgb: F32
    alpha: F32
    camera: Camera | None

    def __post_init__(self) -> None:
        rgb = frozen_array(self, "rgb", np.float32, None, None, 3)
        frozen_array(self, "alpha", np.float32, *rgb.shape[:2])
        require_unit(self, "rgb", "alpha")
        _check_size(self.camera, rgb.shape)


def _check_size(camera: Camera | None, shape: tuple[int, ...]) -> None:
    if camera is not None and (camera.height, camera.width) != shape[:2]:
        raise InputError(
            f"a camera for {camera.width}x{camera.height} pixels was given with a picture of "
            f"{shape[1]}x{shape[0]}"
        )


@dataclass(frozen=True)
class Provenance:
    """Where views come from; travels unchanged into ``report.json``.

    Attributes:
        generator: ``geometric``, ``zero123plus-v1.1``, ..., or ``given`` for the user's own views.
        learned_weights: whether a trained network drew them.
        exact: whether the views are consistent renders of one body (geometric, given) rather than
            a network's guesses; chooses the fit's smoothness.
        licences: licences of the weights used.
        notes: sentences for the user.
    """

    generator: str = "given"
    learned_weights: bool = False
    exact: bool = True
    licences: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class PhotoPose:
    """Where the photo seems to have been taken from, where its generator does not say.

    Attributes:
        elevation_deg, azimuth_deg: direction as seen from the object, in the views' world.
        confidence: in [0, 1]; :mod:`img2mesh.depth.photo_pose` defines it.
    """

    elevation_deg: float
    azimuth_deg: float
    confidence: float


@dataclass(frozen=True)
class ViewSet:
    """Posed views of one object, all of one size, in one world.

    Attributes:
        rgb: (v, h, w, 3) float32.
        alpha: (v, h, w) float32.
        cameras: v cameras.
        depth: (v, h, w) float32 z-depth in world units, NaN where there is no surface; or None.
        normals: (v, h, w, 3) float32 unit world-space normals, 0 where there is none; or None.
        photo: the input picture as one more view (own size); its camera may be None.
        provenance: who drew the views.
        photo_pose: what was found out about the photo's camera, if it had to be; the photo has a
            camera only where that was sure enough.
    """

    rgb: F32
    alpha: F32
    cameras: tuple[Camera, ...]
    depth: F32 | None = None
    normals: F32 | None = None
    photo: View | None = None
    provenance: Provenance = Provenance()
    photo_pose: PhotoPose | None = None

    def __post_init__(self) -> None:
        rgb = frozen_array(self, "rgb", np.float32, None, None, None, 3)
        frozen_array(self, "alpha", np.float32, *rgb.shape[:3])
        require_unit(self, "rgb", "alpha")
        object.__setattr__(self, "cameras", tuple(self.cameras))
        if len(self.cameras) != len(rgb):
            raise InputError(f"{len(rgb)} views came with {len(self.cameras)} cameras")
        for camera in self.cameras:
            _check_size(camera, rgb.shape[1:])
        if self.depth is not None:
            frozen_array(self, "depth", np.float32, *rgb.shape[:3])
        if self.normals is not None:
            frozen_array(self, "normals", np.float32, *rgb.shape)

    def __len__(self) -> int:
        return len(self.rgb)

    @property
    def views(self) -> tuple[View, ...]:
        """The posed views as single values, without the photo."""
        return tuple(
            View(r, a, c) for r, a, c in zip(self.rgb, self.alpha, self.cameras, strict=True)
        )

    @property
    def posed(self) -> tuple[View, ...]:
        """Every view with a known camera: the views, then the photo if its pose is known."""
        if self.photo is None or self.photo.camera is None:
            return self.views
        return (*self.views, self.photo)

    @classmethod
    def open(
        cls, path: str | PathLike[str], *, rig: str | None = None, group: str | None = None
    ) -> ViewSet:
        """Open a 3x2 sheet (``rig`` names its cameras) or a folder of posed views.

        Raises:
            InputError: what is wrong with the sheet, folder or cameras file.
        """
        from img2mesh.viewfiles import open_views

        return open_views(Path(path), rig=rig, group=group)


@dataclass(frozen=True)
class DepthSet:
    """z-depth of a coarse shape at the poses of a view set.

    Attributes:
        depth: (v, h, w) float32 world units, NaN = background.
        cameras: v cameras.
    """

    depth: F32
    cameras: tuple[Camera, ...]

    def __post_init__(self) -> None:
        depth = frozen_array(self, "depth", np.float32, None, None, None)
        object.__setattr__(self, "cameras", tuple(self.cameras))
        if len(self.cameras) != len(depth):
            raise InputError(f"{len(depth)} depth maps came with {len(self.cameras)} cameras")


@dataclass(frozen=True)
class RadianceField:
    """A fitted signed-distance radiance field on a regular grid.

    Attributes:
        sdf: (nx, ny, nz) float32 signed distance in world units, negative inside, at grid points.
        origin: (3,) float64 world position of ``sdf[0, 0, 0]``.
        voxel: edge length in world units; point (i, j, k) is ``origin + voxel * (i, j, k)``.
        sharpness: logistic scale b of the last fitting step, in world units.
        notes: what the fit wants the user to know.
    """

    sdf: F32
    origin: F64
    voxel: float
    sharpness: float
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        sdf = frozen_array(self, "sdf", np.float32, None, None, None)
        frozen_array(self, "origin", np.float64, 3)
        if not np.isfinite(sdf).all():
            raise InputError("the radiance field holds values that are not finite")
        if self.voxel <= 0 or self.sharpness <= 0:
            raise InputError("a radiance field needs a positive voxel size and sharpness")


@dataclass(frozen=True)
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


#: Values of ``TexturedMesh.coverage``.
OUTSIDE, UNSEEN, SEEN_IN_VIEWS, SEEN_IN_PHOTO = 0, 1, 2, 3


@dataclass(frozen=True)
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

    def save(self, path: str | PathLike[str]) -> Path:
        """Write .glb, .obj (+ .mtl + picture), .ply, .stl or .usdz, chosen by the suffix.

        Raises:
            InputError: unknown suffix.
            MissingExtraError: .usdz without its extra.
        """
        from img2mesh.meshfiles import save_mesh

        return save_mesh(self, Path(path))


@dataclass(frozen=True)
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
