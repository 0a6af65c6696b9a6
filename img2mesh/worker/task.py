"""What a worker does with a task: run one photo's job, write its folder, return what is kept."""

from __future__ import annotations

import base64
import io
import json
import socket
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from img2mesh import report
from img2mesh.artifacts import Photo
from img2mesh.errors import Img2MeshError
from img2mesh.graph import Event, Finished, Progressed, Reused, Started, Waiting
from img2mesh.jobs.claims import claimed
from img2mesh.jobs.execute import execute
from img2mesh.jobs.job import Job, photo_job
from img2mesh.jobs.request import OutputOptions, Request, stay_offline
from img2mesh.worker.protocol import ReportProgress

#: This module's function, as a worker takes it.
FUNCTION = "img2mesh.worker.task:run"

#: Numbers of report.json that a journal, a contact sheet or a page shows.
_QUALITY = (
    "generator", "learned_weights", "licences", "faces", "vertices", "watertight", "manifold",
    "components", "uv_overlap", "texture_resolution", "seen_surface_fraction", "silhouette_iou",
    "psnr_views", "peak_memory_mb", "verdict",
)  # fmt: skip
_THUMBNAIL = (460, 200)  # pixels at most; some 5 kB as WebP


def encode(request: Request, options: OutputOptions) -> dict[str, Any]:
    """A request and the files to leave as JSON."""
    parts = {"request": asdict(request), "options": asdict(options)}
    plain: dict[str, Any] = json.loads(json.dumps(parts, default=_plain))
    return plain


def _plain(value: object) -> object:
    return sorted(value) if isinstance(value, frozenset) else str(value)


def decode(payload: Mapping[str, Any]) -> tuple[Request, OutputOptions]:
    """The inverse of :func:`encode`."""
    request = dict(payload["request"])
    request["force"] = frozenset(request["force"])
    if request["cache_dir"] is not None:
        request["cache_dir"] = Path(request["cache_dir"])
    options: dict[str, Any] = {
        k: tuple(v) if isinstance(v, list) else v for k, v in payload["options"].items()
    }
    return Request(**request), OutputOptions(**options)


def run(payload: Mapping[str, Any], report_progress: ReportProgress) -> dict[str, Any]:
    """Do one photo.

    Args:
        payload: :func:`encode`'s parts; ``source``, and ``mask`` or None; either ``output_dir``, in
            which the folder is called after the photo or ``name``, or, for an item of a batch,
            ``folder``, ``name`` and ``batch``; ``offline``.
        report_progress: called with a stage and the fraction of it that is done.

    Returns:
        ``digest`` of the input, ``folder``, ``files`` (their names in it, by size), ``quality``,
        ``warnings``, ``seconds`` it took, ``stage_seconds``, ``cached`` (by stage), ``thumbnail``.

    Raises:
        InputError: the picture cannot be used.
        Img2MeshError: a stage failed or a file could not be written.
    """
    began = time.perf_counter()
    if "batch" in payload:
        _require_shared(Path(payload["folder"]).parent, payload["batch"])
    if payload.get("offline"):
        stay_offline()
    request, options = decode(payload)
    mask = payload.get("mask")
    job = photo_job(Path(payload["source"]), mask=Path(mask) if mask else None)
    place: AbstractContextManager[tuple[Path, str | None]]
    if "name" in payload:
        job = replace(job, stem=payload["name"])
    if "folder" in payload:
        place = nullcontext((Path(payload["folder"]), None))
    else:
        place = claimed(Path(payload["output_dir"]), job, request, options)

    def on_event(event: Event) -> None:
        match event:
            case Waiting() | Started():
                report_progress(event.stage, 0.0)
            case Progressed():
                report_progress(event.stage, event.fraction)
            case Reused() | Finished():
                report_progress(event.stage, 1.0)
                if event.stage == request.until:
                    report_progress("files", 0.0)

    with place as (folder, renamed):
        done = execute(job, request, options, folder, on_event, began=began)
    told = done.report
    return {
        "digest": job.digest,
        "folder": str(folder),
        "files": {path.name: path.stat().st_size for path in done.files.values()},
        "quality": {name: told[name] for name in _QUALITY if name in told},
        "warnings": [*([renamed] if renamed else []), *told["warnings"]],
        "seconds": told["seconds_this_run"],
        "stage_seconds": told["seconds"],
        "cached": told["cached"],
        "thumbnail": _thumbnail(done.files, job),
    }


def _require_shared(root: Path, batch: str) -> None:
    """A worker elsewhere must see the batch's own folder, not one of the same name."""
    try:
        record = json.loads((root / "batch.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        record = {}
    if record.get("id") != batch:
        raise RuntimeError(
            f"{socket.gethostname()} does not see the batch's folder {root}: workers on other "
            "machines need inputs, outputs and cache on shared storage under the same path"
        )


def _thumbnail(files: Mapping[str, Path], job: Job) -> str | None:
    """A small picture of photo and result as a data URL."""
    import numpy as np
    from PIL import Image

    source = files.get("preview") or files.get("cutout")
    if source is None:
        return None
    with Image.open(source) as picture:
        small = picture.convert("RGBA" if "A" in picture.getbands() else "RGB")
    if "preview" in files:
        with suppress(Img2MeshError, OSError):  # it may have gone since it was used
            photo: Photo = job.given["photo"].load()
            strip = report.beside_photo(report.pixels_of(photo), np.asarray(small), _THUMBNAIL[1])
            small = Image.fromarray(strip)
    small.thumbnail(_THUMBNAIL, Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    small.save(buffer, "WEBP", quality=70)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
