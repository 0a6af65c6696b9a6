"""Pictures between the stages: the photo, its cutout, posed views and their depths.

Colours are sRGB-encoded float32 in [0, 1] with straight alpha unless a field says otherwise;
see :mod:`img2mesh.core.cameras` for axes, depth and pixel conventions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from img2mesh.core.arrays import F32, F64, U8, frozen_array, require_unit, unit_floats
from img2mesh.core.cameras import Camera, scene_bounds
from img2mesh.errors import InputError

if TYPE_CHECKING:
    from os import PathLike

    from PIL import Image

#: Radius of scenes that are taken in the unit they come in; those of the rigs have 1.6.
_USUAL = 0.25, 16.0


@dataclass(frozen=True, eq=False)
class Photo:
    """A picture as the user gave it, upright and in sRGB.

    Attributes:
        rgb: (h, w, 3) uint8.
        alpha: (h, w) uint8, or None where the file has no transparency at all.
        mask: (h, w) uint8 object mask given beside the picture (``--mask``), or None.
        name: the file's stem.
        notes: what was done or ignored while opening it, in sentences for the user.
        reduction: pixels of the file per pixel here, 1 where it was not shrunk.
        provenance: of a picture that a model drew; None for what the user gave.
    """

    rgb: U8
    alpha: U8 | None = None
    mask: U8 | None = None
    name: str = "photo"
    notes: tuple[str, ...] = ()
    reduction: float = 1.0
    provenance: Provenance | None = None

    def __post_init__(self) -> None:
        rgb = frozen_array(self, "rgb", np.uint8, None, None, 3)
        for name in ("alpha", "mask"):
            if getattr(self, name) is not None:
                frozen_array(self, name, np.uint8, *rgb.shape[:2])

    def __repr__(self) -> str:
        extras = "".join(f", {n}" for n in ("alpha", "mask") if getattr(self, n) is not None)
        return f"Photo({self.name!r}, {_size(self.rgb)}{extras})"

    @classmethod
    def open(cls, path: str | PathLike[str], *, mask: str | PathLike[str] | None = None) -> Photo:
        """Open a picture file (and a mask of the same size beside it).

        Raises:
            InputError: unreadable, too large, or no picture at all; says which and what to do.
        """
        from img2mesh.io.photos import read_photo

        path = Path(path)
        photo, object_mask = read_photo(path, mask=None if mask is None else Path(mask))
        return cls(photo.rgb, photo.alpha, object_mask, path.stem, photo.notes, photo.reduction)

    @classmethod
    def from_image(
        cls,
        picture: Image.Image | NDArray[Any],
        *,
        mask: Path | Image.Image | NDArray[Any] | None = None,
        name: str = "photo",
    ) -> Photo:
        """A picture that is in memory; treated as a file: turned upright, made sRGB and smaller.

        Args:
            picture: of Pillow, or (h, w), (h, w, 3) or (h, w, 4) uint8 or float in [0, 1].
            mask: of the object, of the same proportions.
            name: what the object is called.

        Raises:
            InputError: an array of another shape or type; too large, too small or transparent.
        """
        from img2mesh.io.photos import read_photo

        photo, object_mask = read_photo(picture, mask=mask)
        return cls(photo.rgb, photo.alpha, object_mask, name, photo.notes, photo.reduction)


@dataclass(frozen=True, eq=False)
class Cutout:
    """The object alone: square, centred, its longest side ``foreground_ratio`` of the frame.

    Attributes:
        rgb: (s, s, 3) float32; outside the object the nearest object colour, never the background.
        alpha: (s, s) float32 straight alpha.
        photo_from_cutout: (3, 3) float64 homogeneous pixel map, cutout pixel (u, v, 1) -> photo.
        confidence: how sure the segmentation is, in [0, 1]; 1 for a given alpha or mask.
        method: what made the mask: ``alpha``, ``mask``, ``none``, or the segmenter.
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

    def __repr__(self) -> str:
        return f"Cutout({_size(self.rgb)}, by {self.method}, confidence {self.confidence:.2f})"

    @property
    def size(self) -> int:
        """Side length in pixels."""
        return int(self.alpha.shape[0])


@dataclass(frozen=True, eq=False)
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

    def __repr__(self) -> str:
        return f"View({_size(self.rgb)}, {self.camera or 'no camera'})"


def _size(rgb: NDArray[Any]) -> str:
    return f"{rgb.shape[-2]}x{rgb.shape[-3]}"


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
        confidence: in [0, 1]; :mod:`img2mesh.pose.search` defines it.
    """

    elevation_deg: float
    azimuth_deg: float
    confidence: float


@dataclass(frozen=True, eq=False)
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
        unit: so many units of the given cameras' own world are one of this world.
    """

    rgb: F32
    alpha: F32
    cameras: tuple[Camera, ...]
    depth: F32 | None = None
    normals: F32 | None = None
    photo: View | None = None
    provenance: Provenance = Provenance()
    photo_pose: PhotoPose | None = None
    unit: float = 1.0

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

    def __repr__(self) -> str:
        extras = [n for n in ("depth", "normals", "photo") if getattr(self, n) is not None]
        parts = [f"{len(self)} views", _size(self.rgb), self.provenance.generator, *extras]
        return f"ViewSet({', '.join(parts)})"

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

    def in_usual_unit(self) -> ViewSet:
        """The same views in a world whose scene is neither tiny nor huge.

        Nothing that follows then hangs on whether the cameras came in metres or millimetres. The
        factor is a power of two, so no number is rounded; a scene of usual size stays as it is.
        """
        try:
            _, radius = scene_bounds(self.cameras)
        except InputError:
            return self  # what is wrong with them is said where they are used
        if _USUAL[0] <= radius <= _USUAL[1]:
            return self
        factor = 2.0 ** -round(float(np.log2(radius)))
        move = np.diag([factor, factor, factor, 1.0])
        photo = self.photo
        if photo is not None and photo.camera is not None:
            photo = replace(photo, camera=photo.camera.moved(move, scale=factor))
        return replace(
            self,
            cameras=tuple(c.moved(move, scale=factor) for c in self.cameras),
            depth=None if self.depth is None else self.depth * np.float32(factor),
            photo=photo,
            unit=self.unit / factor,
        )

    @classmethod
    def open(
        cls,
        path: str | PathLike[str],
        *,
        rig: str | None = None,
        group: str | None = None,
        elevation: float | None = None,
        normals: str | PathLike[str] | None = None,
        photo: str | PathLike[str] | None = None,
    ) -> ViewSet:
        """Open a sheet (``rig`` names its cameras) or a folder of posed views.

        ``elevation`` is for rigs that leave it open: of MVDream's ring (0 to 30 degrees; 15), or of
        SyncDreamer's input (-10 to 40). ``normals`` is a sheet of normals of the same views;
        ``photo`` the picture that they were drawn from, on transparency or one plain colour.

        Raises:
            InputError: what is wrong with the sheet, folder, cameras file or picture.
        """
        from img2mesh.io.views import read_cutout, read_views

        found = read_views(
            Path(path),
            rig=rig,
            group=group,
            elevation=elevation,
            normals=None if normals is None else Path(normals),
        )
        return cls(
            found.rgb,
            found.alpha,
            found.cameras,
            depth=found.depth,
            normals=found.normals,
            photo=None if photo is None else View(*read_cutout(Path(photo)), None),
            provenance=Provenance(generator="given", exact=True, notes=found.notes),
        )

    @classmethod
    def from_arrays(
        cls,
        rgb: ArrayLike,
        alpha: ArrayLike,
        cameras: Sequence[Camera],
        *,
        depth: ArrayLike | None = None,
        normals: ArrayLike | None = None,
    ) -> ViewSet:
        """Views that are in memory; checked as files would be, colour continued past the outline.

        Args:
            rgb: (v, h, w, 3) uint8, or float in [0, 1], sRGB-encoded.
            alpha: (v, h, w) bool, uint8, or float in [0, 1].
            cameras: v cameras, for h x w pixels.
            depth: (v, h, w) z-depth in world units, NaN where there is no surface; checked as
                files are.
            normals: (v, h, w, 3) unit world-space normals, 0 where there is none.

        Raises:
            InputError: another shape or range, fewer than three views, a view without an object,
                or cameras that do not look at it.
        """
        from img2mesh.io.views import believable_depth, check_views

        found = check_views(unit_floats(rgb, "rgb"), unit_floats(alpha, "alpha"), tuple(cameras))
        known = None
        told: tuple[str, ...] = ()
        if depth is not None:
            known = np.asarray(depth, np.float32)
            if known.shape != found.alpha.shape:
                raise InputError(
                    f"depth must have shape {found.alpha.shape}, as alpha, got {known.shape}"
                )
            known, told = believable_depth(known, found.alpha, found.cameras)
        return cls(
            found.rgb,
            found.alpha,
            found.cameras,
            depth=known,
            normals=None if normals is None else np.asarray(normals, np.float32),
            provenance=Provenance("given", exact=True, notes=(*found.notes, *told)),
        )


@dataclass(frozen=True, eq=False)
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

    def __repr__(self) -> str:
        return f"DepthSet({len(self.depth)} maps, {_size(self.depth[..., None])})"
