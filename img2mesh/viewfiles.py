"""Posed views from files: a six-view sheet, or a folder with a camera file.

The cameras' own world is kept: nothing is centred, turned or scaled here.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np

from img2mesh.artifacts import F32, Provenance, View, ViewSet
from img2mesh.camerafiles import Record, read_records
from img2mesh.cameras import RIGS, Camera
from img2mesh.cameras import rig as rig_named
from img2mesh.errors import InputError
from img2mesh.sheets import untile
from img2mesh.viewchecks import check_aim, check_outlines, up_note
from img2mesh.viewpictures import (
    Picture,
    read_depth,
    read_normals,
    read_picture,
    separate,
    shrunk_view,
    world_normals,
)

_FEWEST_VIEWS = 3
_SMALLEST_TILE = 32
_LARGEST_PHOTO = 1024
#: Part of every digest: raise it when the same files are read as other views, so that no cached
#: stage is taken for theirs.
_READING = 2


def open_views(
    path: Path,
    *,
    rig: str | None = None,
    group: str | None = None,
    normals: Path | None = None,
    use_input: bool = False,
) -> ViewSet:
    """Open posed views of one object.

    Args:
        path: a picture with 3 rows of 2 square views, a folder with ``transforms.json``
            (nerfstudio / Instant-NGP form) or ``cameras.json``, or one of these two files.
        rig: names the cameras of a sheet; not used for a folder.
        group: which list of a ``cameras.json`` to take; needed where there are several.
        normals: a 3x2 sheet of camera-space normals of the same views, (n + 1) / 2 as RGB, x right,
            y up, z towards the camera, grey where there is no surface.
        use_input: attach the one record of the group ``input`` of a ``cameras.json`` as the photo.

    Returns:
        The views with straight alpha, colour continued past the outline, depth (NaN = nothing) and
        world-space normals where the files name them.

    Raises:
        InputError: says what is wrong with which file.
    """
    path = Path(path)
    if path.is_file() and path.suffix.lower() != ".json":
        views = _open_sheet(path, rig)
    elif path.exists():
        views = _open_folder(path, group, use_input)
    else:
        raise InputError(f"{path} does not exist: give a six-view sheet or a folder of views")
    if normals is None:
        return views
    return _with_normals(views, Path(normals))


def digest_of(
    path: Path, rig: str | None = None, group: str | None = None, *, use_input: bool = False
) -> str:
    """sha256 (hex) over every file that :func:`open_views` would read, in order of their names.

    Raises:
        InputError: a file is missing or the camera file cannot be read.
    """
    path = Path(path)
    if path.is_file() and path.suffix.lower() != ".json":
        files = [path]
    else:
        records, source = _folder_records(path, group, use_input)
        named = {f for r in records for f in (r.file, r.mask, r.depth, r.normal) if f is not None}
        files = [source, *sorted(named)]
    asked = f"reading={_READING} rig={rig} group={group} input={use_input}\n"
    digest = hashlib.sha256(asked.encode())
    for file in files:
        try:
            content = hashlib.sha256(file.read_bytes()).hexdigest()
        except OSError as cause:
            raise InputError(
                f"{file} cannot be read ({cause.strerror or cause}): put it there, "
                "or take it out of the camera file"
            ) from cause
        digest.update(f"{file.name} {content}\n".encode())
    return digest.hexdigest()


def open_cutout(path: Path) -> View:
    """A photo of the object alone as a view without a camera, at most 1024 pixels along a side.

    Raises:
        InputError: no such picture, or neither transparency nor a plain background.
    """
    picture = read_picture(path)
    try:
        rgb, alpha = separate(picture, path.name)
    except InputError as cause:
        raise InputError(f"--photo: {cause} (img2mesh run --until cutout makes one)") from cause
    if (alpha > 0.5).all():
        raise InputError(
            f"--photo: {path.name} has no background: give the object with space around it"
        )
    return shrunk_view(View(rgb, alpha, None), _LARGEST_PHOTO)


# ------------------------------------------------------------------------------------------ sheets


def _open_sheet(path: Path, rig: str | None) -> ViewSet:
    if rig is None:
        raise InputError(
            f"{path.name} is a picture without cameras: name the cameras of its six views with "
            f"--rig {'|'.join(RIGS)}, or give a folder with transforms.json or cameras.json"
        )
    known = rig_named(rig)
    picture = read_picture(path)
    try:
        tiles = untile(picture.rgb)
        alphas = None if picture.alpha is None else untile(picture.alpha[..., None])[..., 0]
    except InputError as cause:
        raise InputError(f"{path.name}: {cause}") from cause
    size = tiles.shape[1]
    if size < _SMALLEST_TILE:
        raise InputError(
            f"{path.name} has views of {size}x{size} pixels; at least "
            f"{_SMALLEST_TILE}x{_SMALLEST_TILE} are needed (a sheet is usually 640x960)"
        )
    names = [f"{path.name}, view {i + 1}" for i in range(len(tiles))]
    cut = [
        separate(Picture(t, None if alphas is None else alphas[i], picture.lossy), names[i])
        for i, t in enumerate(tiles)
    ]
    return _assemble(cut, known.cameras(size), names, sheet_rig=known.name)


def _with_normals(views: ViewSet, path: Path) -> ViewSet:
    try:
        tiles = untile(read_picture(path).rgb)
    except InputError as cause:
        raise InputError(f"--normals {path.name}: {cause}") from cause
    if tiles.shape != views.rgb.shape:
        raise InputError(
            f"{path.name} holds {len(tiles)} normal pictures of {tiles.shape[2]}x{tiles.shape[1]} "
            f"pixels, but there are {len(views)} views of "
            f"{views.rgb.shape[2]}x{views.rgb.shape[1]}"
        )
    decoded = [world_normals(t, c) for t, c in zip(tiles, views.cameras, strict=True)]
    return replace(views, normals=np.stack(decoded))


# ----------------------------------------------------------------------------------------- folders


def _folder_records(
    path: Path, group: str | None, use_input: bool
) -> tuple[tuple[Record, ...], Path]:
    records, source = read_records(path, group)
    if use_input:
        records = (*records, *read_records(path, "input")[0][:1])
    return records, source


def _open_folder(path: Path, group: str | None, use_input: bool) -> ViewSet:
    records, source = _folder_records(path, group, use_input)
    photo_record = records[-1] if use_input else None
    records = records[:-1] if use_input else records
    if len(records) < _FEWEST_VIEWS:
        raise InputError(
            f"{source.name} lists {len(records)} views; a reconstruction needs at least "
            f"{_FEWEST_VIEWS}"
        )
    first = None
    cut, cameras, depths, normals = [], [], [], []
    for record in records:
        rgb, alpha, camera = _load_record(record)
        first = first or (record.name, rgb.shape)
        if rgb.shape != first[1]:
            raise InputError(
                f"{record.name} has {rgb.shape[1]}x{rgb.shape[0]} pixels but {first[0]} has "
                f"{first[1][1]}x{first[1][0]}: all views must have one size"
            )
        cut.append((rgb, alpha))
        cameras.append(camera)
        depths.append(
            None if record.depth is None else read_depth(record.depth, record.depth_scale, camera)
        )
        normals.append(None if record.normal is None else read_normals(record.normal, camera))
    views = _assemble(cut, tuple(cameras), [r.name for r in records])
    photo = None
    if photo_record is not None:
        rgb, alpha, camera = _load_record(photo_record)
        photo = View(rgb, alpha, camera)
    return ViewSet(
        views.rgb,
        views.alpha,
        views.cameras,
        depth=_stack_known(depths, views.alpha.shape, np.nan),
        normals=_stack_known(normals, views.rgb.shape, 0.0),
        photo=photo,
        provenance=views.provenance,
    )


def _load_record(record: Record) -> tuple[F32, F32, Camera]:
    picture = read_picture(record.file)
    if picture.alpha is None and record.mask is not None:
        mask = read_picture(record.mask).rgb.mean(axis=2, dtype=np.float32)
        if mask.shape != picture.rgb.shape[:2]:
            raise InputError(
                f"{record.mask.name} has {mask.shape[1]}x{mask.shape[0]} pixels, but {record.name} "
                f"{picture.rgb.shape[1]}x{picture.rgb.shape[0]}: a mask must have its view's size"
            )
        picture = Picture(picture.rgb, mask, picture.lossy)
    height, width = picture.rgb.shape[:2]
    camera = record.camera(width, height)
    rgb, alpha = separate(picture, record.name)
    return rgb, alpha, camera


def _stack_known(arrays: list[F32 | None], shape: tuple[int, ...], missing: float) -> F32 | None:
    """Stack per-view arrays; views without one get ``missing``; None if no view has one."""
    if all(a is None for a in arrays):
        return None
    empty = np.full(shape[1:], missing, np.float32)
    return np.stack([empty if a is None else a for a in arrays])


def _assemble(
    cut: list[tuple[F32, F32]],
    cameras: tuple[Camera, ...],
    names: list[str],
    *,
    sheet_rig: str | None = None,
) -> ViewSet:
    alpha = np.stack([a for _, a in cut])
    check_aim(alpha, cameras, names)
    notes = (*up_note(cameras), *check_outlines(alpha, cameras, names, sheet_rig=sheet_rig))
    provenance = Provenance(generator="given", exact=True, notes=notes)
    return ViewSet(np.stack([c for c, _ in cut]), alpha, cameras, provenance=provenance)
