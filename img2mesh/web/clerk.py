"""What the desk's process answers: outlines, plans, further formats. One function, by verb.

``warm``     nothing, but what an outline needs is loaded when somebody asks for one
``outline``  photo → what its cutout looks like on it, and two small pictures to show
``plan``     which stages a version would run again
``sofar``    what there is to see of what is being made: the sides as drawn, the bare shape
``known``    the texture with what is a guess hatched
``convert``  a mesh file in another format, from the delivered GLB
``pack``     files into a ZIP
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from img2mesh.artifacts import Cutout, Photo
from img2mesh.core.arrays import U8
from img2mesh.errors import Img2MeshError, InputError
from img2mesh.worker.protocol import ReportProgress
from img2mesh.worker.task import decode

#: This module's function, as a worker takes it.
FUNCTION = "img2mesh.web.clerk:answer"

SHOWN, THUMBNAIL = "shown.webp", "thumbnail.webp"
_SHOWN_SIDE, _THUMBNAIL_SIDE = 1280, 160  # pixels, the longest side
_OUTLINE_SIDE = 640  # pixels, the longest side of the mask whose outline is told
_TOLERANCE = 0.7  # of those pixels: what the outline may be off
_GROUND = 0.96  # behind the views
_SMALLEST = 0.0004  # share of the picture below which a part of an outline is not told


def answer(payload: Mapping[str, Any], report_progress: ReportProgress) -> dict[str, Any]:
    """See the module; ``payload`` holds ``verb`` and what that takes.

    Raises:
        InputError: it cannot be done.
    """
    verbs = {
        "warm": warm, "outline": outline, "plan": plan, "sofar": sofar, "known": known,
        "convert": convert, "pack": pack,
    }  # fmt: skip
    return verbs[payload["verb"]](payload)


def warm(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Cut out a disc: libraries and weights cost the first photo more than finding its object."""
    import numpy as np

    from img2mesh import pipeline
    from img2mesh.jobs import execute, job  # noqa: F401

    settings = dict(decode(payload)[0].settings.get("cutout", {}), box=None)
    rows, columns = np.mgrid[-1:1:128j, -1:1:128j]
    disc = rows**2 + columns**2 < 0.3
    picture = np.where(disc[..., None], (190, 90, 60), (120, 130, 140)).astype(np.uint8)
    with suppress(Img2MeshError):  # whoever asks gets the sentence
        _polygons(pipeline.cutout(Photo(picture), **settings), 128, 128)
    return {}


def outline(payload: Mapping[str, Any]) -> dict[str, Any]:
    """The cutout as an outline on the photo.

    Returns:
        ``digest`` of the photo's file, ``width`` and ``height`` of the upright photo as it is
        stored, ``confidence``, ``method``, ``sure``, ``refused`` (a sentence, or empty) and
        ``polygons``: lists of [x, y] in [0, 1], to be filled even-odd.

    Raises:
        InputError: the file is no picture that can be used.
    """
    from img2mesh.io.photos import digest_of
    from img2mesh.report import pixels_of
    from img2mesh.segmentation import WARN_BELOW

    source = Path(payload["source"])
    job, runner = _runner(payload)
    photo: Photo = job.given["photo"].load()
    _save_small(pixels_of(photo), source.parent)
    height, width = photo.rgb.shape[:2]
    told: dict[str, Any] = {
        "digest": digest_of(source),
        "width": round(width * photo.reduction),
        "height": round(height * photo.reduction),
        "confidence": 0.0,
        "method": "",
        "sure": False,
        "refused": "",
        "polygons": [],
    }
    try:
        cutout: Cutout = runner.run("cutout", job.given).load()
    except InputError as error:
        return told | {"refused": str(error)}
    return told | {
        "confidence": round(cutout.confidence, 3),
        "method": cutout.method,
        "sure": cutout.confidence >= WARN_BELOW,
        "polygons": _polygons(cutout, width, height),
    }


def plan(payload: Mapping[str, Any]) -> dict[str, Any]:
    """``stages``: name, ``cached`` and ``reason`` of each."""
    job, runner = _runner(payload)
    until = decode(payload)[0].until
    return {
        "stages": [
            {
                "stage": step.stage,
                "cached": step.cached,
                "reason": step.reason.sentence if step.reason else "",
            }
            for step in runner.plan(until, job.given)
        ]
    }


def sofar(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Write what the stage ``views`` or ``surface`` made as a picture to ``target``, a PNG.

    Raises:
        InputError: it has not made anything yet.
    """
    from img2mesh.imaging.colour import over
    from img2mesh.imaging.sheet import tile
    from img2mesh.report import clay

    stage = payload["stage"]
    job, runner = _runner(payload)
    if not all(step.cached for step in runner.plan(stage, job.given)):
        raise InputError(f"{stage} is not made yet")
    made = runner.run(stage, job.given).load()
    if stage == "surface":
        picture = clay(made)
    else:
        sheet = over(tile(made.rgb), tile(made.alpha[..., None])[..., 0], _GROUND)
        picture = (sheet * 255 + 0.5).astype("uint8")
    _save(picture, Path(payload["target"]))
    return {}


def known(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Write the hatched texture to ``target``, a PNG.

    Raises:
        InputError: the stage cache no longer holds the asset.
    """
    job, runner = _runner(payload)
    if not all(step.cached for step in runner.plan("asset", job.given)):
        raise InputError(
            "what was seen and what was guessed is no longer in the cache: make the mesh again"
        )
    asset = runner.run("asset", job.given).load()
    from img2mesh.report.known import hatched

    _save(hatched(asset.texture, asset.coverage), Path(payload["target"]))
    return {}


def convert(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Write ``target`` from ``source``, the delivered GLB; the suffix says the format.

    Returns:
        ``files``: names that were written into the target's folder.
    """
    from img2mesh.artifacts.asset_files import load_glb
    from img2mesh.jobs.delivery import Deliverable, place

    source, target = Path(payload["source"]), Path(payload["target"])
    asset = replace(load_glb(source), name=payload["name"])
    if target.suffix == ".webp":
        from img2mesh.report import save_turntable

        one = Deliverable(target.name, "turntable", lambda path: save_turntable(asset, path))
    else:
        one = Deliverable(target.name, "mesh", asset.save)
    return {"files": [path.name for path in place(target.parent, one)]}


def pack(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Write ``target``, a ZIP of ``files``: paths by the folder they get in it."""
    import zipfile

    target = Path(payload["target"])
    part = target.with_suffix(".part")
    with zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for folder, paths in payload["files"].items():
            for path in map(Path, paths):
                if path.is_file():
                    archive.write(path, f"{folder}/{path.name}")
    part.replace(target)
    return {}


def _runner(payload: Mapping[str, Any]) -> tuple[Any, Any]:
    from img2mesh.jobs.execute import runner_for
    from img2mesh.jobs.job import photo_job

    request, _ = decode(payload)
    mask = payload.get("mask")
    job = photo_job(Path(payload["source"]), mask=Path(mask) if mask else None)
    return job, runner_for(request, explain=payload["verb"] == "plan")


def _save_small(pixels: U8, folder: Path) -> None:
    from PIL import Image

    from img2mesh.io.files import replacing

    # The page asks for both as soon as the larger is there, so that comes last and whole.
    for name, side in ((THUMBNAIL, _THUMBNAIL_SIDE), (SHOWN, _SHOWN_SIDE)):
        if not (folder / name).exists():
            small = Image.fromarray(pixels)
            small.thumbnail((side, side), Image.Resampling.LANCZOS)
            with replacing(folder / name) as path:
                small.save(path, "WEBP", quality=85)


def _save(rgb: U8, target: Path) -> None:
    from PIL import Image

    from img2mesh.io.files import replacing

    with replacing(target) as path:
        Image.fromarray(rgb).save(path, "PNG", compress_level=3)


def _polygons(cutout: Cutout, width: int, height: int) -> list[list[list[float]]]:
    """The outline on the photo: in its fractions, holes as polygons of their own."""
    import cv2
    import numpy as np

    scale = min(1.0, _OUTLINE_SIDE / max(width, height))
    size = (max(round(width * scale), 1), max(round(height * scale), 1))
    shrink = np.diag([size[0] / width, size[1] / height, 1.0])
    warp = (shrink @ cutout.photo_from_cutout)[:2]
    alpha = cv2.warpAffine(cutout.alpha, warp, size, flags=cv2.INTER_AREA)
    mask = (alpha > 0.5).astype(np.uint8)
    # A rim of nothing, so that an object at the picture's edge has an outline there too.
    found, _ = cv2.findContours(
        cv2.copyMakeBorder(mask, 1, 1, 1, 1, cv2.BORDER_CONSTANT),
        cv2.RETR_CCOMP,
        cv2.CHAIN_APPROX_NONE,
    )
    told = []
    for contour in found:
        if cv2.contourArea(contour) < _SMALLEST * mask.size:
            continue
        kept = cv2.approxPolyDP(contour, _TOLERANCE, closed=True)[:, 0] - 0.5
        told.append(np.clip(kept / size, 0, 1).round(4).tolist())
    return told
