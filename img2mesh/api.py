"""The Python front door: one call from photo to textured mesh, with the cache."""

from __future__ import annotations

from dataclasses import replace
from os import PathLike
from pathlib import Path

from img2mesh import job, settings
from img2mesh.artifacts import TexturedMesh
from img2mesh.artifacts.game import GameParts
from img2mesh.pipeline import PIPELINE


def load_settings(
    preset: str = "default", *, assignments: tuple[str, ...] = ()
) -> settings.Settings:
    """A preset's settings by stage, with ``stage.setting=value`` texts on top.

    Raises:
        InputError: unknown preset, stage or setting, or a value of the wrong type.
    """
    return settings.resolve(PIPELINE, settings.load_preset(preset), assignments=assignments)


def reconstruct(
    photo: str | PathLike[str],
    *,
    preset: str = "default",
    mask: str | PathLike[str] | None = None,
    assignments: tuple[str, ...] = (),
    cache: str | PathLike[str] | None = "default",
    device: str = "auto",
) -> TexturedMesh:
    """One photo to a textured mesh, cached stage by stage, called after the photo.

    Args:
        photo: picture file.
        preset: a file in ``configs/``.
        mask: a picture of the object's mask.
        assignments: ``stage.setting=value`` texts.
        cache: folder of the stage cache; ``"default"`` is the user's own, None keeps nothing.
        device: where to compute: ``auto``, ``cpu``, ``cuda``, ``mps``.

    Raises:
        InputError: the photo, mask or a setting cannot be used.
        Img2MeshError: a stage failed.
    """
    folder = None if cache is None else Path(cache)
    if cache == "default":
        folder = job.default_cache_dir()
    request = job.Request(
        settings=load_settings(preset, assignments=assignments),
        preset=preset,
        device=device,
        cache_dir=folder,
    )
    work = job.photo_job(Path(photo), mask=None if mask is None else Path(mask))
    runner = job.runner_for(request)
    parts: GameParts = runner.run("engine", work.given).load()
    asset: TexturedMesh = runner.outcomes["asset"].load()
    return replace(parts.with_maps(asset), name=work.stem)
