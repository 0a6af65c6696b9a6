"""Files that camera files and lists name, where they lie now: moved, or written on Windows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from img2mesh.errors import InputError

_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")


def path_of(folder: Path, name: str) -> Path:
    """A file that another file names; written on Windows it may hold backslashes."""
    try:
        file = folder / name
        file.exists()
        if not file.name or "\0" in name:
            raise ValueError("it names no file")
    except (OSError, ValueError) as cause:
        raise InputError(
            f"the file in {str(folder)!r} names {name!r:.60}, which is no file: {cause!s:.60}"
        ) from None
    return folder / name.replace("\\", "/") if "\\" in name and not file.exists() else file


def existing(file: Path, source: Path) -> Path:
    """The picture that a camera file names.

    Raises:
        InputError: it is not there.
    """
    if (found := located(file, source.parent)) is not None:
        return found
    raise InputError(
        f"{source.name} names {file.name}, which is not there: put it at {file}, "
        "or correct the name"
    )


def located(file: Path, folder: Path) -> Path | None:
    """A file as it is named, or without its suffix (Blender's way), or spelled in other letters, or
    by as much of its path's end as lies in the folder: captures are moved, and from Windows."""
    if (found := _named(file)) is not None:
        return found
    parts = file.parts[len(folder.parts) :] if file.is_relative_to(folder) else file.parts[1:]
    for k in range(len(parts)):
        home: Path | None = folder
        for part in parts[k:-1]:
            home = home and _alike(home, {part.casefold()}, Path.is_dir)
        names = {f"{parts[-1]}{suffix}".casefold() for suffix in ("", *_SUFFIXES)}
        if home is not None and (found := _alike(home, names, Path.is_file)) is not None:
            return found
    return None


def _named(file: Path) -> Path | None:
    guesses = (file.with_name(file.name + suffix) for suffix in ("", *_SUFFIXES))
    return next((guess for guess in guesses if guess.is_file()), None)


def _alike(folder: Path, names: set[str], kind: Callable[[Path], bool]) -> Path | None:
    """What a folder holds under one of the names, in whatever letters."""
    try:
        inside = sorted(folder.iterdir())
    except OSError:
        return None
    return next((path for path in inside if path.name.casefold() in names and kind(path)), None)
