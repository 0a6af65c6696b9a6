"""The picture files that a user names: files, folders and globs."""

from __future__ import annotations

import glob
from collections.abc import Iterable
from pathlib import Path

from img2mesh.errors import InputError
from img2mesh.io.inputs import refuse_address, without_masks
from img2mesh.io.photos import EXPECTED, SUFFIXES, cause_of, opened


def list_photos(inputs: Iterable[str]) -> list[Path]:
    """The picture files a user names: files, folders (not their subfolders) and globs.

    Files are taken as they are; folders and globs give their pictures by suffix, sorted by name,
    hidden files left out; a mask beside its photo is no photo. The order of ``inputs`` is kept and
    a file named twice comes once.

    Raises:
        InputError: nothing there, or a folder or glob without pictures.
    """
    found: dict[Path, None] = {}
    for name in inputs:
        for path in _expand(name):
            found.setdefault(path)
    return without_masks(found)


def _expand(name: str) -> list[Path]:
    refuse_address(name)
    if name == "-":
        raise InputError("standard input is one picture: `-` is for `run` and `plan` alone")
    path = Path(name)
    try:
        if path.is_dir():
            pictures = _pictures_in(path)
            if not pictures:
                raise InputError(
                    f"the folder {name!r} holds no pictures: expected {EXPECTED} in it"
                )
            return pictures
        if path.exists():
            return [path]
        if not glob.has_magic(name):
            opened(path).close()  # raises the sentence for what is wrong with it
        # Not Path.glob: the pattern may be absolute or climb with "..".
        matches = [Path(match) for match in sorted(glob.glob(name, recursive=True))]  # noqa: PTH207
    except (OSError, ValueError) as error:  # too long, a NUL in it, unreadable
        raise InputError(f"cannot look for {name!r}: {cause_of(error)}") from error
    pictures = [p for m in matches for p in (_pictures_in(m) if m.is_dir() else [m])]
    pictures = [p for p in pictures if p.suffix.lower() in SUFFIXES]
    if not pictures:
        raise InputError(f"no picture matches {name!r}: check the spelling, or name a file")
    return pictures


def _pictures_in(folder: Path) -> list[Path]:
    return sorted(
        path
        for path in folder.iterdir()
        # Pipes and links to nothing are told of when their turn comes.
        if path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and not path.is_dir()
    )
