"""Posed views from files: a rig's sheet or folder, or a folder with a camera file.

The cameras' own world is kept: nothing is centred, turned or scaled here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from img2mesh.core.arrays import F32
from img2mesh.core.cameras import Camera
from img2mesh.core.rigs import Rig
from img2mesh.core.rigs import rig as rig_named
from img2mesh.core.system import release_memory
from img2mesh.errors import InputError
from img2mesh.geometry.depth_fit import fit_depth
from img2mesh.imaging.sheet import squares, untile
from img2mesh.io import photos, rig_views
from img2mesh.io.camera_files import Record, has_cameras, read_records
from img2mesh.io.posed import PosedPictures, assemble
from img2mesh.io.view_images import (
    LoadedView,
    Picture,
    read_depth,
    read_mask,
    read_normals,
    read_picture,
    separate,
    world_normals,
)

_FEWEST_VIEWS = 3
_LARGEST_PHOTO = 1024
#: Of more views than these as many are taken, evenly spread.
_MOST_VIEWS = 100
#: Up to so many views, longer sides are reduced to so many pixels: a capture of a telephone then
#: fits into memory, 2 GB from pictures to mesh, and finishes.
_LONGEST = ((24, 1024), (48, 512), (_MOST_VIEWS, 384))
#: Part of every digest: raise it when the same files are read as other views, so that no cached
#: stage is taken for theirs.
_READING = 7


def read_views(
    path: Path,
    *,
    rig: str | None = None,
    group: str | None = None,
    elevation: float | None = None,
    normals: Path | None = None,
) -> PosedPictures:
    """Read posed views of one object.

    Args:
        path: a sheet of a rig's square views, a folder with ``transforms.json`` (nerfstudio /
            Instant-NGP form), ``cameras.json``, ``transforms_train.json`` (Blender) or COLMAP's
            ``cameras`` and ``images``, one of the JSON files, or the folder a rig's program wrote.
        rig: names the cameras of a sheet, or of a folder that has no camera file.
        group: which list of a ``cameras.json`` to take; needed where there are several.
        elevation: degrees, for a rig that leaves it open; see :meth:`img2mesh.core.rigs.Rig.at`.
        normals: a sheet of normals of the same views, (n + 1) / 2 as RGB, x right, y up, z towards
            the camera (each view's own; for Wonder3D and Era3D the first view's), grey where there
            is no surface.

    Returns:
        The views with straight alpha, colour continued past the outline, depth (NaN = nothing) and
        world-space normals where the files name them.

    Raises:
        InputError: says what is wrong with which file.
    """
    path, known = Path(path), _rig(rig, elevation)
    if _is_sheet(path):
        views = rig_views.open_sheet(path, known)
    elif not path.exists():
        raise InputError(f"{path} does not exist: give a sheet or a folder of views")
    elif known is not None and not has_cameras(path):
        views = rig_views.open_folder(path, known)
    elif elevation is not None:
        raise InputError(f"the cameras of {path} are in its files: leave --elevation out")
    else:
        views, known = _open_folder(path, group), None
        release_memory()  # a hundred large pictures leave holes that nothing else fills
    if normals is None:
        return views
    return _with_normals(views, Path(normals), known)


def _is_sheet(path: Path) -> bool:
    return path.is_file() and path.suffix.lower() != ".json"


def _rig(name: str | None, elevation: float | None) -> Rig | None:
    if name is not None:
        return rig_named(name).at(elevation)
    if elevation is not None:
        raise InputError("--elevation is that of a rig: name it with --rig")
    return None


def digest_of(
    path: Path, rig: str | None = None, group: str | None = None, elevation: float | None = None
) -> str:
    """sha256 (hex) over every file that :func:`read_views` would read, in order of their names.

    Raises:
        InputError: a file is missing or the camera file cannot be read.
    """
    path, known = Path(path), _rig(rig, elevation)
    if _is_sheet(path):
        files = [path]
    elif known is not None and path.exists() and not has_cameras(path):
        files = rig_views.files_of(path, known)
    else:
        records, sources = read_records(path, group)
        named = {f for r in records for f in (r.file, r.mask, r.depth, r.normal) if f is not None}
        files = [*sources, *sorted(named)]
    asked = f"reading={_READING} rig={rig} group={group}\n"
    if elevation is not None:
        asked += f"elevation={elevation}\n"
    digest = hashlib.sha256(asked.encode())
    for file in files:
        try:
            content = photos.digest_of(file)
        except InputError as cause:
            raise InputError(
                f"{file} cannot be read ({cause}): put it there, or take it out of the camera file"
            ) from cause
        digest.update(f"{file.name} {content}\n".encode())
    return digest.hexdigest()


def read_cutout(path: Path) -> tuple[F32, F32]:
    """A photo of the object alone, at most 1024 pixels along a side.

    Returns:
        rgb (h, w, 3) and alpha (h, w) float32.

    Raises:
        InputError: no such picture, or neither transparency nor a plain background.
    """
    picture = read_picture(path, longest=_LARGEST_PHOTO)
    try:
        rgb, alpha = separate(picture, path.name)
    except InputError as cause:
        raise InputError(f"--photo: {cause} (img2mesh run --until cutout makes one)") from cause
    if (alpha > 0.5).all():
        raise InputError(
            f"--photo: {path.name} has no background: give the object with space around it"
        )
    return rgb, alpha


def _with_normals(views: PosedPictures, path: Path, rig: Rig | None) -> PosedPictures:
    whole = read_picture(path, longest=rig_views.LARGEST_SHEET).rgb
    in_first_frame = rig is not None and rig.normals
    try:
        tiles = squares(whole, len(views.rgb)) if in_first_frame else untile(whole)
    except InputError as cause:
        raise InputError(f"--normals {path.name}: {cause}") from cause
    if tiles is None or tiles.shape != views.rgb.shape:
        raise InputError(
            f"{path.name} has {whole.shape[1]}x{whole.shape[0]} pixels: expected a sheet of the "
            f"normals of {len(views.rgb)} views of "
            f"{views.rgb.shape[2]}x{views.rgb.shape[1]} pixels"
        )
    frames = views.cameras[:1] * len(tiles) if in_first_frame else views.cameras
    decoded = np.stack([world_normals(t, c) for t, c in zip(tiles, frames, strict=True)])
    if in_first_frame:  # their ground is white, which is no normal
        decoded[views.alpha <= 0.5] = 0
    return replace(views, normals=decoded)


def check_views(rgb: F32, alpha: F32, cameras: tuple[Camera, ...]) -> PosedPictures:
    """Views in memory as :func:`read_views` reads them from files.

    Args:
        rgb: (v, h, w, 3) in [0, 1].
        alpha: (v, h, w) in [0, 1].
        cameras: v cameras, for h x w pixels.

    Raises:
        InputError: shapes that do not fit, too few views, a view without an object, bad cameras.
    """
    if rgb.ndim != 4 or rgb.shape[3] != 3 or alpha.shape != rgb.shape[:3]:
        raise InputError(
            f"views need rgb (v, h, w, 3) and alpha (v, h, w), got {rgb.shape} and {alpha.shape}"
        )
    _require_enough(len(rgb), "these arrays hold")
    if len(cameras) != len(rgb) or any((c.height, c.width) != rgb.shape[1:3] for c in cameras):
        raise InputError(
            f"{len(rgb)} views of {rgb.shape[2]}x{rgb.shape[1]} pixels came with cameras for "
            f"{[(c.width, c.height) for c in cameras]}: give each view its own"
        )
    names = [f"view {i + 1}" for i in range(len(rgb))]
    cut = [
        separate(Picture(*view, lossy=False), n)
        for view, n in zip(zip(rgb, alpha, strict=True), names, strict=True)
    ]
    return assemble(cut, cameras, names)


def _require_enough(count: int, where: str) -> None:
    if count < _FEWEST_VIEWS:
        raise InputError(f"{where} {count} views; a reconstruction needs at least {_FEWEST_VIEWS}")


# ----------------------------------------------------------------------------------------- folders


def _open_folder(path: Path, group: str | None) -> PosedPictures:
    records, sources = read_records(path, group)
    _require_enough(len(records), f"{sources[-1].name} lists")
    listed, records = len(records), _spread(records)
    notes = [f"{listed} views are listed: {len(records)} of them, evenly spread, are used"]
    longest = longest_side(len(records))
    first: tuple[str, int, int] | None = None
    loaded = []
    for record in records:
        view, stored = _load_record(record, first, longest)
        first = first or (record.name, *stored)
        loaded.append(view)
    assert first is not None
    size = loaded[0].camera.width, loaded[0].camera.height
    if size != first[1:]:
        notes.append(
            f"the views were reduced from {first[1]}x{first[2]} to {size[0]}x{size[1]} pixels"
        )
    if any(record.lens().bent for record in records):
        notes.append("the lens distortion of the views (k1, k2, p1, p2) was undone while reading")
    notes += dict.fromkeys(note for view in loaded for note in view.notes)
    views = assemble(
        [(v.rgb, v.alpha) for v in loaded],
        tuple(v.camera for v in loaded),
        [r.name for r in records],
    )
    depth = _stack_known([v.depth for v in loaded], views.alpha.shape, np.nan)
    if depth is not None:
        depth, told = believable_depth(depth, views.alpha, views.cameras)
        notes += told
    return replace(
        views,
        depth=depth,
        normals=_stack_known([v.normals for v in loaded], views.rgb.shape, 0.0),
        notes=(*views.notes, *notes[len(records) == listed :]),
    )


def believable_depth(
    depth: F32, alpha: F32, cameras: Sequence[Camera]
) -> tuple[F32 | None, tuple[str, ...]]:
    """Given depths read so that they fit cameras and outlines, and what to say of it.

    Args:
        depth: (v, h, w) z-depth, NaN where there is none.
        alpha: (v, h, w) masks.
        cameras: v cameras.

    Returns:
        the depths in the cameras' unit, or None where they fit in no way; sentences for the user.
    """
    fit = fit_depth(depth, alpha, cameras)
    if fit is None:
        return None, (
            "the given depth fits neither the outlines nor the other views in any unit: it was "
            "left out",
        )
    if fit.as_given:
        return depth, ()
    done = ["read as the length of rays"] if fit.along_rays else []
    if fit.scale != 1:
        done.append(f"multiplied by {fit.scale:.4g}")
    if fit.offset:
        done.append(f"moved by {fit.offset:.4g}")
    return fit.applied(depth, cameras), (
        f"the given depth was {' and '.join(done)} to fit the cameras and outlines: its unit is "
        "not theirs (depth_unit_scale_factor or depth_scale states it)",
    )


def longest_side(count: int) -> int:
    """Pixels that the longer side of so many views is reduced to."""
    return next(side for most, side in _LONGEST if count <= most)


def _spread(records: tuple[Record, ...]) -> tuple[Record, ...]:
    """At most a hundred records, evenly over the list: captures go around the object."""
    if len(records) <= _MOST_VIEWS:
        return records
    return tuple(records[k * len(records) // _MOST_VIEWS] for k in range(_MOST_VIEWS))


def _load_record(
    record: Record, first: tuple[str, int, int] | None, longest: int
) -> tuple[LoadedView, tuple[int, int]]:
    """One view with all that is beside it, reduced, and the width and height of its file.

    ``first`` is the first view's name, width and height.
    """
    picture = read_picture(record.file, longest=longest)
    told: tuple[str, ...] = ()
    if picture.alpha is None and record.mask is not None:
        mask, told = read_mask(record.mask, view=picture)
        picture = replace(picture, alpha=mask)
    width, height = picture.size
    camera, lens = record.camera(width, height), record.lens()
    camera = camera.resized(picture.rgb.shape[1], picture.rgb.shape[0])
    rgb, alpha = separate(picture, record.name)
    if first is not None and (width, height) != first[1:]:
        raise InputError(
            f"{record.name} has {width}x{height} pixels but {first[0]} has "
            f"{first[1]}x{first[2]}: all views must have one size"
        )
    size, depth, normals = picture.size, None, None
    if record.depth is not None:
        depth = read_depth(record.depth, record.depth_scale, camera, size=size)
    if record.normal is not None:
        normals = read_normals(record.normal, camera, size=size)
    view = LoadedView(rgb, alpha, camera, depth, normals, told)
    if not lens.bent:
        return view, size
    try:
        view = view.straightened(lens)
    except InputError as cause:
        raise InputError(f"{record.name}: {cause}") from cause
    if not (view.alpha > 0.5).any():
        raise InputError(
            f"{record.name} shows no object once its lens distortion is undone: check k1, k2, p1 "
            "and p2"
        )
    return view, size


def _stack_known(arrays: list[F32 | None], shape: tuple[int, ...], missing: float) -> F32 | None:
    """Stack per-view arrays; views without one get ``missing``; None if no view has one."""
    if all(a is None for a in arrays):
        return None
    empty = np.full(shape[1:], missing, np.float32)
    return np.stack([empty if a is None else a for a in arrays])
