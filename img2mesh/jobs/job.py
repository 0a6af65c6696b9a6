"""``Job``: one input, named and digested. What is digested is what is computed from.

A job may wait for hours until its turn comes, and its file may be saved anew meanwhile. What is
then decoded is held against the digest, so that nothing is ever cached under another file's name.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np

from img2mesh.artifacts import Photo, ViewSet
from img2mesh.core.names import safe_name
from img2mesh.errors import Img2MeshError, InputError
from img2mesh.graph import Leaf
from img2mesh.io.inputs import mask_beside, refuse_address


@dataclass(frozen=True)
class Job:
    """One input, named and digested, ready to run.

    Attributes:
        source: the file or folder it came from.
        stem: what its output folder is called.
        digest: sha256 (hex) of everything the input is made of.
        given: the leaves the graph starts from.
        text: what the photo is drawn from, where it is.
    """

    source: Path
    stem: str
    digest: str
    given: dict[str, Leaf[Any]]
    text: str | None = None


def photo_job(photo: Path | Photo, *, mask: Path | None = None) -> Job:
    """A job that starts at the photo, in a file or in memory; a mask beside the file is its mask.

    Raises:
        InputError: the file cannot be read at all (whether it is a picture shows when it runs).
    """
    if isinstance(photo, Photo):
        if mask is not None:
            raise InputError("give the mask of a Photo with it, as in Photo.open(path, mask=...)")
        digest = _digest_of_values(photo.rgb, photo.alpha, photo.mask)
        stem = safe_name(photo.name)
        return Job(Path(photo.name), stem, digest, {"photo": Leaf(digest, lambda: photo)})
    path = photo
    mask = mask or mask_beside(path)

    def digest_of() -> str:
        from img2mesh.io import photos

        whole = photos.digest_of(path)
        return whole if mask is None else _joined(whole, "mask", photos.digest_of(mask))

    def load() -> Photo:
        try:
            return Photo.open(path, mask=mask)
        finally:  # also where it cannot be opened: half a file may just be being written
            _require_unchanged(name, digest, digest_of)

    name = repr(str(path)) + ("" if mask is None else f" or its mask {str(mask)!r}")
    digest = digest_of()
    return Job(path, safe_name(path.stem), digest, {"photo": Leaf(digest, load)})


def refused_job(path: Path, error: InputError) -> Job:
    """A job that ends with an error as soon as it begins: others of the same command go on."""

    def load() -> Photo:
        raise error

    digest = hashlib.sha256(b"refused " + os.fsencode(path.absolute())).hexdigest()
    return Job(path, safe_name(path.stem), digest, {"photo": Leaf(digest, load)})


def text_job(text: str) -> Job:
    """A job whose photo is drawn from a text first.

    Raises:
        InputError: the text says nothing.
    """
    said = " ".join(text.split())
    if not said:
        raise InputError("the text is empty: say what to draw, as in --text 'a blue teapot'")
    digest, stem = hashlib.sha256(said.encode()).hexdigest(), safe_name(said)
    return Job(Path(stem), stem, digest, {"text": Leaf(digest, lambda: said)}, said)


def views_job(
    given: Path | ViewSet,
    *,
    rig: str | None = None,
    group: str | None = None,
    elevation: float | None = None,
    normals: Path | None = None,
    photo: Path | None = None,
) -> Job:
    """A job that enters after view generation, with a sheet or a folder of posed views, or a value.

    ``elevation`` is for rigs that leave it open, ``normals`` a sheet of normals, ``photo`` the
    picture the views were drawn from.

    Raises:
        InputError: what is wrong with the sheet, folder or cameras file.
        Img2MeshError: a file changed while they were read.
    """
    if isinstance(given, ViewSet):
        return _views_job(Path("views"), "views", _digest_of_values(given), given)
    from img2mesh.io import views as files

    path = given
    refuse_address(str(path))

    def digest_of() -> str:
        whole = files.digest_of(path, rig=rig, group=group, elevation=elevation)
        if normals is not None:
            whole = _joined(whole, "normals", files.digest_of(normals))
        if photo is not None:
            whole = _joined(whole, "photo", files.digest_of(photo))
        return whole

    digest = digest_of()
    # Opened here, not when a stage asks: what is wrong with it is said before anything is done.
    views = ViewSet.open(
        path, rig=rig, group=group, elevation=elevation, normals=normals, photo=photo
    )
    _require_unchanged(f"{str(path)!r} or a file used with it", digest, digest_of)
    stem = path.resolve().name if path.is_dir() else path.stem
    return _views_job(path, stem, digest, views)


def _views_job(source: Path, stem: str, digest: str, views: ViewSet) -> Job:
    # Given views are as good as refined ones: the second pass needs the photo and a network.
    usual = views.in_usual_unit()
    leaf = Leaf(digest, lambda: usual)
    return Job(source, safe_name(stem, fallback="views"), digest, {"views": leaf, "refined": leaf})


def _require_unchanged(name: str, digest: str, digest_of: Callable[[], str]) -> None:
    """Called after decoding, so that no file can change between the look and the use."""
    if digest_of() != digest:
        # No InputError: nothing is wrong with the input, and a batch may try again.
        raise Img2MeshError(
            f"{name} changed after img2mesh had begun to use it: run the same command again once "
            "it is no longer being written"
        )


def _digest_of_values(*values: object) -> str:
    """sha256 (hex) over arrays, numbers and texts, and values made of them."""
    digest = hashlib.sha256()

    def add(value: object) -> None:
        if isinstance(value, np.ndarray):
            digest.update(f"{value.dtype.str}{value.shape}".encode())
            digest.update(np.ascontiguousarray(value).data)
        elif is_dataclass(value):
            add((type(value).__name__, *(getattr(value, f.name) for f in fields(value))))
        elif isinstance(value, tuple):
            digest.update(f"({len(value)}".encode())
            for one in value:
                add(one)
        else:
            digest.update(f"{value!r};".encode())

    add(values)
    return digest.hexdigest()


def _joined(digest: str, role: str, other: str) -> str:
    """The digest of an input made of two files."""
    return hashlib.sha256(f"{digest} {role} {other}".encode()).hexdigest()
