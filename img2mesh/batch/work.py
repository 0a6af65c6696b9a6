"""One item in a worker: run the pipeline, write its folder, tell what the journal keeps."""

from __future__ import annotations

import base64
import io
import json
import os
import socket
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from img2mesh import delivery, job

Tell = Callable[[str, float], None]

#: Numbers of report.json that the journal and the contact sheet show.
_KEPT = (
    "generator", "learned_weights", "faces", "vertices", "watertight", "manifold", "components",
    "uv_overlap", "texture_resolution", "seen_surface_fraction", "silhouette_iou", "psnr_views",
    "peak_memory_mb",
)  # fmt: skip
_THUMBNAIL = (440, 200)  # pixels at most; some 5 kB as WebP


def encode(request: job.Request, wanted: delivery.Wanted) -> dict[str, Any]:
    """A request and the wanted files as JSON."""
    parts = {"request": asdict(request), "wanted": asdict(wanted)}
    plain: dict[str, Any] = json.loads(json.dumps(parts, default=_plain))
    return plain


def _plain(value: object) -> object:
    return sorted(value) if isinstance(value, frozenset) else str(value)


def decode(payload: Mapping[str, Any]) -> tuple[job.Request, delivery.Wanted]:
    """The inverse of :func:`encode`."""
    request = dict(payload["request"])
    request["force"] = frozenset(request["force"])
    if request["cache_dir"] is not None:
        request["cache_dir"] = Path(request["cache_dir"])
    wanted: dict[str, Any] = {
        k: tuple(v) if isinstance(v, list) else v for k, v in payload["wanted"].items()
    }
    return job.Request(**request), delivery.Wanted(**wanted)


def make(payload: Mapping[str, Any], tell: Tell) -> dict[str, Any]:
    """Do one item; the worker's function.

    Args:
        payload: ``name``, ``source``, ``mask``, ``folder``, ``batch`` and :func:`encode`'s parts.
        tell: called with a stage and the fraction of it that is done.

    Returns:
        ``digest`` of the input, ``files``, ``quality``, ``warnings``, ``cached``, ``thumbnail``.

    Raises:
        InputError: the picture cannot be used.
        Img2MeshError: a stage failed or a file could not be written.
    """
    began = time.perf_counter()
    folder = Path(payload["folder"])
    _check_shared(folder.parent, payload["batch"])
    if payload.get("offline"):
        os.environ["HF_HUB_OFFLINE"] = os.environ["TRANSFORMERS_OFFLINE"] = "1"
    request, wanted = decode(payload)
    mask = Path(payload["mask"]) if payload["mask"] else None
    work = replace(job.photo_job(Path(payload["source"]), mask=mask), stem=payload["name"])

    def hear(event: Any) -> None:
        tell(event.stage, getattr(event, "fraction", 0.0))

    with ExitStack() as stack:
        if request.cache_dir is None:
            # Without a cache the stages still hand files to each other, in a folder that goes.
            room = stack.enter_context(tempfile.TemporaryDirectory(prefix="img2mesh-"))
            request = replace(request, cache_dir=Path(room))
        # Why a result is not in the cache is asked by nobody here, and the answer costs a look at
        # every entry: seconds an item once there are ten thousand.
        runner = job.runner_for(request, hear, explain=False)
        runner.run(request.until, work.given)
        tell("files", 0.0)
        done = delivery.deliver(
            runner, work, request, wanted, folder, seconds=time.perf_counter() - began
        )
    report = done.report
    return {
        "digest": work.digest,
        "files": sorted(path.name for path in done.files.values()),
        "quality": {name: report[name] for name in _KEPT if name in report},
        "warnings": report["warnings"],
        "stage_seconds": report["seconds"],
        "cached": sum(report["cached"].values()),
        "thumbnail": _thumbnail(done.files),
    }


def _check_shared(root: Path, batch: str) -> None:
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


def _thumbnail(files: Mapping[str, Path]) -> str | None:
    """A small picture of the result as a data URL."""
    from PIL import Image

    source = files.get("preview") or files.get("cutout")
    if source is None:
        return None
    with Image.open(source) as picture:
        small = picture.convert("RGBA" if "A" in picture.getbands() else "RGB")
        small.thumbnail(_THUMBNAIL, Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    small.save(buffer, "WEBP", quality=70)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
