"""The views of a generator's fixed rig: its sheet, or the folder of pictures its program writes."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np

from img2mesh.core.arrays import F32
from img2mesh.core.rigs import RIGS, Rig
from img2mesh.errors import InputError
from img2mesh.geometry.consistency import agreement
from img2mesh.imaging import sheet
from img2mesh.io.posed import PosedPictures, assemble
from img2mesh.io.view_images import Picture, read_picture, separate, world_normals

_SMALLEST_TILE = 32
#: Longest sides of a sheet (rows of 2, 3, 4, 6 and 16 stay whole) and of one view; more only costs.
LARGEST_SHEET, _LARGEST_VIEW = 6144, 1024
#: Outlines whose worst one is filled this much less fit as well.
_TIE = 0.003
_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
#: Where programs with names for their views put colours and normals, the cut out ones first.
_COLOURS = ("masked_colors/rgb_000_{}.png", "rgb_000_{}.png", "color_{}_masked.png", "{}.png")
_NORMALS = ("normals_000_{}.png", "normals/normals_000_{}.png", "normals_{}_masked.png")


def open_sheet(path: Path, rig: Rig | None) -> PosedPictures:
    """The views of one picture.

    Raises:
        InputError: no rig, another number of views, or views that are no such rig's.
    """
    if rig is None:
        raise InputError(
            f"{path.name} is a picture without cameras: name the cameras of its views with "
            f"--rig {'|'.join(RIGS)}, or give a folder with transforms.json or cameras.json"
        )
    picture = read_picture(path, longest=LARGEST_SHEET)
    alpha = () if picture.alpha is None else (picture.alpha[..., None],)
    whole = np.concatenate([picture.rgb, *alpha], axis=2)
    try:
        tiles, normals = _tiles(whole, rig)
    except InputError as cause:
        raise InputError(f"{path.name}: {cause}") from cause
    size = tiles.shape[1]
    if size < _SMALLEST_TILE:
        raise InputError(
            f"{path.name} has views of {size}x{size} pixels; at least "
            f"{_SMALLEST_TILE}x{_SMALLEST_TILE} are needed (a sheet is usually 640x960)"
        )
    names = [f"{path.name}, view {i + 1}" for i in range(len(tiles))]
    pictures = [_picture(t, picture.lossy) for t in tiles]
    drawn = None if normals is None else [n[..., :3] for n in normals]
    return _views(pictures, names, rig, drawn)


def open_folder(path: Path, rig: Rig) -> PosedPictures:
    """The views of a folder as the rig's program names them, or in the order of their numbers.

    Raises:
        InputError: another number of pictures, sizes that differ or are not square, or views that
            are no such rig's.
    """
    colours, normals = _files(path, rig)
    if len(colours) == 1:
        return open_sheet(colours[0], rig)
    if len(colours) != len(rig.azimuths_deg):
        named = f" called as {_COLOURS[1].format(rig.names[0])} and so on" if rig.names else ""
        raise InputError(
            f"the folder {path} holds {len(colours)} pictures, but rig {rig.name} has "
            f"{len(rig.azimuths_deg)} views: give as many{named} (in the order of their numbers), "
            "or one sheet"
        )
    pictures = [read_picture(f, longest=_LARGEST_VIEW) for f in (*colours, *normals)]
    size = pictures[0].rgb.shape[0]
    for file, one in zip((*colours, *normals), pictures, strict=True):
        if one.rgb.shape[:2] != (size, size):
            height, width = one.rgb.shape[:2]
            raise InputError(
                f"{file.name} has {width}x{height} pixels: expected {size}x{size}, the views of "
                f"rig {rig.name} are square and of one size"
            )
    drawn = [one.rgb for one in pictures[len(colours) :]] or None
    names = [f"{path.name}/{file.name}" for file in colours]
    return _views(pictures[: len(colours)], names, rig, drawn)


def files_of(path: Path, rig: Rig) -> list[Path]:
    """Every file that :func:`open_folder` would read, sorted."""
    colours, normals = _files(path, rig)
    return sorted([*colours, *normals])


def _views(
    pictures: list[Picture], names: list[str], rig: Rig, normals: list[F32] | None
) -> PosedPictures:
    cut = [separate(one, name) for one, name in zip(pictures, names, strict=True)]
    chosen = _through_its_lens(np.stack([alpha for _, alpha in cut]), rig)
    cameras = chosen.cameras(len(pictures[0].rgb))
    views = assemble(cut, cameras, names, rig=chosen)
    if chosen != rig:
        told = (
            f"{rig.name} does not say its field of view: the outlines fit {chosen.fov_deg:g} "
            f"degrees, not {rig.fov_deg:g}"
        )
        views = replace(views, notes=(*views.notes, told))
    if normals is None:
        return views
    # Wonder3D and Era3D state all normals in the frame of the first view.
    world = np.stack([world_normals(one, cameras[0]) for one in normals])
    world[views.alpha <= 0.5] = 0  # the ground of these pictures is white, which is no normal
    return replace(views, normals=world)


def _through_its_lens(alpha: F32, rig: Rig) -> Rig:
    """The rig, or itself with the lens nearest to its own that the outlines (v, h, w) speak for."""
    if not rig.lenses:
        return rig
    rigs = [rig, *(rig.through(fov) for fov in rig.lenses)]
    worst = [agreement(alpha, one.cameras(alpha.shape[1])).min() for one in rigs]
    fitting = [one for one, share in zip(rigs, worst, strict=True) if share >= max(worst) - _TIE]
    return min(fitting, key=lambda one: abs(one.fov_deg - rig.fov_deg))


def _picture(tile: F32, lossy: bool) -> Picture:
    return Picture(tile[..., :3], tile[..., 3] if tile.shape[2] == 4 else None, lossy)


def _tiles(whole: F32, rig: Rig) -> tuple[F32, F32 | None]:
    """The views (v, s, s, c) of a sheet (h, w, c), and their normals where it holds any."""
    if not rig.any_grid:
        return sheet.untile(whole), None
    count = len(rig.azimuths_deg)
    found = sheet.squares(whole, count)
    if found is not None:
        return found, None
    if rig.normals:
        # Wonder3D's pipeline: a row of normals above one of colours. Era3D's "concat": the input,
        # then colour and normal of each view in turn.
        height, width = whole.shape[:2]
        if width * 2 == height * count:
            both = sheet.cut(whole, 2, count)
            return both[count:], both[:count]
        if width == height * (2 * count + 1):
            both = sheet.cut(whole, 1, 2 * count + 1)
            return both[1::2], both[2::2]
    rows, columns = rig.sheet
    raise InputError(
        f"a sheet of rig {rig.name} has {count} square views, {columns} wide and {rows} high; "
        f"this picture has {whole.shape[1]}x{whole.shape[0]}"
        f"{sheet.seems(whole.shape[1], whole.shape[0])}"
    )


def _files(path: Path, rig: Rig) -> tuple[list[Path], list[Path]]:
    """Pictures of colours and of normals, in the order of the rig's views."""
    colours = _named(path, _COLOURS, rig)
    if colours:
        return colours, _named(path, _NORMALS, rig) if rig.normals else []
    try:
        found = [f for f in path.iterdir() if f.suffix.lower() in _SUFFIXES and f.is_file()]
    except OSError as cause:
        raise InputError(f"the folder {path} cannot be read: {cause.strerror}") from cause
    return sorted(found, key=_number), []


def _named(path: Path, forms: tuple[str, ...], rig: Rig) -> list[Path]:
    """The files of the first form that all views have; none if no form is whole."""
    for form in forms if rig.names else ():
        files = [path / form.format(name) for name in rig.names]
        if all(file.is_file() for file in files):
            return files
    return []


def _number(file: Path) -> list[tuple[int, int, str]]:
    """Sorts 2.png before 10.png."""
    parts = re.split(r"(\d+)", file.name.lower())
    return [(0, int(p), "") if p.isdigit() else (1, 0, p) for p in parts]
