"""One input from file to finished folder: what `run`, `reconstruct` and batches share."""

from __future__ import annotations

import hashlib
import importlib.metadata
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from img2mesh import pipeline, settings
from img2mesh.artifacts.codecs import CODECS
from img2mesh.errors import InputError
from img2mesh.graph import Leaf, Runner, Store

#: The stage whose artifact completes a job.
LAST_STAGE = "quality"


#: Libraries whose version can change a result; recorded in run.json.
_RECORDED = (
    "img2mesh", "numpy", "pillow", "scipy", "torch", "nerfacc", "open3d", "scikit-image",
    "opencv-python-headless", "fast-simplification", "xatlas", "trimesh", "diffusers",
    "transformers", "meshoptimizer", "coacd",
)  # fmt: skip


@dataclass(frozen=True)
class Request:
    """What the user asked for, apart from the inputs themselves.

    Attributes:
        settings: every resolved setting that differs from the signatures, by stage.
        preset: the preset's name, for the record.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:0``, ``mps``: where, never what.
        low_memory: trade speed for memory where a stage can.
        until: last stage to run.
        force: stages to run again although they are cached.
        cache_dir: the stage cache; None runs without one.
    """

    settings: settings.Settings = field(default_factory=dict)
    preset: str = "default"
    device: str = "auto"
    low_memory: bool = False
    until: str = LAST_STAGE
    force: frozenset[str] = frozenset()
    cache_dir: Path | None = None


@dataclass(frozen=True)
class Job:
    """One input, named and digested, ready to run.

    Attributes:
        source: the file or folder it came from.
        stem: what its output folder is called.
        digest: sha256 (hex) of everything the input is made of.
        given: the leaves the graph starts from.
    """

    source: Path
    stem: str
    digest: str
    given: dict[str, Leaf[Any]]


def photo_job(path: Path, *, mask: Path | None = None) -> Job:
    """A job that starts at the photo.

    Raises:
        InputError: the file cannot be read at all (whether it is a picture shows when it runs).
    """
    from img2mesh.io.photos import digest_of

    digest = digest_of(path)
    if mask is not None:
        digest = _joined(digest, "mask", digest_of(mask))

    def load() -> Any:
        from img2mesh.artifacts import Photo

        return Photo.open(path, mask=mask)

    return Job(path, path.stem, digest, {"photo": Leaf(digest, load)})


def views_job(
    path: Path,
    *,
    rig: str | None = None,
    group: str | None = None,
    normals: Path | None = None,
    photo: Path | None = None,
) -> Job:
    """A job that enters after view generation, with a sheet or a folder of posed views.

    ``normals`` is a sheet of camera-space normals, ``photo`` the picture the views were drawn from.

    Raises:
        InputError: what is wrong with the sheet, folder or cameras file.
    """
    from img2mesh.artifacts import ViewSet
    from img2mesh.io.views import digest_of

    digest = digest_of(path, rig=rig, group=group)
    if normals is not None:
        digest = _joined(digest, "normals", digest_of(normals))
    # Opened here, not when a stage asks: what is wrong with it is said before anything is done.
    views = ViewSet.open(path, rig=rig, group=group, normals=normals, photo=photo)
    if photo is not None:
        digest = _joined(digest, "photo", digest_of(photo))

    # Given views are as good as refined ones: the second pass needs the photo and a network.
    leaf = Leaf(digest, lambda: views)
    stem = path.resolve().name if path.is_dir() else path.stem
    return Job(path, stem, digest, {"views": leaf, "refined": leaf})


def _joined(digest: str, role: str, other: str) -> str:
    """The digest of an input made of two files."""
    return hashlib.sha256(f"{digest} {role} {other}".encode()).hexdigest()


def default_cache_dir() -> Path:
    """``$IMG2MESH_CACHE`` or the system's place for caches."""
    import os

    from platformdirs import user_cache_path

    chosen = os.environ.get("IMG2MESH_CACHE")
    return Path(chosen) if chosen else user_cache_path("img2mesh")


def stages_from(first: str) -> frozenset[str]:
    """A stage and all after it: what ``--from`` runs again."""
    order = list(pipeline.PIPELINE.order)
    return frozenset(order[order.index(known_stage(first)) :])


def known_stage(name: str) -> str:
    """The name itself.

    Raises:
        InputError: no such stage; lists the stages.
    """
    order = list(pipeline.PIPELINE.order)
    if name not in order:
        raise InputError(f"unknown stage {name!r}; stages are {', '.join(order)}")
    return name


def runner_for(
    request: Request, on_event: Callable[[Any], None] | None = None, *, explain: bool = True
) -> Runner:
    """The engine, set up for a request; without ``explain`` it does not search for reasons."""
    store = None if request.cache_dir is None else Store(request.cache_dir)
    return Runner(
        pipeline.PIPELINE,
        store,
        CODECS,
        request.settings,
        device=request.device,
        low_memory=request.low_memory,
        versions=versions(),
        on_event=on_event,
        force=request.force,
        explain=explain,
    )


def photo_paths(inputs: Sequence[str]) -> list[Path]:
    """Files, folders and globs as a list of pictures.

    Raises:
        InputError: nothing matches.
    """
    from img2mesh.io.photos import list_photos

    return list_photos(list(inputs))


def versions() -> dict[str, str]:
    """Installed versions of what can change a result; what is not installed is left out."""
    found = {}
    for name in _RECORDED:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
